//! One machine: its domain, its disks and who it is.

use std::path::{Path, PathBuf};

use super::{
    decide::Binds,
    error::PlanError,
    model::{Backing, MachinePlan, OverlayPlan, PlanInputs},
};
use crate::{
    base::text::did_you_mean,
    image::{self, Ability, Identity, ImageInfo, NicAddress, NicIdentity},
    initfile::spec::{DiskFormat, DiskSource, DiskSpec, MachineSpec, Place},
    lab::accel::Accel,
    net::{PlannedNet, PlannedNic},
    provider::spec::{Bus, DomainDisk, DomainNic, DomainSpec, ImageFormat},
};

/// Everything one machine is decided from.
pub(super) struct Planner<'a> {
    pub(super) spec: &'a MachineSpec,
    pub(super) nics: &'a [PlannedNic],
    pub(super) nets: &'a [PlannedNet],
    pub(super) inputs: &'a PlanInputs<'a>,
}

impl<'a> Planner<'a> {
    pub(super) fn plan(&self, binds: &mut Binds) -> Result<MachinePlan, Vec<PlanError>> {
        let name = &self.spec.name;
        let mut errors = Vec::new();
        let mut disks = Vec::new();
        let mut overlays = Vec::new();
        for disk in &self.spec.disks {
            match self.disk(disk, binds) {
                Ok((disk, overlay)) => {
                    disks.push(disk);
                    overlays.extend(overlay);
                }
                Err(error) => errors.push(error),
            }
        }
        let root = self.root(&mut errors);
        let oem_strings = self.identity().map_err(|error| errors.push(error)).map(|who| who.oem_strings());
        let dir = root.and_then(|(_, image)| self.image_dir(image).ok());
        let (Some((root, image)), Some(dir), Ok(oem_strings), true) =
            (root, dir, oem_strings, errors.is_empty())
        else {
            return Err(errors);
        };
        let console = PathBuf::from(format!("{name}+console.log"));
        Ok(MachinePlan {
            name: name.clone(),
            image: Some(image.name.clone()),
            abilities: image.abilities.clone(),
            domain: DomainSpec {
                name: name.clone(),
                kvm: self.inputs.accel == Accel::Kvm,
                memory_mib: self.spec.memory_mib,
                vcpus: self.spec.vcpus,
                kernel: dir.join(&image.kernel),
                initrd: dir.join(&image.initrd),
                cmdline: format!("{} root=/dev/{}", image.cmdline, root.dev),
                oem_strings,
                disks,
                nics: self.nics.iter().map(|nic| self.domain_nic(nic)).collect(),
                console: self.inputs.lab_env_dir.join(&console),
            },
            management_ip: self.management().map(|(nic, _)| nic.ip),
            nics: self.nics.to_vec(),
            overlays,
            console,
            artifacts: self.spec.artifacts.clone(),
            groups: self.spec.groups.clone(),
            metadata: self.spec.metadata.clone(),
        })
    }

    /// What it boots, checked for being bootable.
    fn root(&self, errors: &mut Vec<PlanError>) -> Option<(&'a DiskSpec, &'a ImageInfo)> {
        let at = || self.spec.at.clone();
        let machine = || self.spec.name.clone();
        let template = self.spec.disks.first().and_then(|disk| match &disk.source {
            DiskSource::Template { name, .. } => Some((disk, name)),
            DiskSource::Qcow2 { .. } | DiskSource::Empty { .. } | DiskSource::File { .. } => None,
        });
        let Some((root, name)) = template else {
            errors.push(PlanError::NoRootDisk { at: at(), machine: machine() });
            return None;
        };
        // An unknown image is reported with its disk.
        let image = self.inputs.images.get(name)?;
        if self.spec.memory_mib < image.min_memory_mib {
            errors.push(PlanError::TooLittleMemory {
                at: at(),
                machine: machine(),
                memory_mib: self.spec.memory_mib,
                image: name.clone(),
                needed_mib: image.min_memory_mib,
            });
        }
        if let Err(error) = image.abilities.require(name, Ability::Identity) {
            errors.push(PlanError::Unsupported { at: at(), machine: machine(), error });
        }
        Some((root, image))
    }

