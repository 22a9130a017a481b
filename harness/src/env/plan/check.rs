//! Whether an init file can be planned, as far as that can be told without having any of its images.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    decide::plan,
    error::{PlanError, PlanErrors},
    model::{PlanInputs, Warning},
};
use crate::{
    initfile::{
        EnvSpec,
        spec::{DiskSource, DiskSpec},
    },
    lab::{View, accel::Accel},
    net::Scope,
    provider::{MachineProvider, libvirt::Cpus},
    template::{TemplateDisk, TemplateId},
};

/// Names that init files may use; here it only matters that there are such things.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The CPU models there are.
    pub cpus: &'a Cpus,
    /// Types of machines.
    pub vm_types: &'a [&'a str],
    /// Who makes machines that libvirt does not.
    pub providers: &'a [Arc<dyn MachineProvider>],
    /// What manages services in machines.
    pub service_managers: &'a [&'a str],
    /// Whether nets can have a way out.
    pub way_out: bool,
}

/// Plans `spec` as if all its images and files were there, and none of them ours.
///
/// # Errors
/// Every reason why it cannot be as asked.
pub fn check(spec: &EnvSpec, known: &Known<'_>) -> Result<Vec<Warning>, PlanErrors> {
    let disks = || spec.machines.iter().flat_map(|machine| &machine.disks);
    let somewhere = Path::new("/");
    let host_keys = spec.machines.iter().map(|machine| (machine.name.clone(), String::new())).collect();
    let inputs = PlanInputs {
        view: &View::hermetic(),
        accel: Accel::Tcg,
        cpus: known.cpus,
        uuid: "",
        scope: &Scope::hermetic(),
        owner: None,
        images: &BTreeMap::new(),
        image_store: somewhere,
        templates: &disks().filter_map(template).collect(),
        template_store: somewhere,
        template_names: &[],
        downloads: &disks().filter_map(download).collect(),
        backing: &BTreeMap::new(),
        found: &BTreeMap::new(),
        prints: &BTreeMap::new(),
        authorized_key: "",
        host_keys: &host_keys,
        vm_types: known.vm_types,
        providers: known.providers,
        service_managers: known.service_managers,
    };
    // An archive brings disks, and with them something to boot.
    let mut spec = spec.clone();
    spec.machines.iter_mut().filter(|machine| machine.ova.is_some()).for_each(|machine| {
        machine.boot.get_or_insert_with(|| crate::initfile::spec::KernelBoot {
            kernel: somewhere.to_owned(),
            initrd: None,
            cmdline: String::new(),
        });
    });
    let asking = spec.nets.iter().filter(|net| net.internet && !known.way_out);
    let mut errors: Vec<_> =
        asking.map(|net| PlanError::NoWayOut { at: net.place_of("internet").clone() }).collect();
    match plan(&spec, &inputs) {
        Ok(plan) if errors.is_empty() => return Ok(plan.warnings),
        Ok(_) => {}
        Err(more) => errors.extend(more.0),
    }
    Err(PlanErrors(errors))
}

fn template(disk: &DiskSpec) -> Option<((String, Option<String>), TemplateDisk)> {
    let DiskSource::Template { name, version } = &disk.source else { return None };
    let template = TemplateDisk {
        id: TemplateId { repo: String::new(), template: name.clone(), version: String::new() },
        path: PathBuf::from("/"),
        format: "raw".to_owned(),
        size: 0,
        metadata: serde_json::Map::new(),
        digest: String::new(),
    };
    Some(((name.clone(), version.clone()), template))
}

fn download(disk: &DiskSpec) -> Option<(String, PathBuf)> {
    match &disk.source {
        DiskSource::File { url: Some(url), .. } => Some((url.clone(), PathBuf::from("/"))),
        _ => None,
    }
}
