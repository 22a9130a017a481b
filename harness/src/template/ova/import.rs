//! Taking a machine out of an archive: only files its descriptor names are written, under names of ours.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    super::{
        chain::qemu,
        error::{IoContext, TemplateError},
        fetch::is_url,
        files::{Making, SparseFile, blocking, copy, read_if_there, remove, replace},
        publish::beside,
        source::FetchCx,
        spec::Metadata,
        templates::Templates,
    },
    model::{Descriptor, DiskRef},
};

/// Descriptors are a few KiB.
const LONGEST_DESCRIPTOR: u64 = 4 * 1024 * 1024;

/// Archives have a handful of files.
const MOST_FILES: usize = 10_000;

/// Beside the disks: what was imported.
const SUMMARY: &str = "ova.json";

/// A machine taken out of an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ova {
    /// Processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disks in the descriptor's order; never empty.
    pub disks: Vec<OvaDisk>,
}

/// A disk of such a machine: a qcow2 image for overlays to lie on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OvaDisk {
    /// A name made of its file's, unique in the machine.
    pub name: String,
    /// The image (qcow2), absolute once it is imported.
    pub path: PathBuf,
    /// Size in bytes, as a guest sees it.
    pub size: u64,
    /// What is assumed of it: the first disk has its root on the first partition.
    pub metadata: Metadata,
}

/// A file of an archive.
#[derive(Debug, Clone, Copy)]
struct Place {
    position: u64,
    size: u64,
    plain: bool,
}

impl Templates {
    /// Takes the machine out of the archive at a path or URL into the folder `into`; does nothing when that is done.
    ///
    /// # Errors
    /// The archive cannot be had, or everything that is wrong with it.
    pub async fn import_ova(&self, at: &str, into: &Path) -> Result<Ova, TemplateError> {
        let into = std::path::absolute(into).or_cannot("find", into)?;
        if let Some(ova) = done(&into)? {
            return Ok(ova);
        }
        let cx = self.cx();
        fs::create_dir_all(into.parent().unwrap_or(&into)).or_cannot("create", &into)?;
        let _making = Making::wait(&into, &cx).await?;
        if let Some(ova) = done(&into)? {
            return Ok(ova);
        }
        let fetched = is_url(at).then(|| beside(&into, ".ova"));
        if let Some(archive) = &fetched {
            self.download(at, archive).await?;
        }
        let archive =
            fetched.clone().unwrap_or_else(|| PathBuf::from(at.strip_prefix("file://").unwrap_or(at)));
        let part = beside(&into, ".part");
        if part.exists() {
            fs::remove_dir_all(&part).or_cannot("remove", &part)?;
        }
        fs::create_dir_all(&part).or_cannot("create", &part)?;
        let imported = import(&archive, &part, &cx).await;
        if imported.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_dir_all(&part);
        }
        imported?;
        fs::rename(&part, &into).or_cannot("create", &into)?;
        if let Some(archive) = fetched {
            ["", ".hash"].into_iter().try_for_each(|suffix| remove(&beside(&archive, suffix)))?;
        }
        done(&into)?.ok_or_else(|| TemplateError::Ova {
            archive,
            problems: vec![format!("{} was taken away", into.display())],
        })
    }
}

/// What an earlier import left in a folder.
fn done(into: &Path) -> Result<Option<Ova>, TemplateError> {
    let summary = into.join(SUMMARY);
    let Some(text) = read_if_there(&summary)? else { return Ok(None) };
    let place = summary.display().to_string();
    let mut ova: Ova =
        serde_json::from_str(&text).map_err(|source| TemplateError::MetadataFile { place, source })?;
    for disk in &mut ova.disks {
        disk.path = into.join(&disk.path);
    }
    Ok(Some(ova))
}

async fn import(archive: &Path, part: &Path, cx: &FetchCx) -> Result<(), TemplateError> {
    let (path, folder, copier) = (archive.to_owned(), part.to_owned(), cx.clone());
    let machine = blocking("read", archive, move || extract(&path, &folder, &copier)).await?;
    let mut disks = Vec::new();
    for (number, disk) in machine.disks.iter().enumerate() {
        let raw = part.join(format!("{}.part", disk.name));
        let image = part.join(format!("{}.qcow2", disk.name));
        let info = qemu::standalone(&raw).await?;
        if info.format == "qcow2" {
            fs::rename(&raw, &image).or_cannot("create", &image)?;
        } else {
            cx.progress.note(format!("converting disk `{}` of {}", disk.name, archive.display()));
            qemu::convert(&info, &image, "qcow2", cx.deadline).await?;
            remove(&raw)?;
        }
        let mut metadata = Metadata::new();
        if number == 0 {
            metadata.insert("root-partition".into(), json!("/dev/sda1"));
        }
        let path = PathBuf::from(format!("{}.qcow2", disk.name));
        disks.push(OvaDisk { name: disk.name.clone(), path, size: info.size, metadata });
    }
    let ova = Ova { vcpus: machine.vcpus, memory_mib: machine.memory_mib, disks };
    replace(&part.join(SUMMARY), format!("{:#}", json!(ova)).as_bytes())
}

