//! What a portal is to be.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use super::{
    driver::{Driver, Memory},
    model::{Imitated, Unmanaged},
};

/// What a portal is to be. The default one listens at a port of the loopback that is free, and has no devices.
#[derive(Debug, Clone)]
pub struct PortalSpec {
    /// Where it listens; port 0 is any that is free.
    pub listen: SocketAddr,
    /// Without TLS.
    pub plain_http: bool,
    /// Who may do everything.
    pub username: String,
    /// With which password; absent: one that is made.
    pub password: Option<String>,
    /// The version it says it has, and whose ways it has; absent: what `state` says, else one of 2024.
    pub imitate: Option<Imitated>,
    /// How long a device takes for its configuration.
    pub task_delay: Duration,
    /// What becomes of lines that devices run and no configlet has.
    pub unmanaged: Unmanaged,
    /// Whether devices refuse lines whose first word begins no command.
    pub validate: bool,
    /// After how long without a request a session ends.
    pub session_idle: Duration,
    /// After how long it ends anyway.
    pub session_age: Duration,
    /// Whether those whose roles only read are refused to change anything.
    pub enforce_roles: bool,
    /// The longest body that is taken, in bytes.
    pub body_limit: usize,
    /// Devices, besides those of `state`.
    pub devices: Vec<DeviceSpec>,
    /// What it knows from the beginning. Its settings, or the usual ones where it has none, hold instead of what is
    /// said here of how the portal behaves.
    pub state: Option<SavedState>,
    /// Who holds the configurations of devices.
    pub driver: Arc<dyn Driver>,
}

impl Default for PortalSpec {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            plain_http: false,
            username: "cvpadmin".to_owned(),
            password: None,
            imitate: None,
            task_delay: Duration::from_millis(5),
            unmanaged: Unmanaged::Keep,
            validate: true,
            session_idle: Duration::from_secs(12 * 3600),
            session_age: Duration::from_secs(24 * 3600),
            enforce_roles: false,
            body_limit: 64 << 20,
            devices: vec![],
            state: None,
            driver: Arc::new(Memory),
        }
    }
}

/// A state as [`Portal::dump`](super::Portal::dump) returns it, or a part of one, as people write it.
#[derive(Debug, Clone)]
pub struct SavedState {
    /// Where it comes from, for errors.
    pub file: PathBuf,
    /// The state.
    pub json: Vec<u8>,
}

/// One that comes from nowhere in particular.
impl From<Vec<u8>> for SavedState {
    fn from(json: Vec<u8>) -> Self {
        Self { file: "the portal's state".into(), json }
    }
}

/// A device from the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSpec {
    /// Its MAC address.
    pub mac: String,
    /// Its name without a domain.
    pub hostname: String,
    /// Its domain; empty: none.
    pub domain: String,
    /// Its serial number; empty: one that is made of the MAC address.
    pub serial: String,
    /// The address it is managed at.
    pub ip: String,
    /// The name of its container, which is made below the outermost one unless it is there; absent: not provisioned yet.
    pub container: Option<String>,
    /// What it runs.
    pub config: String,
    /// Whether it alone knows which lines it refuses: its system is not EOS.
    pub judges: bool,
}

impl DeviceSpec {
    /// Devices to play with: `leaf-1`, `leaf-2` and so on, in a container `Demo`.
    #[must_use]
    pub fn demo(count: u16) -> Vec<Self> {
        let one = |number: u16| {
            let (high, low) = (number >> 8, number & 0xff);
            let (hostname, ip) = (format!("leaf-{number}"), format!("10.0.{high}.{low}"));
            let config = format!(
                "hostname {hostname}\n!\nusername admin privilege 15 role network-admin nopassword\n!\n\
                 interface Management1\n   ip address {ip}/16\n!\nip routing\n!\nend\n"
            );
            Self {
                mac: format!("00:1c:73:00:{high:02x}:{low:02x}"),
                hostname,
                domain: String::new(),
                serial: String::new(),
                ip,
                container: Some("Demo".to_owned()),
                config,
                judges: false,
            }
        };
        (1..=count).map(one).collect()
    }
}
