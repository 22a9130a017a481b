//! Devices and the tree of containers they are in: one snapshot, taken with two questions.

use std::{collections::HashMap, fmt};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ask::Ask,
    client::{AT_ONCE, Client, or_default},
    error::CvpError,
    version::Level,
};
use crate::base::parallel;

/// Key of the container that holds all others, whatever it is called.
pub const ROOT: &str = "root";
/// Key of the container of devices nobody has put anywhere.
pub const UNDEFINED: &str = "undefined_container";

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its system MAC address: what the portal calls it.
    #[serde(rename = "systemMacAddress")]
    pub mac: String,
    /// Serial number.
    #[serde(default, rename = "serialNumber", deserialize_with = "or_default")]
    pub serial: String,
    /// Host name without a domain.
    #[serde(default, deserialize_with = "or_default")]
    pub hostname: String,
    /// Host name with its domain.
    #[serde(default, deserialize_with = "or_default")]
    pub fqdn: String,
    /// Management address.
    #[serde(default, rename = "ipAddress", deserialize_with = "or_default")]
    pub ip: String,
    /// Model.
    #[serde(default, rename = "modelName", deserialize_with = "or_default")]
    pub model: String,
    /// Version of its system.
    #[serde(default, deserialize_with = "or_default")]
    pub version: String,
    /// Key of the container it is in; empty while it is not provisioned.
    #[serde(
        default,
        rename = "parentContainerKey",
        alias = "parentContainerId",
        deserialize_with = "or_default"
    )]
    pub container: String,
    /// `Registered`; empty while it is not provisioned.
    #[serde(default, alias = "deviceStatus", deserialize_with = "or_default")]
    pub status: String,
    /// Whether it sends telemetry: `active` or `inactive`.
    #[serde(default, rename = "streamingStatus", deserialize_with = "or_default")]
    pub streaming: String,
    /// What is out of step, when the portal looked last.
    #[serde(default, rename = "complianceCode", deserialize_with = "or_default")]
    pub compliance: ComplianceCode,
}

impl Device {
    /// What people call it: its host name, else its fqdn, address or MAC.
    #[must_use]
    pub fn name(&self) -> &str {
        [&self.hostname, &self.fqdn, &self.ip].into_iter().find(|name| !name.is_empty()).unwrap_or(&self.mac)
    }

    /// Whether `name` is its host name, fqdn, serial number, MAC or address.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let exact = [&self.hostname, &self.fqdn, &self.serial, &self.ip];
        !name.is_empty() && (exact.into_iter().any(|own| own == name) || self.mac.eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What of a device differs from what the portal designed, in the portal's code of four digits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Deserialize)]
pub struct ComplianceCode(pub String);

impl ComplianceCode {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        matches!(self.0.as_str(), "0000" | "0004")
    }
}

/// In words.
impl fmt::Display for ComplianceCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.as_str() {
            "0000" | "0004" => "in sync",
            "0001" => "the configuration is out of sync",
            "0002" => "the image is out of sync",
            "0003" => "configuration and image are out of sync",
            "0005" => "the device cannot be reached",
            "0006" => "its system is too old for the portal",
            "0007" => "the extensions are out of sync",
            "0008" | "0012" => "configuration, image and extensions are out of sync",
            "0009" | "0014" => "configuration and extensions are out of sync",
            "0010" | "0015" => "image and extensions are out of sync",
            "0011" => "the portal's user may not do anything on the device",
            "0013" => "configuration, image and clock are out of sync",
            "0016" => "configuration and clock are out of sync",
            "0017" => "image and clock are out of sync",
            "0018" => "extensions and clock are out of sync",
            "0019" => "the clock is out of sync",
            "" => "not known",
            other => return write!(f, "code {other}"),
        })
    }
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// What the portal calls it.
    pub key: String,
    /// What people call it; no other one has that name.
    pub name: String,
    /// Key of the one it is in; none of the root.
    pub parent: Option<String>,
}

/// Devices and containers at one moment.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// All devices, those that are not provisioned included.
    pub devices: Vec<Device>,
    /// All containers, each after the one it is in.
    pub containers: Vec<Container>,
}

impl Inventory {
    /// The device of this host name, fqdn, serial number, MAC or address.
    ///
    /// # Errors
    /// [`CvpError::NotFound`] with the nearest name there is; [`CvpError::Ambiguous`].
    pub fn device(&self, name: &str) -> Result<&Device, CvpError> {
        let mut found = self.devices.iter().filter(|device| device.is_called(name));
        match (found.next(), found.next()) {
            (Some(device), None) => Ok(device),
            (Some(one), Some(other)) => Err(CvpError::Ambiguous {
                kind: "device",
                name: name.to_owned(),
                which: [one, other].map(|device| format!("{} ({})", device.fqdn, device.mac)).to_vec(),
            }),
            (None, _) => {
                let names = self.devices.iter().flat_map(|device| [device.hostname.as_str(), &device.fqdn]);
                Err(CvpError::not_found("device", name, names))
            }
        }
    }

