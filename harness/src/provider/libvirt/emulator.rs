//! What only a domain's emulator can do: keys, an interrupt, errors and a limit for disks. It is asked past libvirt, which
//! knows of none of it and does not mind. And the screen, which libvirt asks it for.

use std::time::Duration;

use serde_json::{Value, json};
use virt::{domain::Domain, error::Error, stream::Stream, sys};

use super::{
    Connection,
    screen::png,
    xml::{self, Graphics},
};
use crate::provider::ProviderError;

/// How the names of nodes end that refuse.
const BROKEN: &str = "-polder";

/// A disk as the emulator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The device the guest sees.
    device: String,
    /// Where that looks for its data.
    node: String,
}

/// What a disk does not do any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It reads nothing.
    Reads,
    /// It writes nothing.
    Writes,
    /// Neither.
    Both,
}

impl Refusal {
    /// The emulator's words for what is refused.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Reads => &["read"],
            Self::Writes => &["write", "write-zeroes", "flush"],
            Self::Both => &["read", "write", "write-zeroes", "flush"],
        }
    }
}

impl Connection {
    /// Presses keys of a domain's keyboard together, by the emulator's names for them, and lets go of them after `hold`.
    ///
    /// # Errors
    /// As [`Connection::create_domain`]; also when there is no such key.
    pub async fn press(
        &self,
        name: &str,
        keys: &[&str],
        hold: Duration,
        limit: Duration,
    ) -> Result<(), ProviderError> {
        let keys: Vec<Value> = keys.iter().map(|key| json!({ "type": "qcode", "data": key })).collect();
        let asked = json!({ "keys": keys, "hold-time": millis(hold) });
        self.emulator(name, "press keys of", "send-key", asked, limit).await.map(drop)
    }

    /// Sends a domain's CPUs a non-maskable interrupt.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn inject_nmi(&self, name: &str, limit: Duration) -> Result<(), ProviderError> {
        self.emulator(name, "send an NMI to", "inject-nmi", json!({}), limit).await.map(drop)
    }

    /// What a domain's screen shows, as PNG.
    ///
    /// # Errors
    /// As [`Connection::create_domain`]; also when it has no screen.
    pub async fn screenshot(&self, name: &str, limit: Duration) -> Result<Vec<u8>, ProviderError> {
        let owned = name.to_owned();
        let look = move |connect: &virt::connect::Connect| {
            let domain = connect.lookup_domain_by_name(&owned)?;
            let stream = Stream::new(connect, 0)?;
            domain.screenshot(&stream, 0, 0)?;
            let (mut image, mut room) = (Vec::new(), vec![0; 1 << 18]);
            loop {
                let read = usize::try_from(stream.recv(&mut room)?).unwrap_or_default();
                if read == 0 {
                    break;
                }
                image.extend_from_slice(room.get(..read).unwrap_or_default());
            }
            stream.finish()?;
            Ok(image)
        };
        let what = format!("take a picture of the screen of domain {name}");
        let image = self.call(what.clone(), limit, look).await?;
        png(image).map_err(|why| ProviderError::Emulator { what, why })
    }

    /// Where a running domain's screen is served, if it has one.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn graphics(&self, name: &str, limit: Duration) -> Result<Option<Graphics>, ProviderError> {
        Ok(xml::graphics_of(&self.domain_xml(name, limit).await?))
    }

    /// The disk a running domain's guest sees as `dev`.
    ///
    /// # Errors
    /// As [`Connection::create_domain`]; also when there is none.
    pub async fn drive(&self, name: &str, dev: &str, limit: Duration) -> Result<Drive, ProviderError> {
        let what = || format!("find the disk {dev} of domain {name}");
        let none = |why: &str| ProviderError::Emulator { what: what(), why: why.to_owned() };
        let alias = xml::disk_alias(&self.domain_xml(name, limit).await?, dev);
        let alias = alias.ok_or_else(|| none("it has no such disk"))?;
        let drives = self.emulator(name, "look at the disks of", "query-block", json!({}), limit).await?;
        find(&drives, &alias).ok_or_else(|| none("its emulator does not know it"))
    }

    /// Lets a disk carry so many bytes a second, reads and writes together; 0: as many as it can.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn limit_drive(
        &self,
        name: &str,
        drive: &Drive,
        bytes_per_second: u64,
        limit: Duration,
    ) -> Result<(), ProviderError> {
        let asked = json!({
            "id": drive.device, "bps": bytes_per_second, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
        });
        self.emulator(name, "limit a disk of", "block_set_io_throttle", asked, limit).await.map(drop)
    }

    /// Has a disk answer with an error (EIO) from now on, until [`Connection::mend_drive`].
    ///
    /// # Errors
    /// As [`Connection::create_domain`]; also when it does so already.
    pub async fn break_drive(
        &self,
        name: &str,
        drive: &Drive,
        what: Refusal,
        limit: Duration,
    ) -> Result<(), ProviderError> {
        if drive.node.ends_with(BROKEN) {
            let (what, why) = (format!("break a disk of domain {name}"), "it is broken already".to_owned());
            return Err(ProviderError::Emulator { what, why });
        }
        let broken = Drive { device: drive.device.clone(), node: format!("{}{BROKEN}", drive.node) };
        let rule = |word: &&str| json!({ "event": "none", "iotype": word, "errno": libc::EIO });
        let rules: Vec<Value> = what.words().iter().map(rule).collect();
        let node = json!({
            "driver": "blkdebug", "node-name": broken.node, "image": drive.node, "inject-error": rules,
        });
        self.emulator(name, "break a disk of", "blockdev-add", node, limit).await?;
        if let Err(error) = self.put(name, &broken, limit).await {
            let _ = self.take_out(name, &broken, limit).await;
            return Err(error);
        }
        Ok(())
    }

    /// Has a disk work again that may be broken.
    ///
    /// # Errors
    /// As [`Connection::create_domain`].
    pub async fn mend_drive(&self, name: &str, drive: &Drive, limit: Duration) -> Result<(), ProviderError> {
        let Some(node) = drive.node.strip_suffix(BROKEN) else { return Ok(()) };
        let whole = Drive { device: drive.device.clone(), node: node.to_owned() };
        self.put(name, &whole, limit).await?;
        self.take_out(name, drive, limit).await
    }

    /// Has the device look where `drive` says.
    async fn put(&self, name: &str, drive: &Drive, limit: Duration) -> Result<(), ProviderError> {
        let asked = json!({ "path": drive.path(), "property": "drive", "value": drive.node });
        self.emulator(name, "exchange a disk of", "qom-set", asked, limit).await.map(drop)
    }

    async fn take_out(&self, name: &str, drive: &Drive, limit: Duration) -> Result<(), ProviderError> {
        let asked = json!({ "node-name": drive.node });
        self.emulator(name, "mend a disk of", "blockdev-del", asked, limit).await.map(drop)
    }

    /// Has a domain's emulator do something; `what` is put before "domain".
    async fn emulator(
        &self,
        name: &str,
        what: &str,
        execute: &str,
        arguments: Value,
        limit: Duration,
    ) -> Result<Value, ProviderError> {
        let asked = json!({ "execute": execute, "arguments": arguments }).to_string();
        let what = format!("{what} domain");
        let job = move |domain: &Domain| -> Result<String, Error> {
            domain.qemu_monitor_command(&asked, sys::VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT)
        };
        let said = self.on_domain(&what, name, limit, job).await?;
        let mut said: Value = serde_json::from_str(&said).unwrap_or_default();
        match said.get_mut("return") {
            Some(value) => Ok(value.take()),
            None => {
                let why = said.pointer("/error/desc").and_then(Value::as_str).unwrap_or("it said nothing");
                Err(ProviderError::Emulator { what: format!("{what} {name}"), why: why.to_owned() })
            }
        }
    }
}

