//! What becomes of which disk in an export: names, formats, and what each is made from. Pure.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::document::SourceOut;
use crate::{
    env::plan::{Backing, DiskPlan, MachinePlan, Made},
    initfile::spec::{DiskFormat, DiskSource, DiskSpec, MachineSpec},
    provider::spec::{Access, Boot, ImageFormat},
};

/// Key of a disk's metadata: the image of ours it was made from, whose guests it is therefore like.
pub(in crate::env) const IMAGE_KEY: &str = "polder-image";

/// A file of an export.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// Its name in the export.
    pub(super) file: String,
    pub(super) from: Origin,
}

/// What a file is made from. Paths are as the emulator sees them, unless they are relative: then they begin in the
/// environment's folder.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    /// A plain copy.
    Copy(PathBuf),
    /// The content of an image, in an image of another format or with less below it.
    Image {
        path: PathBuf,
        format: ImageFormat,
        to: DiskFormat,
        /// What stays below it.
        on: Option<Layer>,
        /// What is known about it.
        metadata: Map<String, Value>,
    },
}

/// The template that a layered image lies on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    /// `TEMPLATE:VERSION`.
    pub(super) name: String,
    pub(super) backing: Backing,
}

/// A disk in the init file of an export.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DiskOrder<'a> {
    pub(super) plan: &'a DiskPlan,
    /// What was asked for; absent: it came with an archive.
    pub(super) spec: Option<&'a DiskSpec>,
    pub(super) source: SourceOut,
    pub(super) format: DiskFormat,
    pub(super) job: Job,
    pub(super) metadata: Map<String, Value>,
}

/// How the disks of a machine go out. `top` is the image a disk writes to now, when that is another than at first;
/// `version` is what the images are called.
pub(super) fn disks<'a>(
    machine: &'a MachinePlan,
    spec: &'a MachineSpec,
    top: &dyn Fn(&str) -> Option<PathBuf>,
    layered: bool,
    version: &str,
) -> Result<Vec<DiskOrder<'a>>, Vec<String>> {
    let domain = machine.domain.iter().flat_map(|domain| &domain.disks);
    let mut orders = Vec::new();
    let mut problems = Vec::new();
    for (plan, attached) in machine.disks.iter().zip(domain).filter(|(plan, _)| !plan.skip_export) {
        let spec = spec.disks.iter().find(|disk| disk.name == plan.name);
        if attached.access == Access::Cdrom {
            let file = file_name(machine, plan, "iso");
            let job = Job { file, from: Origin::Copy(attached.path.clone()) };
            let source = SourceOut::File { copy: false };
            orders.push(DiskOrder {
                plan,
                spec,
                source,
                format: DiskFormat::Iso,
                job,
                metadata: plan.metadata.clone(),
            });
            continue;
        }
        let now = top(&plan.dev);
        let format = if now.is_some() { ImageFormat::Qcow2 } else { attached.format };
        let first = plan.image.as_ref().map(|image| image.path.clone());
        let Some(path) = now.or(first) else { continue };
        let on = match layer(machine, plan, layered) {
            Ok(on) => on,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let (source, to) = match spec.map(|spec| (&spec.source, spec.format)) {
            Some((DiskSource::Empty { .. }, format)) => (SourceOut::File { copy: true }, format),
            Some((DiskSource::File { copy, .. }, format)) => (SourceOut::File { copy: *copy }, format),
            Some((DiskSource::Template { .. } | DiskSource::Qcow2 { .. }, _)) | None => {
                (SourceOut::Overlay, DiskFormat::Qcow2)
            }
        };
        let mut metadata = plan.metadata.clone();
        if let (Some((image, None)), None) = (&plan.template, metadata.get(IMAGE_KEY)) {
            metadata.insert(IMAGE_KEY.into(), json!(image));
        }
        let mut about = metadata.clone();
        about.insert("name".into(), json!(format!("{}-{}", machine.name, plan.name)));
        about.insert("version".into(), json!(version));
        if let Some(on) = &on {
            about.insert("base".into(), json!(on.name));
        }
        let extension = if to == DiskFormat::Raw { "raw" } else { "qcow2" };
        let from = Origin::Image { path, format, to, on, metadata: about };
        let job = Job { file: file_name(machine, plan, extension), from };
        orders.push(DiskOrder { plan, spec, source, format: to, job, metadata });
    }
    if problems.is_empty() { Ok(orders) } else { Err(problems) }
}

/// What a disk stays on when templates are not to be part of it.
fn layer(machine: &MachinePlan, plan: &DiskPlan, layered: bool) -> Result<Option<Layer>, String> {
    if let Some((name, backing)) = plan.base.as_ref().filter(|_| layered) {
        return Ok(Some(Layer { name: name.clone(), backing: backing.clone() }));
    }
    let Some((name, version)) = plan.template.as_ref().filter(|_| layered) else { return Ok(None) };
    let Some(version) = version else {
        return Err(format!(
            "disk `{}` of `{}` is made from the image `{name}`, which no repository has; export it standalone",
            plan.name, machine.name
        ));
    };
    let made = plan.image.as_ref().map(|image| &image.made);
    let Some(Made::Over(backing)) = made else { return Ok(None) };
    Ok(Some(Layer { name: format!("{name}:{version}"), backing: backing.clone() }))
}

/// The files of a kernel that is not on the machine's disk: jobs for them, and its command line.
pub(super) fn kernel(machine: &MachinePlan) -> Option<(Job, Option<Job>, String)> {
    let Boot::Kernel { kernel, initrd, cmdline } = &machine.domain.as_ref()?.boot else { return None };
    let job = |path: &Path, what: &str| Job {
        file: format!("{}+.{what}", machine.name),
        from: Origin::Copy(path.to_owned()),
    };
    Some((job(kernel, "kernel"), initrd.as_deref().map(|initrd| job(initrd, "initrd")), cmdline.clone()))
}

/// `+` is in no name, so no two files meet.
fn file_name(machine: &MachinePlan, plan: &DiskPlan, extension: &str) -> String {
    format!("{}+{}.{extension}", machine.name, plan.name)
}