    /// The devices of these names, in their order.
    ///
    /// # Errors
    /// What is wrong with any of them, all at once.
    pub fn named<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> Result<Vec<Device>, CvpError> {
        let (mut devices, mut wrong) = (Vec::new(), Vec::new());
        for name in names {
            match self.device(name.as_ref()) {
                Ok(device) => devices.push(device.clone()),
                Err(error) => wrong.push(error),
            }
        }
        match wrong.len() {
            0 => Ok(devices),
            1 => Err(wrong.remove(0)),
            _ => Err(CvpError::Several(wrong)),
        }
    }

    /// The container of this name or key.
    ///
    /// # Errors
    /// [`CvpError::NotFound`] with the nearest name there is.
    pub fn container(&self, name: &str) -> Result<&Container, CvpError> {
        let by_name = self.containers.iter().find(|container| container.name == name);
        by_name.or_else(|| self.containers.iter().find(|container| container.key == name)).ok_or_else(|| {
            CvpError::not_found("container", name, self.containers.iter().map(|one| one.name.as_str()))
        })
    }

    /// The devices in a container, and in those below it.
    pub fn below<'a>(&'a self, container: &'a str) -> impl Iterator<Item = &'a Device> + 'a {
        let parents: HashMap<&str, &str> = self
            .containers
            .iter()
            .filter_map(|one| Some((one.key.as_str(), one.parent.as_deref()?)))
            .collect();
        self.devices.iter().filter(move |device| {
            let mut at = Some(device.container.as_str());
            // No longer than there are containers: a broken tree may have a ring.
            (0..=parents.len()).any(|_| {
                let here = at;
                at = at.and_then(|key| parents.get(key).copied());
                here == Some(container)
            })
        })
    }
}

/// A node of the portal's tree.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TreeNode {
    key: String,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    child_container_list: Vec<TreeNode>,
}

impl TreeNode {
    fn flat(self, parent: Option<String>, all: &mut Vec<Container>) {
        let key = self.key.clone();
        all.push(Container { key: self.key, name: self.name, parent });
        for child in self.child_container_list {
            child.flat(Some(key.clone()), all);
        }
    }
}

/// What the portal says of an unknown device.
const NO_DEVICE: &str = "122801";