impl Drive {
    /// The device whose property tells where it looks: what its backend is part of.
    fn path(&self) -> String {
        let device = self.device.strip_suffix("/virtio-backend").unwrap_or(&self.device);
        if device.starts_with('/') { device.to_owned() } else { format!("/machine/peripheral/{device}") }
    }
}

/// The disk of that alias among those the emulator lists.
fn find(drives: &Value, alias: &str) -> Option<Drive> {
    let drive = |listed: &Value| {
        let device = listed.get("qdev")?.as_str()?.to_owned();
        let node = listed.pointer("/inserted/node-name")?.as_str()?.to_owned();
        let own = device.strip_prefix("/machine/peripheral/").unwrap_or(&device);
        (own.split('/').next() == Some(alias)).then_some(Drive { device, node })
    };
    drives.as_array()?.iter().find_map(drive)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_found_by_its_alias_and_changed_at_its_device() {
        let listed = json!([
            { "device": "", "qdev": "/machine/peripheral/virtio-disk1/virtio-backend", "inserted": { "node-name": "b" } },
            { "device": "", "qdev": "/machine/peripheral/virtio-disk10/virtio-backend", "inserted": { "node-name": "c" } },
            { "device": "", "qdev": "scsi0-0-0-2", "inserted": { "node-name": "d" } },
            { "device": "", "qdev": "sata0-0-1" },
        ]);
        let found = |alias: &str| find(&listed, alias).map(|drive| (drive.path(), drive.node));
        assert_eq!(found("virtio-disk1"), Some(("/machine/peripheral/virtio-disk1".into(), "b".into())));
        assert_eq!(found("scsi0-0-0-2"), Some(("/machine/peripheral/scsi0-0-0-2".into(), "d".into())));
        assert_eq!(found("sata0-0-1"), None, "it is empty");
        assert_eq!(found("virtio-disk2"), None);
    }
}
