//! The disks of one machine: what each is made from and how it is attached.

use std::path::{Path, PathBuf};

use super::{
    super::export::IMAGE_KEY,
    error::{PlanError, help},
    files::Files,
    model::{Backing, DiskPlan, ImagePlan, Made, PlanInputs},
};
use crate::{
    image::{self, ImageInfo, Seed},
    initfile::spec::{DiskBus, DiskFormat, DiskSource, DiskSpec, MachineSpec, Place},
    provider::spec::{Access, Bus, DomainDisk, ImageFormat},
    template::{Metadata, TemplateDisk, TemplateId},
};

/// What a machine's root disk is, as far as booting it is concerned.
#[derive(Clone, Copy)]
pub(super) enum Root<'a> {
    /// One of our images: its kernel is started directly.
    Ours(&'a ImageInfo),
    /// Somebody's disk with a boot loader on it.
    Foreign,
    /// Nothing that boots.
    Blank,
}

/// The image or template a name in an init file stands for.
enum Named<'a> {
    Image(&'a ImageInfo),
    Template(&'a TemplateDisk),
}

/// What of the first disk can be booted.
pub(super) fn root<'a>(machine: &MachineSpec, inputs: &PlanInputs<'a>) -> Root<'a> {
    if let Some(image) = machine.disks.first().and_then(|disk| like(&disk.metadata, inputs)) {
        return Root::Ours(image);
    }
    match machine.disks.first().map(|disk| (&disk.source, disk)) {
        Some((DiskSource::Template { name, version }, disk)) => {
            match named(name, version.as_ref(), &disk.at, inputs) {
                Ok(Named::Image(image)) => Root::Ours(image),
                Ok(Named::Template(found)) => like(&found.metadata, inputs).map_or(Root::Foreign, Root::Ours),
                Err(_) => Root::Foreign,
            }
        }
        Some((DiskSource::Qcow2 { .. } | DiskSource::File { .. }, _)) => Root::Foreign,
        Some((DiskSource::Empty { .. }, _)) | None => match machine.disks.iter().any(boots) {
            true => Root::Foreign,
            false => Root::Blank,
        },
    }
}

/// The image of ours that something was made from, as its metadata says: it is booted and spoken to like that one.
fn like<'a>(metadata: &Metadata, inputs: &PlanInputs<'a>) -> Option<&'a ImageInfo> {
    inputs.images.get(metadata.get(IMAGE_KEY)?.as_str()?)
}

fn boots(disk: &DiskSpec) -> bool {
    !matches!(disk.source, DiskSource::Empty { .. })
}

/// Decides one disk; `position` counts from 1.
pub(super) fn disk(
    machine: &MachineSpec,
    machine_type: &str,
    position: usize,
    disk: &DiskSpec,
    inputs: &PlanInputs<'_>,
    files: &mut Files<'_>,
) -> Result<(DomainDisk, DiskPlan), PlanError> {
    let made = |format, made| {
        // `+` is in no name, so no two disks meet in one file.
        let path = PathBuf::from(format!("images/{}+{}.{format}", machine.name, disk.name));
        Some(ImagePlan { path, format, made })
    };
    let over = |backing: Backing| made(ImageFormat::Qcow2, Made::Over(backing));
    let mut template = None;
    let mut metadata = disk.metadata.clone();
    let mut access = Access::ReadWrite;
    let mut in_place = None;
    let mut base = None;
    let image = match &disk.source {
        DiskSource::Template { name, version } => {
            let (backing, version) = match named(name, version.as_ref(), &disk.at, inputs)? {
                Named::Image(image) => {
                    let path = image_dir(image, inputs)?.join(&image.disk);
                    (Backing { path, format: ImageFormat::Qcow2 }, None)
                }
                Named::Template(found) => {
                    metadata.extend(found.metadata.clone());
                    let path = template_path(&found.path, inputs, files);
                    // Images of repositories are raw when they are ready for use.
                    (Backing { path, format: ImageFormat::Raw }, Some(found.id.version.clone()))
                }
            };
            template = Some((name.clone(), version));
            over(backing)
        }
        DiskSource::Qcow2 { path } => {
            base = template_below(path, inputs, files);
            over(Backing { path: add(path, inputs, files), format: ImageFormat::Qcow2 })
        }
        DiskSource::Empty { size } => made(format(disk.format), Made::Empty { size: *size }),
        DiskSource::File { path, url, copy } => {
            let fetched = url.as_ref().and_then(|url| inputs.downloads.get(url));
            let not_fetched = || PlanError::NotFetched { at: disk.at.clone(), disk: disk.name.clone() };
            // What was downloaded for a path is put there; without one, it is where it was downloaded to.
            let path = path
                .as_ref()
                .filter(|_| url.is_none() || fetched.is_none())
                .or(fetched)
                .ok_or_else(not_fetched)?;
            let path = add(path, inputs, files);
            if disk.format == DiskFormat::Iso {
                access = Access::Cdrom;
                in_place = Some(path);
                None
            } else {
                let backing = Backing { path, format: format(disk.format) };
                if *copy { made(backing.format, Made::Copy(backing)) } else { over(backing) }
            }
        }
    };
    let format = image.as_ref().map_or(ImageFormat::Raw, |image| image.format);
    let path = image.as_ref().map(|image| inputs.view.env.join(&image.path)).or(in_place).unwrap_or_default();
    let domain = DomainDisk {
        dev: disk.dev.clone(),
        bus: bus(disk, machine_type)?,
        path,
        format,
        access,
        serial: disk.serial.clone().unwrap_or_else(|| position.to_string()),
        boot_order: disk.boot,
    };
    let plan = DiskPlan {
        name: disk.name.clone(),
        dev: disk.dev.clone(),
        template,
        base,
        image,
        metadata,
        build: disk.build.clone(),
        skip_export: disk.skip_export,
    };
    Ok((domain, plan))
}

