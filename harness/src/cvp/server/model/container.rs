//! The tree that devices are provisioned in.

use serde::{Deserialize, Serialize};

use super::{
    clock::Ms,
    device::Device,
    refused::{About, Refused, Why},
    state::Model,
};

/// The key of the outermost container, whatever it is called.
pub(crate) const ROOT: &str = "root";
/// The key of the container of devices that are not provisioned yet.
pub(crate) const UNDEFINED: &str = "undefined_container";

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Container {
    pub(crate) name: String,
    /// The key of the one around it; empty for the outermost.
    pub(crate) parent: String,
    pub(crate) created_by: String,
    pub(crate) created_at: Ms,
    /// Keys of the configlets that every device below holds.
    pub(crate) configlets: Vec<String>,
    /// The image that every device below is to run, by its bundle's key.
    pub(crate) image: Option<String>,
}

impl Model {
    /// Keys from the outermost container to this one; of a tree that is whole.
    pub(crate) fn path_to<'a>(&'a self, key: &'a str) -> Vec<&'a str> {
        let next = |key: &&'a str| self.containers.get(*key).map(|container| container.parent.as_str());
        // No path is longer than there are containers, whatever a file said.
        let mut path: Vec<&str> = std::iter::successors(Some(key), next)
            .take_while(|key| self.containers.contains_key(*key))
            .take(self.containers.len())
            .collect();
        path.reverse();
        path
    }

    /// Whether `key` is `top` or below it.
    pub(crate) fn is_below(&self, key: &str, top: &str) -> bool {
        self.path_to(key).contains(&top)
    }

    /// Devices in a container or below it at any depth.
    pub(crate) fn devices_below<'a>(&'a self, top: &'a str) -> impl Iterator<Item = &'a Device> {
        let inside: Vec<&String> = self.containers.keys().filter(|key| self.is_below(key, top)).collect();
        self.devices.values().filter(move |device| {
            device.placement.container.as_ref().is_some_and(|key| inside.contains(&key))
        })
    }

    /// Those of them that a change of the container concerns: devices in `Undefined` have no configuration.
    pub(crate) fn provisioned_below(&self, top: &str) -> Vec<String> {
        let known = self.devices_below(top).filter(|device| !device.is_undefined());
        known.map(|device| device.mac.clone()).collect()
    }

    /// A container by its key.
    pub(crate) fn container(&self, key: &str) -> Result<&Container, Refused> {
        self.containers.get(key).ok_or_else(|| Refused::new(About::Node, Why::Absent, "Invalid Container id"))
    }
}
