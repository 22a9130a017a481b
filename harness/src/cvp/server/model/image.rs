//! Images of systems, and bundles of them that devices are to run.

use serde::{Deserialize, Serialize};

use super::{
    clock::Ms,
    device::Device,
    refused::{About, Refused, Why},
    state::Model,
};

/// An image: what is known of a file that was sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Image {
    /// The version its name tells.
    pub(crate) version: String,
    /// How long it is, in bytes.
    pub(crate) size: u64,
    pub(crate) sha256: String,
    pub(crate) reboot: bool,
    pub(crate) uploaded_by: String,
    pub(crate) uploaded_at: Ms,
}

/// Images that belong together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Bundle {
    pub(crate) name: String,
    /// Names of images.
    pub(crate) images: Vec<String>,
    pub(crate) certified: bool,
    /// The version of its first image.
    pub(crate) version: String,
    pub(crate) user: String,
    pub(crate) changed_at: Ms,
}

impl Model {
    /// The key of a bundle, by key or name.
    pub(crate) fn bundle(&self, key: &str) -> Result<String, Refused> {
        let named = || self.bundles.iter().find(|(_, bundle)| bundle.name == key).map(|(key, _)| key.clone());
        let known = self.bundles.contains_key(key).then(|| key.to_owned()).or_else(named);
        known.ok_or_else(|| Refused::absent(About::Image))
    }

    /// What a device is to run: its own bundle, else that of the innermost container that has one.
    pub(crate) fn image_of(&self, device: &Device) -> Option<&Bundle> {
        let container = device.placement.container.as_deref()?;
        let containers = self.path_to(container).into_iter().rev();
        let inherited = || containers.filter_map(|key| self.containers.get(key)?.image.as_ref()).next();
        self.bundles.get(device.placement.image.as_ref().or_else(inherited)?)
    }

    /// Adds or changes a bundle.
    pub(crate) fn set_bundle(
        &mut self,
        user: &str,
        key: Option<&str>,
        mut bundle: Bundle,
    ) -> Result<String, Refused> {
        if bundle.name.trim().is_empty() {
            return Err(Refused::invalid(About::Image, "name is empty"));
        }
        let taken =
            self.bundles.iter().any(|(other, b)| b.name == bundle.name && Some(other.as_str()) != key);
        if taken {
            return Err(Refused::exists(About::Image));
        }
        if key.is_some_and(|key| !self.bundles.contains_key(key)) {
            return Err(Refused::absent(About::Image));
        }
        let first = bundle.images.first().and_then(|name| self.images.get(name));
        bundle.version = first.map(|image| image.version.clone()).unwrap_or_default();
        user.clone_into(&mut bundle.user);
        bundle.changed_at = self.clock.stamp();
        let key = key.map_or_else(|| format!("imagebundle_{}", self.clock.uuid()), str::to_owned);
        self.bundles.insert(key.clone(), bundle);
        Ok(key)
    }

    /// Removes bundles nobody is to run, all or none.
    pub(crate) fn delete_bundles(&mut self, keys: &[String]) -> Result<(), Refused> {
        for key in keys {
            let bundle = self.bundles.get(key).ok_or_else(|| Refused::absent(About::Image))?;
            let (devices, containers) = self.bundle_uses(key);
            if devices + containers > 0 {
                let text = format!("image bundle {} is assigned and cannot be deleted", bundle.name);
                return Err(Refused::new(About::Image, Why::InUse, text));
            }
        }
        self.bundles.retain(|key, _| !keys.contains(key));
        Ok(())
    }

    /// To how many devices and containers a bundle is assigned.
    pub(crate) fn bundle_uses(&self, key: &str) -> (usize, usize) {
        let uses = |image: &Option<String>| image.as_deref() == Some(key);
        (
            self.devices.values().filter(|device| uses(&device.placement.image)).count(),
            self.containers.values().filter(|container| uses(&container.image)).count(),
        )
    }
}
