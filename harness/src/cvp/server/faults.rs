//! What goes wrong on demand, so that a test can see how its client takes it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::StatusCode;

use super::{
    engine::Engine,
    error::PortalError,
    model::{Device, Model},
};

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status and a page for people; nothing is done.
    Status(u16),
    /// The connection ends without an answer; nothing is done.
    Dropped,
    /// It is done, and the connection ends without an answer.
    Lost,
    /// It is done, and of the answer only the first half arrives.
    Truncated,
    /// It is answered after this time.
    Late(Duration),
}

/// Faults that wait for a request.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Rules>);

#[derive(Debug, Default)]
struct Rules {
    latency: Duration,
    /// Part of a path, what happens, and how often still.
    rules: Vec<(String, Fault, u32)>,
}

impl Waiting {
    /// What becomes of a request to `path`, and how long every answer takes.
    pub(super) fn take(&self, path: &str) -> (Duration, Option<Fault>) {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rule = rules.rules.iter_mut().find(|(part, _, left)| *left > 0 && path.contains(part.as_str()));
        let fault = rule.map(|(_, fault, left)| {
            *left -= 1;
            fault.clone()
        });
        rules.rules.retain(|(_, _, left)| *left > 0);
        (rules.latency, fault)
    }
}

/// The faults of a portal.
#[derive(Debug, Clone)]
pub struct Faults(pub(super) Arc<Engine>);

impl Faults {
    fn rules(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.0.faults.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Every answer takes this much longer.
    pub fn latency(&self, latency: Duration) {
        self.rules(|rules| rules.latency = latency);
    }

    /// The next `times` requests whose path contains `path` fare like that; the empty text is in every path.
    pub fn next(&self, path: &str, times: u32, fault: Fault) {
        self.rules(|rules| rules.rules.push((path.to_owned(), fault, times)));
    }

    /// Ends all sessions, as if their time were over.
    pub fn expire_sessions(&self) {
        self.0.change(|model| model.end_sessions(None));
    }

    /// The next `times` configurations that are written to any device fail.
    pub fn fail_pushes(&self, times: u32) {
        self.0.change(|model| {
            for device in model.devices.values_mut() {
                device.faults.failing = times;
            }
        });
    }

    /// The faults of a device, by hostname, whole name, MAC address or serial number.
    #[must_use]
    pub fn devices(&self, device: &str) -> DeviceFaults {
        DeviceFaults { engine: Arc::clone(&self.0), device: device.to_owned() }
    }

    /// All is well again; sessions that ended stay ended.
    pub fn heal(&self) {
        self.rules(|rules| *rules = Rules::default());
        self.0.change(|model| {
            for device in model.devices.values_mut() {
                device.faults = super::model::Faults::default();
            }
        });
    }
}

/// The faults of a device.
#[derive(Debug)]
pub struct DeviceFaults {
    engine: Arc<Engine>,
    device: String,
}

impl DeviceFaults {
    fn change(&self, change: impl FnOnce(&mut Device)) -> Result<(), PortalError> {
        let is = |device: &&mut Device| {
            [&device.mac, &device.serial, &device.hostname, &device.fqdn()].contains(&&self.device)
        };
        self.engine.change(|model: &mut Model| {
            let device = model.devices.values_mut().find(is).ok_or_else(|| PortalError::Device {
                device: self.device.clone(),
                why: "the portal has none of this name".to_owned(),
            })?;
            change(device);
            Ok(())
        })
    }

    /// Whether it can be reached: tasks fail while it cannot.
    ///
    /// # Errors
    /// There is no such device.
    pub fn unreachable(&self, unreachable: bool) -> Result<(), PortalError> {
        self.change(|device| device.faults.unreachable = unreachable)
    }

    /// How much longer it takes for its configuration.
    ///
    /// # Errors
    /// There is no such device.
    pub fn slow(&self, by: Duration) -> Result<(), PortalError> {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.change(|device| device.faults.slow = by)
    }

    /// The line it refuses, if any.
    ///
    /// # Errors
    /// There is no such device.
    pub fn rejects(&self, line: Option<&str>) -> Result<(), PortalError> {
        self.change(|device| device.faults.rejects = line.map(|line| line.trim().to_owned()))
    }

    /// How many more times writing its configuration fails.
    ///
    /// # Errors
    /// There is no such device.
    pub fn fail_pushes(&self, times: u32) -> Result<(), PortalError> {
        self.change(|device| device.faults.failing = times)
    }
}

/// The page that somebody sees in place of an answer.
pub(super) fn page(status: u16) -> (StatusCode, String) {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, format!("<html><body><h1>{status}</h1></body></html>\n"))
}
