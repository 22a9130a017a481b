//! The disks of one machine: what each is made from and how it is attached.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{
    super::export::IMAGE_KEY,
    error::{PlanError, help},
    files::Files,
    model::{Backing, DiskPlan, ImagePlan, LayerPlan, Made, PlanInputs},
};
use crate::{
    image::{self, ImageInfo, Seed},
    initfile::spec::{DiskBus, DiskFormat, DiskSource, DiskSpec, MachineSpec, Place},
    provider::spec::{Access, Bus, DomainDisk, ImageFormat},
    sysprep::{self, Found, Meaning, Step},
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

/// What was seen of a machine's first disk.
pub(super) fn found<'a>(machine: &MachineSpec, inputs: &PlanInputs<'a>) -> Option<&'a Found> {
    let disk = machine.disks.first()?;
    let path = match &disk.source {
        DiskSource::Template { name, version } => {
            &inputs.templates.get(&(name.clone(), version.clone()))?.path
        }
        DiskSource::Qcow2 { path } => path,
        DiskSource::File { path, url, .. } => {
            path.as_ref().or_else(|| inputs.downloads.get(url.as_ref()?))?
        }
        DiskSource::Empty { .. } => return None,
    };
    inputs.found.get(path)
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
    let (shared, own) = steps(machine, disk, inputs)?;
    let mut layer = None;
    // Steps that others may ask for as well are carried out once, in a layer of their own.
    let mut over = |on: Backing, host: &Path, files: &mut Files<'_>| {
        if shared.is_empty() {
            return made(ImageFormat::Qcow2, Made::Over(on));
        }
        let plan = layer_plan(host, on.format, &shared, inputs);
        let below = inputs.backing.get(host).into_iter().flatten().cloned();
        let below: Vec<PathBuf> = std::iter::once(host.to_owned()).chain(below).collect();
        let path = files.add(&image::layer_disk(inputs.image_store, &plan.digest), &below);
        layer = Some(plan);
        made(ImageFormat::Qcow2, Made::Over(Backing { path, format: ImageFormat::Qcow2 }))
    };
    let mut template = None;
    let mut metadata = disk.metadata.clone();
    let mut access = Access::ReadWrite;
    let mut in_place = None;
    let mut base = None;
    let image = match &disk.source {
        DiskSource::Template { name, version } => {
            let (backing, host, version) = match named(name, version.as_ref(), &disk.at, inputs)? {
                Named::Image(image) => {
                    let path = image_dir(image, inputs)?.join(&image.disk);
                    (Backing { path, format: ImageFormat::Qcow2 }, image.dir.join(&image.disk), None)
                }
                Named::Template(found) => {
                    metadata.extend(found.metadata.clone());
                    let path = template_path(&found.path, inputs, files);
                    // Images of repositories are raw when they are ready for use.
                    let version = found.id.version.clone();
                    if !shared.is_empty() {
                        let path = found.path.clone();
                        let below = Backing { path, format: ImageFormat::Raw };
                        base = Some((format!("{name}:{version}"), below));
                    }
                    (Backing { path, format: ImageFormat::Raw }, found.path.clone(), Some(version))
                }
            };
            template = Some((name.clone(), version));
            over(backing, &host, files)
        }
        DiskSource::Qcow2 { path } => {
            base = template_below(path, inputs, files);
            over(Backing { path: add(path, inputs, files), format: ImageFormat::Qcow2 }, path, files)
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
            let host = path;
            let path = add(path, inputs, files);
            if disk.format == DiskFormat::Iso {
                access = Access::Cdrom;
                in_place = Some(path);
                None
            } else {
                let backing = Backing { path, format: format(disk.format) };
                if *copy { made(backing.format, Made::Copy(backing)) } else { over(backing, host, files) }
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
        // A copy is nobody else's.
        steps: if layer.is_none() { [shared, own].concat() } else { own },
        layer,
        bootstrap: None,
        skip_export: disk.skip_export,
    };
    Ok((domain, plan))
}

/// The steps of `build`: those that do the same for everybody, and from the first on that does not, all others.
fn steps(
    machine: &MachineSpec,
    disk: &DiskSpec,
    inputs: &PlanInputs<'_>,
) -> Result<(Vec<Step>, Vec<Step>), PlanError> {
    let wrong = |why| PlanError::BadBuild {
        at: disk.at.clone(),
        machine: machine.name.clone(),
        disk: disk.name.clone(),
        why,
    };
    let (build, key) = (&disk.build, inputs.authorized_key);
    let folder = disk.build_folder.as_path();
    let mut shared = sysprep::steps(build, Meaning { folder, key }).map_err(|why| wrong(why.join("; ")))?;
    if !shared.is_empty()
        && (matches!(disk.source, DiskSource::Empty { .. }) || disk.format == DiskFormat::Iso)
    {
        return Err(wrong("there is no system on it that could be changed".to_owned()));
    }
    let first = shared.iter().position(|step| step.own).unwrap_or(shared.len());
    let own = shared.split_off(first);
    let is_image = match &disk.source {
        DiskSource::Template { name, version } => {
            inputs.images.contains_key(name)
                && !inputs.templates.contains_key(&(name.clone(), version.clone()))
        }
        _ => false,
    };
    if let Some(last) = shared.last_mut().filter(|_| is_image) {
        // The program fills it in where it is empty; machines that share a layer are not to share this.
        last.commands.push(("truncate".to_owned(), Some("/etc/machine-id".to_owned())));
    }
    Ok((shared, own))
}

/// The layer that `steps` make of the image `on`.
fn layer_plan(on: &Path, format: ImageFormat, steps: &[Step], inputs: &PlanInputs<'_>) -> LayerPlan {
    let below = inputs.backing.get(on).into_iter().flatten().map(PathBuf::as_path);
    let gone_in = steps.iter().flat_map(|step| &step.files).map(PathBuf::as_path);
    let prints = std::iter::once(on).chain(below).chain(gone_in).map(|file| inputs.prints.get(file));
    let prints: Vec<_> = prints.collect();
    let mut hasher = Sha256::new();
    // Debug is used rather than a serialization because it cannot fail.
    hasher.update(format!("{on:?} {format:?} {steps:?} {prints:?}"));
    let digest = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    LayerPlan { digest, base: Backing { path: on.to_owned(), format }, steps: steps.to_vec() }
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
        layer: None,
        bootstrap: None,
        steps: Vec::new(),
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
