//! Taking devices out of the portal for good.

use serde::{Deserialize, Serialize};

use super::{clock::Ms, state::Model};

/// A wish that a device goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decommissioning {
    /// Its serial number.
    pub(crate) device: String,
    pub(crate) at: Ms,
    /// How it ended; none: it has not.
    pub(crate) ended: Option<Result<(), String>>,
}

impl Model {
    /// Wants a device to go.
    pub(crate) fn decommission(&mut self, request: &str, serial: &str) {
        let at = self.clock.stamp();
        let wish = Decommissioning { device: serial.to_owned(), at, ended: None };
        self.decommissionings.insert(request.to_owned(), wish);
        self.jobs.push(super::job::Job::Wake);
    }

    pub(super) fn tick_decommissionings(&mut self) {
        let open: Vec<(String, String)> = self
            .decommissionings
            .iter()
            .filter(|(_, wish)| wish.ended.is_none())
            .map(|(request, wish)| (request.clone(), wish.device.clone()))
            .collect();
        for (request, serial) in open {
            let ended = match self.device_by_serial(&serial).map(|device| device.mac.clone()) {
                Some(mac) => self.remove_devices(&[mac]).map_err(|refused| refused.text),
                None => Err(format!("device {serial} does not exist")),
            };
            if let Some(wish) = self.decommissionings.get_mut(&request) {
                wish.ended = Some(ended);
            }
        }
    }
}