/// Writes the disks as they are in the archive into `folder`, as `NAME.part`.
fn extract(archive: &Path, folder: &Path, cx: &FetchCx) -> Result<Descriptor, TemplateError> {
    let wrong = |problems: Vec<String>| TemplateError::Ova { archive: archive.to_owned(), problems };
    let mut file = File::open(archive).or_cannot("open", archive)?;
    let files = contents(&file).map_err(wrong)?;
    let (root, descriptor) = find_descriptor(&files).map_err(|problem| wrong(vec![problem]))?;
    let xml = text(&mut file, descriptor).or_cannot("read", archive)?;
    let machine = Descriptor::parse(&xml).map_err(wrong)?;

    let mut found = Vec::new();
    let mut problems = Vec::new();
    for disk in &machine.disks {
        match find_disk(disk, &root, &files) {
            Ok(place) => found.push((disk, place)),
            Err(problem) => problems.push(problem),
        }
    }
    let needed: u64 = found.iter().map(|(_, place)| place.size).sum();
    if let Ok(space) = rustix::fs::statvfs(folder) {
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free < needed {
            let folder = folder.display();
            problems.push(format!("its disks take {needed} bytes, and only {free} are free for {folder}"));
        }
    }
    if !problems.is_empty() {
        return Err(wrong(problems));
    }
    for (disk, place) in found {
        let target = folder.join(format!("{}.part", disk.name));
        let mut to = SparseFile::create(&target)?;
        let what = format!("extracting disk `{}` of {}", disk.name, archive.display());
        let mut meter = cx.progress.meter(what, 0, Some(place.size));
        file.seek(SeekFrom::Start(place.position)).or_cannot("read", archive)?;
        let mut from = (&file).take(place.size);
        copy(&mut from, &mut to, cx.deadline, &mut meter).or_cannot("extract", &target)?;
        if from.limit() > 0 {
            let missing = from.limit();
            return Err(wrong(vec![format!(
                "it ends early, {missing} bytes of disk `{}` are missing",
                disk.name
            )]));
        }
        to.finish().or_cannot("write", &target)?;
        meter.end();
    }
    Ok(machine)
}

/// The files of an archive by their paths; refuses archives whose files would not stay in a folder.
fn contents(file: &File) -> Result<BTreeMap<String, Place>, Vec<String>> {
    let mut files = BTreeMap::new();
    let mut problems = Vec::new();
    let broken = |error: std::io::Error| vec![format!("it is no tar archive, or broken: {error}")];
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?;
        let Some(path) = inside(&path) else {
            problems.push(format!("its file {} would lie outside of it", path.display()));
            continue;
        };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        let plain = kind.is_file() || kind.is_contiguous();
        files.insert(path, Place { position: entry.raw_file_position(), size: entry.size(), plain });
        if files.len() > MOST_FILES {
            return Err(vec![format!("it has more than {MOST_FILES} files")]);
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// A path without `.`; nothing when it leads out of its folder.
fn inside(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// The descriptor and the folder its paths begin in.
fn find_descriptor(files: &BTreeMap<String, Place>) -> Result<(String, Place), String> {
    let is_descriptor = |path: &str| {
        let parts: Vec<&str> = path.split('/').collect();
        let ovf = parts.last().is_some_and(|name| name.to_ascii_lowercase().ends_with(".ovf"));
        ovf && (parts.len() <= 2 || matches!(parts.as_slice(), ["master", "vms", _, _]))
    };
    let found: Vec<(&String, &Place)> = files.iter().filter(|(path, _)| is_descriptor(path)).collect();
    match found.as_slice() {
        [(path, place)] => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let root = if folder.starts_with("master/") { "" } else { folder };
            Ok((root.to_owned(), **place))
        }
        [] => Err("it has no descriptor (`*.ovf` at its top or in `master/vms/*/`)".into()),
        many => {
            let names: Vec<&str> = many.iter().map(|(path, _)| path.as_str()).collect();
            Err(format!("it has {} descriptors, not one: {}", many.len(), names.join(", ")))
        }
    }
}

fn find_disk(disk: &DiskRef, root: &str, files: &BTreeMap<String, Place>) -> Result<Place, String> {
    let places: Vec<String> = disk
        .places
        .iter()
        .filter_map(|place| inside(&Path::new(root).join(place.trim_start_matches('/'))))
        .collect();
    let found = places.iter().find_map(|place| Some((place, files.get(place)?)));
    match found {
        Some((_, place)) if place.plain => Ok(*place),
        Some((path, _)) => Err(format!("its disk {path} is not a plain file")),
        None => Err(format!("its disk `{}` is missing; looked for {}", disk.name, disk.places.join(", "))),
    }
}

fn text(file: &mut File, place: Place) -> std::io::Result<String> {
    if place.size > LONGEST_DESCRIPTOR || !place.plain {
        return Err(std::io::Error::other("its descriptor is too long, or not a plain file"));
    }
    file.seek(SeekFrom::Start(place.position))?;
    let mut bytes = Vec::new();
    file.take(place.size).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