/// What the guest calls the first of its disks, as long as it has found no others than those of that bus: it numbers
/// virtio disks in the order libvirt gives them slots, which is that of their letters, and SCSI ones by their place.
///
/// # Errors
/// The bus, when the initrd of our images has no driver for it.
pub(super) fn seen_as(disks: &[DomainDisk]) -> Result<String, Bus> {
    let Some(root) = disks.first() else { return Ok("vda".to_owned()) };
    let letter = |disk: &DomainDisk| disk.dev.chars().last();
    match root.bus {
        Bus::Virtio => {
            let before = disks.iter().filter(|disk| disk.bus == root.bus && letter(disk) < letter(root));
            let own = ('a'..='z').nth(before.count()).unwrap_or('a');
            Ok(format!("vd{own}"))
        }
        // Its place is the first.
        Bus::Scsi => Ok("sda".to_owned()),
        Bus::Sata | Bus::Ide => Err(root.bus),
    }
}

/// The read-only disk that carries `seed`, on the bus of the root disk, which the guest must drive anyway.
pub(super) fn seed(
    machine: &MachineSpec,
    others: &[DomainDisk],
    seed: Seed,
    inputs: &PlanInputs<'_>,
) -> Result<(DomainDisk, DiskPlan), PlanError> {
    let bus = others.first().map_or(Bus::Virtio, |root| root.bus);
    let (letters, last) = match bus {
        Bus::Virtio => ("vd", 'z'),
        Bus::Scsi => ("sd", 'z'),
        Bus::Sata => ("sd", 'f'),
        Bus::Ide => ("hd", 'd'),
    };
    let no_name = || PlanError::NoDeviceLeft { at: machine.at.clone(), machine: machine.name.clone() };
    // On some buses the last letter is the place.
    let same = |other: &DomainDisk, dev: &str| {
        other.dev == dev || other.bus == bus && other.dev.chars().last() == dev.chars().last()
    };
    let free = |dev: &String| others.iter().all(|other| !same(other, dev));
    let dev = ('a'..=last).map(|letter| format!("{letters}{letter}")).find(free).ok_or_else(no_name)?;
    let path = PathBuf::from(format!("images/{}+.seed.raw", machine.name));
    let image = ImagePlan { path, format: ImageFormat::Raw, made: Made::Seed(seed) };
    let domain = DomainDisk {
        dev: dev.clone(),
        bus,
        path: inputs.view.env.join(&image.path),
        format: ImageFormat::Raw,
        access: Access::ReadOnly,
        serial: "cidata".to_owned(),
        boot_order: None,
    };
    let name = "cidata".parse().map_err(|_| no_name())?;
    let plan = DiskPlan {
        name,
        dev,
        template: None,
        base: None,
        image: Some(image),
        metadata: serde_json::Map::new(),
        build: Vec::new(),
        skip_export: true,
    };
    Ok((domain, plan))
}

