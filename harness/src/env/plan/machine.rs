//! One machine: its domain, its disks and who it is.

use std::{path::PathBuf, time::Duration};

use super::{
    disk::{self, Root},
    error::{PlanError, help},
    files::Files,
    model::{DiskPlan, IdentityFrom, LOCAL, Login, MachinePlan, PlanInputs, ROOT, SSH, TYPE, Warning, told},
    told::Told,
};
use crate::{
    base::id::uuid,
    image::{Abilities, Ability},
    initfile::spec::{DiskSource, Firmware, MachineSpec, NicSpec},
    lab::accel::Accel,
    net::{PlannedNet, PlannedNic, prefixed_name},
    provider::{
        MachineOrder, MachineProvider,
        libvirt::xml::{self, Element},
        spec::{Boot, Cpu, CpuModel, DomainDisk, DomainNic, DomainSpec, Label, Screen, Topology},
    },
};

/// The machine type that today's systems are made for.
const MACHINE_TYPE: &str = "q35";

/// How long a machine may take until it answers whose image is not ours and which does not say.
const FOREIGN_BOOT: Duration = Duration::from_secs(600);

/// Everything one machine is decided from.
pub(super) struct Planner<'a> {
    pub(super) spec: &'a MachineSpec,
    pub(super) nics: &'a [PlannedNic],
    pub(super) nets: &'a [PlannedNet],
    pub(super) inputs: &'a PlanInputs<'a>,
}

impl<'a> Planner<'a> {
    pub(super) fn plan(&self, files: &mut Files<'_>) -> Result<MachinePlan, Vec<PlanError>> {
        let mut errors = Vec::new();
        self.known("vm-type", self.vm_type(), self.inputs.vm_types, &mut errors);
        if let Some(name) = &self.spec.service_provider {
            self.known("service_provider", name, self.inputs.service_managers, &mut errors);
        }
        let planned = match self.provider() {
            LOCAL => self.made(files, &mut errors),
            other => match self.inputs.providers.iter().find(|provider| provider.name() == other) {
                Some(provider) => self.ordered(&**provider, &mut errors),
                None => {
                    let known = self.inputs.providers.iter().map(|provider| provider.name());
                    let known: Vec<&str> = known.chain([LOCAL]).collect();
                    self.known("vm-provider", other, &known, &mut errors);
                    // Whatever it means, it is not for us to say what machines of it need.
                    errors.extend(self.cpu().err());
                    errors.extend(self.overlay().err());
                    None
                }
            },
        };
        planned.filter(|_| errors.is_empty()).ok_or(errors)
    }

