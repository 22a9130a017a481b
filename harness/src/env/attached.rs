//! Disks that come and go while a machine runs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Env, EnvError, Vm, daemon, disk,
    error::file,
    host::limits,
    plan::{Backing, ImagePlan, Made},
    turn::Turn,
};
use crate::{
    base::wait::{Look, wait_for},
    provider::{
        libvirt::xml::{disk_of, disk_xml, disks_of},
        spec::{Access, Bus, DomainDisk, ImageFormat},
    },
};

/// How long a guest may take to let go of a disk, and how often it is looked.
const LET_GO: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// What a disk that is attached is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewDisk {
    /// Nothing.
    Empty {
        /// Its size in bytes.
        size: u64,
    },
    /// A copy of an image on this host.
    Copy {
        /// The image.
        path: PathBuf,
        /// Its format, which is not guessed: what a guest wrote into a disk must not choose it.
        format: ImageFormat,
    },
}

/// A disk that was attached to a machine. It stays until it is detached, or the machine switched off.
#[derive(Debug)]
pub struct AttachedDisk {
    env: Env,
    vm: Vm,
    dev: String,
    serial: String,
    /// Its image on this host.
    image: PathBuf,
}

/// How serial numbers of disks begin that were attached; the device follows.
const ATTACHED: &str = "attached-";

impl Env {
    /// Plugs a disk (virtio) into a machine that runs, as its next `vdX`. No snapshot keeps what is on it.
    ///
    /// # Errors
    /// The machine is off or has no place for it, or the image cannot be made.
    pub async fn attach_disk(&self, vm: &Vm, disk: &NewDisk) -> Result<AttachedDisk, EnvError> {
        const WHAT: &str = "attach a disk to";
        let _turn = Turn::begin(self, "attach").await?;
        let running = vm.controlled(WHAT)?;
        let xml = running.connection.domain_xml(vm.domain(), limits::COMMAND).await;
        let taken = disks_of(&xml.map_err(|error| running.explain(error))?);
        let free = ('a'..='z').map(|letter| format!("vd{letter}")).find(|dev| !taken.contains(dev));
        let dev = free.ok_or_else(|| vm.refuse(WHAT, "it has 26 already"))?;
        let (format, made) = match disk {
            NewDisk::Empty { size } => (ImageFormat::Qcow2, Made::Empty { size: *size }),
            NewDisk::Copy { path, format } => {
                let path = fs::canonicalize(path).map_err(file("find", path))?;
                (*format, Made::Copy(Backing { path, format: *format }))
            }
        };
        let path = self.unused(vm, &dev);
        let image = self.folder().join(&path);
        disk::create(self, &ImagePlan { path: path.clone(), format, made }).await?;
        let attached = async {
            daemon::open(self, &running, [path.as_path()].into_iter()).await?;
            let disk = DomainDisk {
                serial: format!("{ATTACHED}{dev}"),
                dev: dev.clone(),
                bus: Bus::Virtio,
                path: running.lab.view().env.join(&path),
                format,
                access: Access::ReadWrite,
                boot_order: None,
            };
            let xml = disk_xml(&disk, taken.len() + 1);
            let attached = running.connection.attach_device(vm.domain(), xml, limits::DOMAIN).await;
            attached.map(|()| disk.serial).map_err(|error| running.explain(error))
        };
        match attached.await {
            Ok(serial) => Ok(AttachedDisk { env: self.clone(), vm: vm.clone(), dev, serial, image }),
            Err(error) => {
                let _ = fs::remove_file(&image);
                Err(error)
            }
        }
    }

    /// The disk `dev` that was attached to a machine, by whatever process.
    ///
    /// # Errors
    /// The machine is off or has no such disk, or has it from its init file.
    pub async fn attached_disk(&self, vm: &Vm, dev: &str) -> Result<AttachedDisk, EnvError> {
        const WHAT: &str = "detach a disk from";
        let running = vm.controlled(WHAT)?;
        let xml = running.connection.domain_xml(vm.domain(), limits::COMMAND).await;
        let xml = xml.map_err(|error| running.explain(error))?;
        let disk = disk_of(&xml, dev).ok_or_else(|| {
            vm.refuse(WHAT, format!("it has no disk {dev}; there are {}", disks_of(&xml).join(", ")))
        })?;
        if !disk.serial.starts_with(ATTACHED) {
            return Err(
                vm.refuse(WHAT, format!("{dev} is of its init file; only what was attached is detached"))
            );
        }
        let image = disk::outside(self, &disk.image);
        Ok(AttachedDisk {
            env: self.clone(),
            vm: vm.clone(),
            dev: dev.to_owned(),
            serial: disk.serial,
            image,
        })
    }

    /// A file in the environment's folder that there is not yet, relative to it.
    fn unused(&self, vm: &Vm, dev: &str) -> PathBuf {
        // `+` is in no name, so that it is no image of the plan.
        let name = |number: u32| PathBuf::from(format!("images/{}+{dev}+attached{number}", vm.name()));
        let is_free = |path: &PathBuf| !self.folder().join(path).exists();
        (0..).map(name).find(is_free).unwrap_or_else(|| name(u32::MAX))
    }
}

impl AttachedDisk {
    /// The device it was attached as, such as `vdb`. A guest may call it otherwise; [`AttachedDisk::serial`] tells.
    #[must_use]
    pub fn dev(&self) -> &str {
        &self.dev
    }

    /// Its serial number, as the guest sees it.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Its image on this host.
    #[must_use]
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Takes it out of the machine while that runs, waits until its guest has let go of it, and removes its image.
    ///
    /// # Errors
    /// libvirt refuses, or the guest does not let go.
    pub async fn detach(self) -> Result<(), EnvError> {
        let Self { env, vm, dev, image, .. } = self;
        let _turn = Turn::begin(&env, "detach").await?;
        let running = vm.controlled("detach a disk from")?;
        let (connection, domain) = (&running.connection, vm.domain());
        let detached = async {
            let disk = disk_of(&connection.domain_xml(domain, limits::COMMAND).await?, &dev);
            match disk {
                Some(disk) => connection.detach_device(domain, disk.xml, limits::DOMAIN).await,
                // It went with the machine's power.
                None => Ok(()),
            }
        };
        detached.await.map_err(|error| running.explain(error))?;
        let gone = wait_for("the disk to be gone", env.scaled(LET_GO), PAUSE, async || {
            match connection.domain_xml(domain, limits::COMMAND).await {
                Ok(xml) if disks_of(&xml).contains(&dev) => Look::NotYet("it is still there".into()),
                Ok(_) => Look::Ready(()),
                Err(error) => Look::Failed(error.to_string()),
            }
        });
        let error = |source| EnvError::NotLetGo {
            machine: vm.name().clone(),
            device: format!("disk {dev}"),
            source: Box::new(source),
        };
        gone.await.map_err(error)?;
        fs::remove_file(&image).map_err(file("remove", &image))
    }
}