/// An image's folder for the emulator.
pub(super) fn image_dir(image: &ImageInfo, inputs: &PlanInputs<'_>) -> Result<PathBuf, PlanError> {
    match image.dir.strip_prefix(inputs.image_store) {
        Ok(dir) => Ok(inputs.view.images.join(dir)),
        Err(_) => Err(PlanError::OutsideStore { image: image.name.clone(), dir: image.dir.clone() }),
    }
}

fn named<'a>(
    name: &str,
    version: Option<&String>,
    at: &Place,
    inputs: &PlanInputs<'a>,
) -> Result<Named<'a>, PlanError> {
    if let Some(template) = inputs.templates.get(&(name.to_owned(), version.cloned())) {
        return Ok(Named::Template(template));
    }
    match (inputs.images.get(name), version) {
        (Some(image), None) => Ok(Named::Image(image)),
        (_, Some(version)) => Err(PlanError::Unknown {
            at: at.clone(),
            what: "template",
            name: format!("{name}, version {version}"),
            help: "`polder templates list` shows which there are".to_owned(),
        }),
        (None, None) => {
            let known = inputs.images.keys().chain(inputs.template_names).map(String::as_str);
            Err(unknown_image(name, at, known))
        }
    }
}

/// That an image is neither ours nor among the `known` ones.
pub(in crate::env) fn unknown_image<'a>(
    name: &str,
    at: &Place,
    known: impl IntoIterator<Item = &'a str>,
) -> PlanError {
    let recipes = image::recipes().iter().map(|recipe| recipe.name.as_str());
    let help = help(name, known.into_iter().chain(recipes));
    PlanError::Unknown { at: at.clone(), what: "image", name: name.to_owned(), help }
}

/// Where a template is for the emulator: in the store's place, or wherever its repository keeps it.
fn template_path(path: &Path, inputs: &PlanInputs<'_>, files: &mut Files<'_>) -> PathBuf {
    match path.strip_prefix(inputs.template_store) {
        Ok(within) => inputs.view.templates.join(within),
        Err(_) => add(path, inputs, files),
    }
}

/// The template an image lies over, through however many others.
fn template_below(path: &Path, inputs: &PlanInputs<'_>, files: &mut Files<'_>) -> Option<(String, Backing)> {
    let stored = |path: &&PathBuf| path.parent() == Some(inputs.template_store);
    let path = inputs.backing.get(path)?.iter().find(stored)?;
    let id = TemplateId::parse(path.file_name()?.to_str()?)?;
    let backing = Backing { path: template_path(path, inputs, files), format: ImageFormat::Raw };
    Some((id.without_repo(), backing))
}

fn add(path: &Path, inputs: &PlanInputs<'_>, files: &mut Files<'_>) -> PathBuf {
    files.add(path, inputs.backing.get(path).map(Vec::as_slice).unwrap_or_default())
}

fn format(format: DiskFormat) -> ImageFormat {
    match format {
        DiskFormat::Qcow2 => ImageFormat::Qcow2,
        DiskFormat::Raw | DiskFormat::Iso => ImageFormat::Raw,
    }
}

fn bus(disk: &DiskSpec, machine_type: &str) -> Result<Bus, PlanError> {
    let bus = match disk.bus {
        Some(DiskBus::Virtio) => Bus::Virtio,
        Some(DiskBus::Scsi) => Bus::Scsi,
        Some(DiskBus::Sata) => Bus::Sata,
        Some(DiskBus::Ide) => Bus::Ide,
        None if disk.dev.starts_with("sd") || disk.format == DiskFormat::Iso => Bus::Scsi,
        None => Bus::Virtio,
    };
    let no_bus = |help| PlanError::NoBus {
        at: disk.at.clone(),
        disk: disk.name.clone(),
        bus,
        machine_type: machine_type.to_owned(),
        help,
    };
    let old = machine_type == "pc" || machine_type.starts_with("pc-i440fx");
    match bus {
        Bus::Ide if machine_type.contains("q35") => Err(no_bus("set `machine: pc`, or `bus: sata`")),
        // Neither has a second cable for it: libvirt would make one up, and the guest has no driver for that.
        Bus::Sata if old => Err(no_bus("set `machine: q35`, or `bus: ide`")),
        Bus::Virtio if disk.format == DiskFormat::Iso => {
            Err(no_bus("CD-ROMs are on `scsi`, `sata` or `ide`"))
        }
        _ => Ok(bus),
    }
}