impl Client {
    /// Devices and containers as they are now.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn inventory(&self) -> Result<Inventory, CvpError> {
        let (devices, containers) = tokio::try_join!(self.devices(), self.containers())?;
        Ok(Inventory { devices, containers })
    }

    /// All devices, those that are not provisioned included.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn devices(&self) -> Result<Vec<Device>, CvpError> {
        #[derive(Deserialize)]
        struct Old {
            #[serde(rename = "netElementList")]
            devices: Vec<Device>,
        }
        let limit = self.spec().limits.slow_answer;
        const WHAT: &str = "list the devices";
        if self.level().await? >= Level::BARE_INVENTORY {
            let ask = Ask::get(WHAT, "/inventory/devices").query("provisioned", "false");
            return self.read(&ask.within(limit)).await;
        }
        let ask = Ask::get(WHAT, "/inventory/getInventory.do").query("queryparam", "").rows(0, 0);
        Ok(self.read::<Old>(&ask.within(limit)).await?.devices)
    }

    /// All containers, each after the one it is in.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn containers(&self) -> Result<Vec<Container>, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            topology: TreeNode,
        }
        let ask = Ask::get("read the tree of containers", "/provisioning/filterTopology.do")
            .query("nodeId", ROOT)
            .query("format", "topology")
            .rows(0, 0)
            .within(self.spec().limits.slow_answer);
        let mut all = Vec::new();
        self.read::<Answer>(&ask).await?.topology.flat(None, &mut all);
        Ok(all)
    }

    /// What runs on a device, named by its MAC address.
    ///
    /// # Errors
    /// [`CvpError::NotFound`]; the portal cannot be asked, or refuses.
    pub async fn running_config(&self, device: &str) -> Result<String, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            output: String,
        }
        let new = self.level().await? >= Level::DEVICES_BY_SERIAL;
        let path = if new { "/inventory/device/config" } else { "/inventory/getInventoryConfiguration.do" };
        let ask = Ask::get(format!("read what runs on {device}"), path).query("netElementId", device);
        match self.read::<Answer>(&ask).await {
            Ok(answer) => Ok(answer.output),
            Err(error) if error.is(NO_DEVICE) => Err(CvpError::not_found("device", device, [])),
            Err(error) => Err(error),
        }
    }

    /// Compares what runs on a device with what is designed for it, now.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn compliance(&self, device: &str) -> Result<ComplianceCode, CvpError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "complianceCode")]
            code: ComplianceCode,
        }
        let body = json!({ "nodeId": device, "nodeType": "netelement" });
        let what = format!("check the compliance of {device}");
        let ask = Ask::post(what, "/provisioning/checkCompliance.do", body).repeatable();
        Ok(self.read::<Answer>(&ask.within(self.spec().limits.slow_answer)).await?.code)
    }

    /// As [`compliance`](Self::compliance), of several devices at once; in their order.
    ///
    /// # Errors
    /// As [`compliance`](Self::compliance), of the first that fails.
    pub(super) async fn compliances(&self, devices: Vec<String>) -> Result<Vec<ComplianceCode>, CvpError> {
        let codes = parallel::each(devices, AT_ONCE, |device| {
            let client = self.clone();
            async move { client.compliance(&device).await }
        });
        codes.await.into_iter().collect()
    }

    /// Takes devices by their management addresses into the inventory; they come into the container [`UNDEFINED`].
    ///
    /// # Errors
    /// [`CvpError::Many`] naming each address that failed and why, while the others are taken in; the portal cannot be asked, or refuses.
    pub async fn add_devices(&self, addresses: &[&str]) -> Result<(), CvpError> {
        let what = format!("take {} into the inventory", addresses.join(", "));
        let hint = "take the devices in by the portal's page";
        self.require(Level::BARE_INVENTORY, &what, hint).await?;
        // Asking for one that is there already changes nothing.
        let ask = Ask::post(&what, "/inventory/devices", json!({ "hosts": addresses })).repeatable();
        let answer = self.ask(&ask).await?;
        let failed = answer.pointer("/data/failed").and_then(Value::as_object).cloned().unwrap_or_default();
        let errors: Vec<CvpError> = failed
            .into_iter()
            .map(|(address, why)| CvpError::Onboarding {
                address,
                why: why.as_str().map_or_else(|| why.to_string(), str::to_owned),
            })
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(CvpError::Many(errors)) }
    }

    /// Removes devices from the inventory.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn delete_devices(&self, devices: &[Device]) -> Result<(), CvpError> {
        let names: Vec<&str> = devices.iter().map(Device::name).collect();
        let what = format!("remove {} from the inventory", names.join(", "));
        let ask = if self.level().await? >= Level::DEVICES_BY_SERIAL {
            let serials: Vec<&str> = devices.iter().map(|device| device.serial.as_str()).collect();
            Ask::delete(what, "/inventory/devices", json!({ "data": serials }))
        } else {
            let macs: Vec<&str> = devices.iter().map(|device| device.mac.as_str()).collect();
            Ask::post(what, "/inventory/deleteDevices.do", json!({ "data": macs }))
        };
        self.ask(&ask).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(hostname: &str, mac: &str, container: &str) -> Device {
        Device {
            hostname: hostname.into(),
            fqdn: format!("{hostname}.lab"),
            serial: format!("SN{mac}"),
            mac: mac.into(),
            container: container.into(),
            ..Device::default()
        }
    }

    fn inventory() -> Inventory {
        let container = |key: &str, parent: Option<&str>| Container {
            key: key.into(),
            name: key.to_uppercase(),
            parent: parent.map(str::to_owned),
        };
        Inventory {
            devices: vec![
                device("sw1", "aa:01", "rack1"),
                device("sw2", "aa:02", "dc"),
                device("sw2", "aa:03", ""),
            ],
            containers: vec![
                container("root", None),
                container("dc", Some("root")),
                container("rack1", Some("dc")),
            ],
        }
    }

    #[rstest::rstest]
    #[case("sw1")]
    #[case("sw1.lab")]
    #[case("SNaa:01")]
    #[case("AA:01")]
    fn a_device_has_several_names(#[case] name: &str) {
        assert_eq!(inventory().device(name).unwrap().mac, "aa:01");
    }

    #[rstest::rstest]
    #[case("SW1", "the portal has no device `SW1`; did you mean `sw1`?")]
    #[case("", "the portal has no device ``")]
    #[case("sw2", "`sw2` can be one of several devices: sw2.lab (aa:02), sw2.lab (aa:03)")]
    fn who_is_not_there_is_said(#[case] name: &str, #[case] words: &str) {
        assert_eq!(inventory().device(name).unwrap_err().to_string(), words);
    }

    #[test]
    fn all_wrong_names_are_said_at_once() {
        let error = inventory().named(["sw1", "sw9", "zzzzzzzz"]).unwrap_err().to_string();
        assert!(
            error.contains("`sw9`") && error.contains("`zzzzzzzz`") && error.contains("nothing was begun"),
            "{error}"
        );
    }

    #[test]
    fn devices_below_a_container_are_found_at_any_depth() {
        let inventory = inventory();
        let below = |key| inventory.below(key).map(|device| device.mac.as_str()).collect::<Vec<_>>();
        assert_eq!(
            (below("root"), below("dc"), below("rack1")),
            (vec!["aa:01", "aa:02"], vec!["aa:01", "aa:02"], vec!["aa:01"])
        );
    }
}
