//! Devices: where they are, what they hold, what they are to run and what they run.

use std::{
    cell::Cell,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde::{Deserialize, Serialize};

use super::{
    clock::Ms,
    container::UNDEFINED,
    eos::{self, Comparison, Lines},
    refused::{About, Refused, Why},
    state::{Model, Unmanaged},
};

/// A device.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Device {
    /// Its key.
    pub(crate) mac: String,
    pub(crate) serial: String,
    pub(crate) hostname: String,
    pub(crate) domain: String,
    pub(crate) ip: String,
    pub(crate) model: String,
    /// The version of its system.
    pub(crate) eos: String,
    pub(crate) placement: Placement,
    /// What it ran when it came, which no configlet has.
    pub(crate) unmanaged: String,
    /// Whether it alone knows which lines it refuses.
    pub(crate) judges: bool,
    /// What it runs, as far as the portal knows.
    pub(crate) running: String,
    pub(crate) booted: Ms,
    #[serde(skip)]
    pub(crate) faults: Faults,
    /// Whether it did not tell what it runs when it was asked last.
    #[serde(skip)]
    pub(crate) is_silent: bool,
    /// Whether it ran what it should when that was worked out last, and the digest of what that was worked out of.
    #[serde(skip)]
    pub(crate) judged: Cell<Option<(u64, bool)>>,
}

/// Where a device is, and what is assigned to it there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Placement {
    /// The key of its container; none: not provisioned.
    pub(crate) container: Option<String>,
    /// Keys of configlets it holds itself.
    pub(crate) own: Vec<String>,
    /// The image bundle it holds itself.
    pub(crate) image: Option<String>,
}

/// What is wrong with a device, for a test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) unreachable: bool,
    /// How much longer it takes to write its configuration, in milliseconds.
    pub(crate) slow: Ms,
    /// The line it refuses.
    pub(crate) rejects: Option<String>,
    /// How many more times writing its configuration fails.
    pub(crate) failing: u32,
}

/// How a device fares: what is not as it is designed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compliance {
    InSync,
    Config,
    Image,
    ConfigAndImage,
    Unreachable,
}

impl Compliance {
    /// As the portal writes it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::InSync => "0000",
            Self::Config => "0001",
            Self::Image => "0002",
            Self::ConfigAndImage => "0003",
            Self::Unreachable => "0005",
        }
    }

    /// How bad that is; nothing when all is well.
    pub(crate) fn indication(self) -> &'static str {
        match self {
            Self::InSync => "",
            Self::Unreachable => "CRITICAL",
            _ => "WARNING",
        }
    }
}

impl Device {
    pub(super) fn adopt(&mut self, mac: &str) {
        mac.clone_into(&mut self.mac);
        if self.running.is_empty() {
            self.running.clone_from(&self.unmanaged);
        }
        for (field, default) in [
            (&mut self.serial, format!("JPE{}", mac.replace(':', "").to_uppercase())),
            (&mut self.hostname, format!("device-{}", mac.replace(':', ""))),
            (&mut self.model, "vEOS-lab".to_owned()),
            (&mut self.eos, "4.32.0F".to_owned()),
        ] {
            if field.is_empty() {
                *field = default;
            }
        }
    }

    /// Its whole name.
    pub(crate) fn fqdn(&self) -> String {
        if self.domain.is_empty() {
            self.hostname.clone()
        } else {
            format!("{}.{}", self.hostname, self.domain)
        }
    }

    /// Whether nothing can be done with it now.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.faults.unreachable || self.is_silent
    }

    /// Whether it waits to be provisioned.
    pub(crate) fn is_undefined(&self) -> bool {
        self.placement.container.as_deref().is_none_or(|key| key == UNDEFINED)
    }
}

/// A configlet that a device holds, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held<'a> {
    pub(crate) key: &'a str,
    /// The container it comes from; none: the device itself.
    pub(crate) from: Option<&'a str>,
}

impl Model {
    /// A device by its MAC address, which is its key.
    pub(crate) fn device(&self, mac: &str) -> Result<&Device, Refused> {
        let text =
            || Refused::new(About::Node, Why::Absent, format!("Entity does not exist: net element {mac}"));
        self.devices.get(mac).or_else(|| self.devices.get(&mac.to_lowercase())).ok_or_else(text)
    }

    /// A device by its serial number.
    pub(crate) fn device_by_serial(&self, serial: &str) -> Option<&Device> {
        self.devices.values().find(|device| device.serial == serial)
    }

    /// What a device holds, in the order in which it adds up: from the outermost container inwards, then its own, and
    /// what was reconciled last.
    pub(crate) fn held<'a>(&'a self, device: &'a Device) -> Vec<Held<'a>> {
        let Some(container) = device.placement.container.as_deref().filter(|_| !device.is_undefined()) else {
            return vec![];
        };
        let mut held: Vec<Held<'a>> = vec![];
        let inherited = self.path_to(container).into_iter().flat_map(|from| {
            let keys = self.containers.get(from).map(|container| container.configlets.as_slice());
            keys.unwrap_or_default().iter().map(move |key| Held { key, from: Some(from) })
        });
        for one in inherited.chain(device.placement.own.iter().map(|key| Held { key, from: None })) {
            if !held.iter().any(|known| known.key == one.key) {
                held.push(one);
            }
        }
        let last = |held: &Held<'_>| self.configlets.get(held.key).is_some_and(|one| one.reconciled);
        held.sort_by_cached_key(last);
        held
    }