    /// What the file asks for and this machine does not heed.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let Root::Ours(image) = disk::root(self.spec, self.inputs) else { return Vec::new() };
        let name = &image.name;
        let message = format!("`cloud-init` does nothing: there is none in the image `{name}`");
        let idle = self.spec.cloud_init.as_ref();
        idle.map(|_| Warning { at: self.spec.place_of("cloud-init").clone(), message }).into_iter().collect()
    }

    fn vm_type(&self) -> &'a str {
        self.spec.vm_type.as_deref().unwrap_or(TYPE)
    }

    fn provider(&self) -> &'a str {
        self.spec.provider.as_deref().unwrap_or(LOCAL)
    }

    fn port(&self) -> u16 {
        self.spec.ssh_port.unwrap_or(SSH)
    }

    /// `what` is a key of the init file, too.
    fn known(&self, what: &'static str, name: &str, known: &[&str], errors: &mut Vec<PlanError>) {
        if !known.contains(&name) {
            let (at, help) = (self.spec.place_of(what).clone(), help(name, known.iter().copied()));
            errors.push(PlanError::Unknown { at, what, name: name.to_owned(), help });
        }
    }

    /// A machine that somebody else makes, or that is there anyway.
    fn ordered(&self, provider: &dyn MachineProvider, errors: &mut Vec<PlanError>) -> Option<MachinePlan> {
        let given = |nic: &NicSpec| nic.ip.map(Into::into).or(nic.ip6.map(Into::into));
        let address = self.spec.ssh_address.or_else(|| self.spec.nics.iter().find_map(given));
        let order = MachineOrder {
            id: prefixed_name(self.inputs.uuid, self.spec.name.as_str(), 0)?,
            name: self.spec.name.to_string(),
            memory_mib: self.spec.memory_mib,
            vcpus: self.spec.vcpus,
            nics: self.nics.to_vec(),
            address,
            port: self.port(),
            metadata: self.spec.metadata.clone(),
        };
        let disks = (!self.spec.disks.is_empty()).then(|| "it cannot have disks of ours".to_owned());
        let wrong = disks.into_iter().chain(provider.check(&order).err().into_iter().flatten());
        errors.extend(wrong.map(|what| PlanError::Refused {
            at: self.spec.at.clone(),
            machine: self.spec.name.clone(),
            provider: provider.name().to_owned(),
            what,
        }));
        let told = Told::of(IdentityFrom::Itself);
        let plan = self.common(Root::Foreign, told, None, Vec::new());
        Some(MachinePlan { order: Some(order), management_ip: address, ..plan })
    }

    /// A machine that libvirt makes.
    fn made(&self, files: &mut Files<'_>, errors: &mut Vec<PlanError>) -> Option<MachinePlan> {
        let root = disk::root(self.spec, self.inputs);
        let machine_type = self.spec.machine.as_deref().unwrap_or(MACHINE_TYPE);
        let (mut disks, mut plans) = self.disks(machine_type, files, errors);
        self.check(root, errors);
        let cpu = self.cpu().map_err(|error| errors.push(error)).ok();
        let overlay = self.overlay().map_err(|error| errors.push(error)).ok();
        let mut oem_strings = Vec::new();
        let told = match self.tell(root, &mut disks, &mut plans, &mut oem_strings) {
            Ok(told) => told,
            Err(error) => {
                errors.push(error);
                return None;
            }
        };
        let boot = self.boot(root, &disks, files).map_err(|error| errors.extend(error)).ok();
        let domain = DomainSpec {
            name: self.domain_name(),
            uuid: self.domain_uuid(),
            label: self.inputs.owner.map(|owner| Label { name: self.spec.name.to_string(), ..owner.clone() }),
            kvm: self.inputs.accel == Accel::Kvm,
            machine_type: machine_type.to_owned(),
            memory_mib: self.spec.memory_mib,
            vcpus: self.spec.vcpus,
            cpu: cpu?,
            boot: boot?,
            oem_strings,
            disks,
            nics: self.nics.iter().map(|nic| self.domain_nic(nic)).collect(),
            console: self.inputs.view.env.join(self.console()),
            screen: self.spec.graphics.then(|| self.screen()),
            keep_owners: false,
            overlay: overlay?,
        };
        Some(self.common(root, told, Some(domain), plans))
    }

    fn disks(
        &self,
        machine_type: &str,
        files: &mut Files<'_>,
        errors: &mut Vec<PlanError>,
    ) -> (Vec<DomainDisk>, Vec<DiskPlan>) {
        let mut decided = (Vec::new(), Vec::new());
        for (position, one) in (1..).zip(&self.spec.disks) {
            match disk::disk(self.spec, machine_type, position, one, self.inputs, files) {
                Ok((disk, plan)) => {
                    decided.0.push(disk);
                    decided.1.push(plan);
                }
                Err(error) => errors.push(error),
            }
        }
        decided
    }

    /// Whether what it boots can be booted, and in so little memory.
    fn check(&self, root: Root<'_>, errors: &mut Vec<PlanError>) {
        let (at, machine) = (self.spec.at.clone(), self.spec.name.clone());
        match root {
            Root::Ours(image) => {
                if self.spec.memory_mib < image.min_memory_mib {
                    errors.push(PlanError::TooLittleMemory {
                        at: self.spec.place_of("memory").clone(),
                        machine: machine.clone(),
                        memory_mib: self.spec.memory_mib,
                        image: image.name.clone(),
                        needed_mib: image.min_memory_mib,
                    });
                }
                if let Err(error) = image.abilities.require(&image.name, Ability::Identity) {
                    errors.push(PlanError::Unsupported { at, machine, error });
                }
            }
            Root::Blank if self.spec.boot.is_none() => errors.push(PlanError::NothingToBoot { at, machine }),
            Root::Foreign | Root::Blank => {}
        }
    }

    fn boot(
        &self,
        root: Root<'_>,
        disks: &[DomainDisk],
        files: &mut Files<'_>,
    ) -> Result<Boot, Option<PlanError>> {
        if let Some(asked) = &self.spec.boot {
            return Ok(Boot::Kernel {
                kernel: files.add(&asked.kernel, &[]),
                initrd: asked.initrd.as_ref().map(|initrd| files.add(initrd, &[])),
                cmdline: asked.cmdline.clone(),
            });
        }
        match (root, self.spec.firmware) {
            (Root::Ours(image), Firmware::Uefi) => Err(Some(PlanError::NoBootLoader {
                at: self.spec.place_of("firmware").clone(),
                machine: self.spec.name.clone(),
                image: image.name.clone(),
            })),
            (Root::Ours(image), Firmware::Bios) => {
                // An image outside the store is reported with its disk.
                let dir = disk::image_dir(image, self.inputs).map_err(|_| None)?;
                let dev = disk::seen_as(disks).map_err(|bus| PlanError::NoDriver {
                    at: self.spec.disks.first().map_or(&self.spec.at, |disk| &disk.at).clone(),
                    machine: self.spec.name.clone(),
                    image: image.name.clone(),
                    bus,
                })?;
                Ok(Boot::Kernel {
                    kernel: dir.join(&image.kernel),
                    initrd: Some(dir.join(&image.initrd)),
                    cmdline: format!("{} {} root=/dev/{dev}", image.cmdline, told(self.inputs.accel)),
                })
            }
            (_, Firmware::Bios) => Ok(Boot::Bios),
            (_, Firmware::Uefi) => {
                let nvram = format!("images/{}+.nvram", self.spec.name);
                Ok(Boot::Uefi { nvram: self.inputs.view.env.join(nvram) })
            }
        }
    }

    fn cpu(&self) -> Result<Cpu, PlanError> {
        let (asked, cpus) = (&self.spec.cpu, self.inputs.cpus);
        let mut topology =
            asked.topology.map(|t| Topology { sockets: t.sockets, cores: t.cores, threads: t.threads });
        let model = match (&asked.model, &asked.custom) {
            (Some(name), _) => {
                // Where libvirt's list cannot be read, libvirt itself says what it does not know.
                if !cpus.models.is_empty() && !cpus.models.contains_key(name) {
                    let help = help(name, cpus.models.keys().map(String::as_str));
                    let (at, name) = (self.spec.place_of("cpu_model").clone(), name.clone());
                    return Err(PlanError::Unknown { at, what: "CPU model", name, help });
                }
                // Translated CPUs have no host's features.
                let nesting = cpus.nesting(name).filter(|_| self.inputs.accel == Accel::Kvm);
                CpuModel::Exact { name: name.clone(), feature: nesting.map(str::to_owned) }
            }
            (None, Some(map)) => {
                let (at, machine) = (self.spec.place_of("cpu_custom").clone(), self.spec.name.clone());
                let cpu =
                    Element::from_json("cpu", map).map_err(|why| PlanError::BadCpu { at, machine, why })?;
                topology = topology.filter(|_| cpu.child("topology").is_none());
                CpuModel::Custom(cpu)
            }
            (None, None) => CpuModel::Best,
        };
        // Who arranges the CPUs, or says what they are, has said how they lie.
        let divided = model == CpuModel::Best && topology.is_none();
        let cells = if divided { cells(self.spec.vcpus) } else { 1 };
        Ok(Cpu { model, topology, cells })
    }

    fn overlay(&self) -> Result<Option<Element>, PlanError> {
        let (at, machine) = (self.spec.place_of("xml"), &self.spec.name);
        let wrong = |error| PlanError::BadOverlay { at: at.clone(), machine: machine.clone(), error };
        self.spec.xml.as_deref().map(xml::overlay).transpose().map_err(wrong)
    }

    /// Its operating system: what the init file says, or else its image, or else what was seen on its disk.
    pub(super) fn distro(&self) -> Option<String> {
        let of_image = || match &self.spec.disks.first()?.source {
            DiskSource::Template { name, version } => {
                self.inputs.templates.get(&(name.clone(), version.clone()))?.metadata.get("distro")?.as_str()
            }
            _ => None,
        };
        let said = || self.spec.disks.first()?.metadata.get("distro")?.as_str();
        let seen = || disk::found(self.spec, self.inputs)?.distro.as_deref();
        self.spec.distro.as_deref().or_else(of_image).or_else(said).or_else(seen).map(str::to_owned)
    }

    /// Everything that does not depend on who makes it.
    fn common(
        &self,
        root: Root<'_>,
        told: Told,
        domain: Option<DomainSpec>,
        disks: Vec<DiskPlan>,
    ) -> MachinePlan {
        let spec = self.spec;
        // A bridge that is somebody else's says nothing of where its machines are reached.
        let served =
            |nic: &&PlannedNic| self.net(nic).is_some_and(|net| net.management && net.server().is_some());
        let management = self.nics.iter().find(served);
        let image = disks.first().and_then(|root| root.template.as_ref());
        MachinePlan {
            name: spec.name.clone(),
            vm_type: self.vm_type().to_owned(),
            provider: self.provider().to_owned(),
            domain,
            order: None,
            image: image.map(|(name, _)| name.clone()),
            distro: self.distro(),
            abilities: self.abilities(root),
            identity: told.from,
            told: told.why,
            login: Login {
                user: spec.ssh_user.clone().unwrap_or_else(|| ROOT.to_owned()),
                password: spec.ssh_password.clone(),
                port: self.port(),
                key: spec.ssh_key.clone(),
                host_key: spec.ssh_host_key.clone(),
                jump: spec.ssh_jump.clone(),
                root_password: spec.root_password.clone(),
            },
            management_ip: spec.ssh_address.or_else(|| management?.addresses().next()),
            nics: self.nics.to_vec(),
            disks,
            console: self.console(),
            boot_time: spec.boot_time.or_else(|| (!matches!(root, Root::Ours(_))).then_some(FOREIGN_BOOT)),
            artifacts: spec.artifacts.clone(),
            groups: spec.groups.clone(),
            roles: spec.roles.clone(),
            capabilities: spec.capabilities.clone(),
            awaited: spec.awaited,
            deploy_scripts: spec.deploy_scripts.clone(),
            service_provider: spec.service_provider.clone(),
            guest_agent: spec.guest_agent.clone(),
            skip_export: spec.skip_export,
            metadata: spec.metadata.clone(),
        }
    }

    /// What is known of our images; of others, what nearly all of them can, what the init file says, and what was seen
    /// on their disks.
    fn abilities(&self, root: Root<'_>) -> Abilities {
        if let Root::Ours(image) = root {
            return image.abilities.clone();
        }
        let seen = disk::found(self.spec, self.inputs).filter(|found| found.root.is_some());
        let mut abilities = vec![Ability::Ssh, Ability::Sftp, Ability::Reboot];
        let has_systemd = seen.is_none_or(|found| found.systemd);
        if self.spec.service_provider.as_deref().map_or(has_systemd, |provider| provider == "systemd") {
            abilities.extend([Ability::Units, Ability::Journal]);
        }
        if self.spec.guest_agent.is_some() || seen.is_some_and(|found| found.agent) {
            abilities.push(Ability::Agent);
        }
        Abilities(abilities.into_iter().collect())
    }

    fn console(&self) -> PathBuf {
        PathBuf::from(format!("consoles/{}.log", self.spec.name))
    }

    /// In a lab of our own all daemons' paths are ours; elsewhere the emulator's user may make sockets where libvirt says.
    fn screen(&self) -> Screen {
        match self.inputs.owner {
            None => Screen::At(self.inputs.view.env.join(format!("consoles/{}.vnc", self.spec.name))),
            Some(_) => Screen::Anywhere,
        }
    }

    fn domain_name(&self) -> String {
        let name = self.spec.name.as_str();
        let prefixed = self.inputs.scope.uuid.as_ref().and_then(|uuid| prefixed_name(uuid, name, 0));
        prefixed.unwrap_or_else(|| name.to_owned())
    }

    /// Where nobody else is, a function of the name alone, so that a saved machine fits into every lab.
    fn domain_uuid(&self) -> String {
        match &self.inputs.scope.uuid {
            Some(ours) => uuid("domain", &format!("{ours} {}", self.spec.name)),
            None => uuid("domain", self.spec.name.as_str()),
        }
    }

    fn domain_nic(&self, nic: &PlannedNic) -> DomainNic {
        let asked = self.spec.nics.get(nic.index);
        DomainNic {
            mac: nic.mac,
            network: self.net(nic).map_or_else(|| nic.net.to_string(), |net| net.libvirt_name.clone()),
            tap: nic.tap.clone(),
            model: asked.and_then(|nic| nic.model.clone()).unwrap_or_else(|| "virtio".to_owned()),
            mtu: nic.mtu,
            link_up: nic.link.up,
        }
    }

    fn net(&self, nic: &PlannedNic) -> Option<&'a PlannedNet> {
        self.nets.iter().find(|net| net.name == nic.net)
    }
}

/// Into how many NUMA cells so many CPUs are divided: of four where that works out, but never into a single one; of two;
/// else of one.
fn cells(vcpus: u32) -> u32 {
    match vcpus {
        4 => 2,
        n if n.is_multiple_of(4) => n / 4,
        n if n > 2 && n.is_multiple_of(2) => n / 2,
        n => n.max(1),
    }
}
