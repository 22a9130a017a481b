//! Calls that keep a moment of a machine and bring it back.
//!
//! A moment with memory is an external snapshot: libvirt writes memory and devices to one file (of the same format as
//! `virsh save`) and moves all disks to new images in the same instant, while the machine goes on. To go back, the
//! domain is destroyed, fresh overlays are laid over the frozen images, and the file is restored with the XML that is in
//! it, changed to those overlays ([`xml::as_now`](super::xml::as_now)). Tried on libvirt 9.0 and QEMU 7.2 with
//! transient domains and several disks, raw and qcow2, again and again from one file: guests go on exactly there. On a
//! busy host without KVM, a guest of 128 MiB took 0.9 s to keep (its file has 70 MB) and 2.3 to 3.1 s to bring back.
//!
//! - The XML in the file names the frozen images, to which a machine restored as it is would write; and libvirt notes
//!   `<backingStore/>` there for disks that lay over nothing, with which an overlay would be opened without what it lies
//!   over: the guest reads zeros. Both are changed.
//! - Moments in the qcow2 files themselves need no second file and no other process, but cannot have raw disks. libvirt forgets
//!   its internal snapshots when a transient domain ends; the emulator, asked past it (`savevm`, `loadvm`), finds them in the
//!   files, in another process as well. Of two guests of 128 MiB without KVM, 0.12 to 0.20 s to keep, against 0.62 to
//!   0.86 s as above; 0.7 to 1.7 s to bring back with clocks set, against 1.2 to 1.8 s, and ssh answers 0.7 s earlier.
//! - Without memory, only the disks are kept, and a machine that goes back boots.

use std::{path::Path, time::Duration};

use virt::{connect::Connect, sys};

use super::{
    Connection,
    xml::{SnapshotSpec, snapshot_xml},
};
use crate::provider::ProviderError;

impl Connection {
    /// Keeps a moment of a running domain: all disks, and the memory if it is asked for, at the same instant. The domain
    /// goes on, on the new disk images, which must be there, laid over those it writes to. With `quiesce` the guest's
    /// file systems are at rest in what is kept; that needs its agent, and only goes without memory.
    ///
    /// # Errors
    /// What libvirt said (nothing has been changed then), or that it did not come back within `limit`.
    pub async fn snapshot_domain(
        &self,
        name: &str,
        spec: &SnapshotSpec,
        quiesce: bool,
        limit: Duration,
    ) -> Result<(), ProviderError> {
        // Without metadata: libvirt forgets snapshots of a transient domain with it, and we know them better.
        // Images that are there are used: libvirt would name what lies below by a path that holds only here and now.
        let mut flags = sys::VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
            | sys::VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
            | sys::VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT;
        if spec.memory.is_none() {
            flags |= sys::VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY;
        }
        if quiesce {
            flags |= sys::VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE;
        }
        let xml = snapshot_xml(spec);
        let job = move |domain: &virt::domain::Domain| domain.create_snapshot_xml(&xml, flags).map(drop);
        self.on_domain("take a snapshot of domain", name, limit, job).await
    }

    /// The XML in a file of a domain's memory.
    ///
    /// # Errors
    /// As [`Connection::snapshot_domain`].
    pub async fn saved_xml(
        &self,
        name: &str,
        memory: &Path,
        limit: Duration,
    ) -> Result<String, ProviderError> {
        let file = memory.display().to_string();
        let job = move |c: &Connect| c.save_image_xml_desc(&file, 0);
        self.call(format!("read the saved domain {name}"), limit, job).await
    }

    /// Brings a domain back to the moment in which its memory was kept, where it waits for
    /// [`Connection::resume_domain`] if `paused` is wanted, else goes on; `xml` is what is in the file, changed only in
    /// what guests do not see (see [`super::xml::as_now`]).
    ///
    /// # Errors
    /// As [`Connection::snapshot_domain`].
    pub async fn restore_domain(
        &self,
        name: &str,
        memory: &Path,
        xml: String,
        paused: bool,
        limit: Duration,
    ) -> Result<(), ProviderError> {
        let flags = if paused { sys::VIR_DOMAIN_SAVE_PAUSED } else { sys::VIR_DOMAIN_SAVE_RUNNING };
        let file = memory.display().to_string();
        let job = move |c: &Connect| c.restore_domain_flags(&file, Some(&xml), flags);
        self.call(format!("restore domain {name}"), limit, job).await
    }

    /// Has a domain's emulator keep this moment, memory, devices and disks, in the disk images themselves as `tag`. It is
    /// to be paused, and stays so.
    ///
    /// # Errors
    /// As [`Connection::snapshot_domain`]; also when the emulator cannot, such as with a disk that is no qcow2 image.
    pub async fn keep_inside(&self, name: &str, tag: &str, limit: Duration) -> Result<(), ProviderError> {
        self.inside("keep the state of domain", "savevm", name, tag, limit).await
    }

    /// Brings a domain back to a moment that was kept in its disk images, in the same process. It is to be paused, and
    /// stays so.
    ///
    /// # Errors
    /// As [`Connection::keep_inside`]; also when there is no such moment, or the devices are not those it was kept with.
    pub async fn return_inside(&self, name: &str, tag: &str, limit: Duration) -> Result<(), ProviderError> {
        self.inside("bring back the state of domain", "loadvm", name, tag, limit).await
    }

    /// Forgets a moment that was kept in a domain's disk images.
    ///
    /// # Errors
    /// As [`Connection::keep_inside`].
    pub async fn forget_inside(&self, name: &str, tag: &str, limit: Duration) -> Result<(), ProviderError> {
        self.inside("forget a state of domain", "delvm", name, tag, limit).await
    }

    /// Libvirt has no calls for these on transient domains. The emulator says something only when it could not.
    async fn inside(
        &self,
        what: &str,
        command: &str,
        name: &str,
        tag: &str,
        limit: Duration,
    ) -> Result<(), ProviderError> {
        let said = self.monitor(name, format!("{command} {tag}"), limit).await?;
        let why = said.trim().trim_start_matches("Error: ");
        if why.is_empty() {
            return Ok(());
        }
        Err(ProviderError::Emulator { what: format!("{what} {name}"), why: why.to_owned() })
    }
}