    /// What a device is to run by what it holds.
    pub(crate) fn designed(&self, device: &Device) -> Lines {
        self.sum(self.held(device).iter().map(|held| held.key))
    }

    /// What configlets say together, in their order; keys of none are passed over.
    pub(crate) fn sum<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Lines {
        let mut lines = Lines::default();
        for configlet in keys.filter_map(|key| self.configlets.get(key)) {
            lines.add(&configlet.config);
        }
        lines
    }

    /// What is to be written to a device: what it is to run, and the lines that stay.
    pub(crate) fn target(&self, device: &Device) -> String {
        let mut lines = Lines::default();
        if self.settings.unmanaged == Unmanaged::Keep {
            lines.add(&device.unmanaged);
        }
        for held in self.held(device) {
            if let Some(configlet) = self.configlets.get(held.key) {
                lines.add(&configlet.config);
            }
        }
        lines.render()
    }

    /// What a device is to run, against what it runs.
    pub(crate) fn compare(&self, device: &Device) -> Comparison {
        Lines::compare(&self.designed(device), &Lines::parse(&device.running))
    }

    /// What of a device is not as it is designed.
    pub(crate) fn compliance(&self, device: &Device) -> Compliance {
        if device.is_unreachable() {
            return Compliance::Unreachable;
        }
        let image = self.image_of(device).is_some_and(|bundle| bundle.version != device.eos);
        match (device.is_undefined() || self.runs_what_it_should(device), image) {
            (true, false) => Compliance::InSync,
            (false, false) => Compliance::Config,
            (true, true) => Compliance::Image,
            (false, true) => Compliance::ConfigAndImage,
        }
    }

    /// Lists of devices ask this of all of them, again and again, and hardly ever has one changed. What was found out is
    /// kept with a digest of all that it depends on, so that nobody need say when that changes.
    fn runs_what_it_should(&self, device: &Device) -> bool {
        let held = self.held(device);
        let texts = held.iter().filter_map(|held| self.configlets.get(held.key)).map(|one| &one.config);
        let kept = match self.settings.unmanaged {
            Unmanaged::Keep => device.unmanaged.as_str(),
            Unmanaged::Replace => "",
        };
        let mut digest = DefaultHasher::new();
        (&device.running, kept).hash(&mut digest);
        texts.clone().for_each(|text| text.hash(&mut digest));
        let digest = digest.finish();
        if let Some((of, judged)) = device.judged.get()
            && of == digest
        {
            return judged;
        }
        let mut designed = Lines::default();
        texts.for_each(|text| designed.add(text));
        let running = Lines::parse(&device.running);
        let judged =
            designed.within(&running, &Lines::default()) && running.within(&designed, &Lines::parse(kept));
        device.judged.set(Some((digest, judged)));
        judged
    }

    /// The lines of a text that a device would refuse.
    pub(crate) fn refused_lines(&self, device: Option<&Device>, text: &str) -> Vec<eos::Invalid> {
        let judges = device.is_some_and(|device| device.judges);
        let mut invalid = if self.settings.validate && !judges { eos::validate(text) } else { vec![] };
        if let Some(rejects) = device.and_then(|device| device.faults.rejects.as_deref()) {
            let lines = text.lines().enumerate().filter(|(_, line)| line.trim() == rejects);
            invalid.extend(lines.map(|(number, line)| eos::Invalid {
                line: number + 1,
                text: line.trim().to_owned(),
                word: line.split_whitespace().next().unwrap_or_default().to_owned(),
            }));
        }
        invalid
    }

    /// Adds a device that waits to be provisioned.
    pub(crate) fn add_device(&mut self, mac: &str, mut device: Device) -> Result<(), Refused> {
        device.adopt(mac);
        if self.devices.contains_key(mac) || self.device_by_serial(&device.serial).is_some() {
            return Err(Refused::exists(About::Node));
        }
        let container = device.placement.container.get_or_insert_with(|| UNDEFINED.to_owned());
        if !self.containers.contains_key(container) {
            return Err(Refused::new(About::Node, Why::Absent, "Invalid Container id"));
        }
        device.booted = self.clock.stamp();
        self.devices.insert(mac.to_owned(), device);
        Ok(())
    }

    /// Removes devices, all or none; what waits for them is cancelled.
    pub(crate) fn remove_devices(&mut self, macs: &[String]) -> Result<(), Refused> {
        let mut known = vec![];
        for mac in macs {
            let mac = self.device(mac)?.mac.clone();
            if let Some(task) = self.tasks.values().find(|task| task.device == mac && task.is_running()) {
                let text = format!("device {mac} cannot be removed: task {} runs", task.id);
                return Err(Refused::new(About::Node, Why::State, text));
            }
            known.push(mac);
        }
        for mac in known {
            self.cancel_all_of(&mac);
            if let Some(device) = self.devices.remove(&mac) {
                self.removed.insert(mac, device);
            }
        }
        Ok(())
    }

    /// Adds again the device that was removed and has this address; whether there is one.
    pub(crate) fn add_again(&mut self, ip: &str) -> Result<bool, Refused> {
        let Some(mac) = self.removed.values().find(|device| device.ip == ip).map(|device| device.mac.clone())
        else {
            return Ok(false);
        };
        if let Some(device) = self.removed.remove(&mac) {
            self.add_device(&mac, Device { placement: Placement::default(), ..device })?;
        }
        Ok(true)
    }
}