    fn disk(
        &self,
        disk: &DiskSpec,
        binds: &mut Binds,
    ) -> Result<(DomainDisk, Option<OverlayPlan>), PlanError> {
        let overlay = |format: ImageFormat, backing, size| {
            // `+` is in no name, so no two disks meet in one file.
            let path = PathBuf::from(format!("{}+{}.{format}", self.spec.name, disk.name));
            OverlayPlan { path, format, backing, size }
        };
        let overlay = match (&disk.source, disk.format) {
            (DiskSource::Template { name, .. }, _) => {
                let image = self.image(name, &disk.at)?;
                let path = self.image_dir(image)?.join(&image.disk);
                let backing = Backing { path, format: ImageFormat::Qcow2 };
                overlay(ImageFormat::Qcow2, Some(backing), None)
            }
            (DiskSource::Empty { size }, DiskFormat::Raw) => overlay(ImageFormat::Raw, None, Some(*size)),
            (DiskSource::Empty { size }, _) => overlay(ImageFormat::Qcow2, None, Some(*size)),
            (DiskSource::Qcow2 { path }, _) => {
                let backing = Backing { path: binds.add(path), format: ImageFormat::Qcow2 };
                overlay(ImageFormat::Qcow2, Some(backing), None)
            }
            (DiskSource::File { path: None, .. }, _) => {
                return Err(PlanError::NotFetched { at: disk.at.clone(), disk: disk.name.clone() });
            }
            (DiskSource::File { path: Some(path), .. }, DiskFormat::Iso) => {
                let path = binds.add(path);
                let dev = disk.dev.clone();
                return Ok((
                    DomainDisk { dev, bus: Bus::Scsi, path, format: ImageFormat::Raw, cdrom: true },
                    None,
                ));
            }
            (DiskSource::File { path: Some(path), .. }, format) => {
                let format = if format == DiskFormat::Raw { ImageFormat::Raw } else { ImageFormat::Qcow2 };
                overlay(ImageFormat::Qcow2, Some(Backing { path: binds.add(path), format }), None)
            }
        };
        let bus = if disk.dev.starts_with("sd") { Bus::Scsi } else { Bus::Virtio };
        let path = self.inputs.lab_env_dir.join(&overlay.path);
        let made = DomainDisk { dev: disk.dev.clone(), bus, path, format: overlay.format, cdrom: false };
        Ok((made, Some(overlay)))
    }

    fn image(&self, name: &str, place: &Place) -> Result<&'a ImageInfo, PlanError> {
        self.inputs.images.get(name).ok_or_else(|| {
            let mut known: Vec<String> = self.inputs.images.keys().cloned().collect();
            known.extend(image::recipes().iter().map(|recipe| recipe.name.clone()));
            known.sort_unstable();
            known.dedup();
            let help = match did_you_mean(name, known.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("there are {}", known.join(", ")),
            };
            PlanError::UnknownImage { at: place.clone(), image: name.to_owned(), help }
        })
    }

    /// An image's folder as seen inside the lab.
    fn image_dir(&self, image: &ImageInfo) -> Result<PathBuf, PlanError> {
        let inside =
            image.dir.strip_prefix(self.inputs.store_root).map(|dir| self.inputs.lab_store_dir.join(dir));
        inside.map_err(|_| PlanError::OutsideStore { image: image.name.clone(), dir: image.dir.clone() })
    }

    fn identity(&self) -> Result<Identity, PlanError> {
        let machine = &self.spec.name;
        let host_key = self.inputs.host_keys.get(machine);
        let dns = self.management().and_then(|(_, net)| Some((net.gateway, net.dns.as_ref()?)));
        Ok(Identity {
            hostname: machine.clone(),
            authorized_key: self.inputs.authorized_key.to_owned(),
            host_key: host_key.cloned().ok_or_else(|| PlanError::NoHostKey { machine: machine.clone() })?,
            nics: self.nics.iter().map(|nic| self.nic_identity(nic)).collect(),
            dns: dns.map(|(gateway, _)| gateway),
            search: dns.map(|(_, plan)| plan.domain.clone()),
        })
    }

    fn nic_identity(&self, nic: &PlannedNic) -> NicIdentity {
        let net = self.net(nic);
        let address = match net {
            Some(net) if net.dhcp.is_none() => {
                let gateway = net.is_default_route().then_some(net.gateway);
                NicAddress::Static { ip: nic.ip, prefix: net.prefix, gateway }
            }
            _ => NicAddress::Dhcp,
        };
        NicIdentity { mac: nic.mac, address, mtu: net.and_then(|net| net.mtu) }
    }

    fn domain_nic(&self, nic: &PlannedNic) -> DomainNic {
        DomainNic { mac: nic.mac, network: nic.net.clone(), mtu: self.net(nic).and_then(|net| net.mtu) }
    }

    fn management(&self) -> Option<(&'a PlannedNic, &'a PlannedNet)> {
        let known = self.nics.iter().filter_map(|nic| Some((nic, self.net(nic)?)));
        known.into_iter().find(|(_, net)| net.management)
    }

    fn net(&self, nic: &PlannedNic) -> Option<&'a PlannedNet> {
        self.nets.iter().find(|net| net.name == nic.net)
    }
}
