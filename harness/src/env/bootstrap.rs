//! Disks that are prepared before their machine boots first: foreign ones are looked at, layers that others may want as well
//! are made in the store, and what is one disk's own is done to it alone. What is to be done is in the plan.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    EnvError, Host, Progress,
    daemon::Identity,
    error::{chain, file},
    export::IMAGE_KEY,
    fetch::Fetched,
    parallel,
    plan::{Backing, Bootstrap, DiskPlan, EnvPlan, LOCAL, LayerPlan, MachinePlan},
};
use crate::{
    base::{
        id::MachineName,
        process,
        store::{self, Document},
    },
    initfile::spec::{DiskFormat, DiskSource, DiskSpec, MachineSpec},
    provider::spec::ImageFormat,
    sysprep::{self, Found, Meaning, Step, SysprepError},
};

/// For one call of `qemu-img` that reads a whole disk.
const COPY: Duration = Duration::from_secs(30 * 60);
/// Images of more bytes are not unpacked only to be looked at.
const LARGEST: u64 = 4 << 30;

/// What is to be known of disks before it can be planned how they are prepared.
#[derive(Default)]
pub(super) struct Looked {
    /// What is on foreign disks.
    pub(super) found: BTreeMap<PathBuf, Found>,
    /// What distinguishes contents of images that are built upon, and of files that go in.
    pub(super) prints: BTreeMap<PathBuf, String>,
}

/// Looks at all disks that are to be prepared.
pub(super) async fn look(host: &Host, got: &Fetched, progress: &Progress) -> Result<Looked, EnvError> {
    let mut looked = Looked::default();
    let made_here =
        |machine: &&MachineSpec| machine.provider.as_deref().is_none_or(|provider| provider == LOCAL);
    for machine in got.spec.machines.iter().filter(made_here) {
        if let Some((image, format)) = machine.disks.first().and_then(|disk| foreign(disk, got)) {
            match seen(host, &image, format, progress).await {
                Ok(Some(found)) => drop(looked.found.insert(image, found)),
                Ok(None) => progress.say(&format!("{} is too large to be looked at", image.display())),
                // It may have cloud-init all the same.
                Err(error) => {
                    let (name, why) = (image.display(), chain(&error));
                    progress.warn(&format!("warning: what is on {name} cannot be seen: {why}"));
                }
            }
        }
        for disk in &machine.disks {
            // What is wrong with them is the plan's to say.
            let steps = sysprep::steps(&disk.build, Meaning { folder: &disk.build_folder, key: "" })
                .unwrap_or_default();
            let Some((image, _)) = base(disk, got).filter(|_| !steps.is_empty()) else { continue };
            let below = got.backing.get(&image).into_iter().flatten();
            for image in std::iter::once(&image).chain(below) {
                looked.prints.insert(image.clone(), stamp(image).map_err(file("look at", image))?);
            }
            for gone_in in steps.iter().flat_map(|step| &step.files) {
                let mut hasher = Sha256::new();
                digest(gone_in, &mut hasher).map_err(file("read", gone_in))?;
                let digest = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
                looked.prints.insert(gone_in.clone(), digest);
            }
        }
    }
    Ok(looked)
}

/// The image a disk is made from, on the host.
fn base(disk: &DiskSpec, got: &Fetched) -> Option<(PathBuf, ImageFormat)> {
    match &disk.source {
        DiskSource::Template { name, version } => {
            match (got.templates.get(&(name.clone(), version.clone())), got.images.get(name)) {
                (Some(template), _) => Some((template.path.clone(), ImageFormat::Raw)),
                (None, Some(image)) => Some((image.dir.join(&image.disk), ImageFormat::Qcow2)),
                (None, None) => None,
            }
        }
        DiskSource::Qcow2 { path } => Some((path.clone(), ImageFormat::Qcow2)),
        DiskSource::File { path, url, .. } => {
            let path = path.as_ref().or_else(|| got.downloads.get(url.as_ref()?))?;
            match disk.format {
                DiskFormat::Qcow2 => Some((path.clone(), ImageFormat::Qcow2)),
                DiskFormat::Raw => Some((path.clone(), ImageFormat::Raw)),
                DiskFormat::Iso => None,
            }
        }
        DiskSource::Empty { .. } => None,
    }
}

/// The same, if it is not an image of ours or was made from one.
fn foreign(disk: &DiskSpec, got: &Fetched) -> Option<(PathBuf, ImageFormat)> {
    let template = match &disk.source {
        DiskSource::Template { name, version } => Some(got.templates.get(&(name.clone(), version.clone()))?),
        _ => None,
    };
    let ours =
        disk.metadata.contains_key(IMAGE_KEY) || template.is_some_and(|t| t.metadata.contains_key(IMAGE_KEY));
    base(disk, got).filter(|_| !ours)
}

/// What is on an image, as it was seen last: it is looked at once as long as it stays the same. One that had to be unpacked
/// for it and is very large is not looked at.
async fn seen(
    host: &Host,
    image: &Path,
    format: ImageFormat,
    progress: &Progress,
) -> Result<Option<Found>, EnvError> {
    #[derive(Serialize, Deserialize)]
    struct Seen {
        found: Found,
    }
    impl Document for Seen {
        const VERSION: u32 = 1;
    }
    let name =
        Sha256::digest(format!("{} {}", image.display(), stamp(image).map_err(file("look at", image))?));
    let name: String = name.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let folder = host.lab.cache.join("looked");
    let known = folder.join(format!("{name}.json"));
    // One that cannot be read is as good as none.
    if let Ok(Some(Seen { found })) = store::read(&known) {
        return Ok(Some(found));
    }
    if format == ImageFormat::Qcow2 && fs::metadata(image).map_err(file("look at", image))?.len() > LARGEST {
        return Ok(None);
    }
    progress.say(&format!("looking at what is on {}", image.display()));
    fs::create_dir_all(&folder).map_err(file("make", &folder))?;
    // Without a name it goes with us, however we end.
    let nameless = tempfile::tempfile_in(&folder).map_err(file("make", &folder))?;
    let raw = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), nameless.as_raw_fd()));
    let found = match format {
        ImageFormat::Raw => sysprep::look(image).await?,
        ImageFormat::Qcow2 => {
            convert(image, format, &raw, ImageFormat::Raw).await?;
            sysprep::look(&raw).await?
        }
    };
    store::write(&known, &Seen { found: found.clone() })?;
    Ok(Some(found))
}

/// Tells an image from the same one after it was changed.
fn stamp(image: &Path) -> io::Result<String> {
    let file = fs::metadata(image)?;
    Ok(format!("{} {} {}.{}", file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

/// Everything in a file or folder.
fn digest(path: &Path, hasher: &mut Sha256) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?;
    hasher.update(format!("{:?} {:o}", path.file_name(), kind.mode()));
    if kind.is_dir() {
        let mut entries =
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| digest(entry, hasher));
    }
    if kind.is_symlink() && path.metadata().is_ok_and(|target| target.is_dir()) {
        hasher.update(fs::read_link(path)?.as_os_str().as_encoded_bytes());
        return Ok(());
    }
    let mut file = io::BufReader::new(fs::File::open(path)?);
    loop {
        let part = file.fill_buf()?;
        if part.is_empty() {
            return Ok(());
        }
        hasher.update(part);
        let read = part.len();
        file.consume(read);
    }
}

/// Says how machines are told who they are, and makes the layers that disks lie over. `who` uses them, where that is kept.
pub(super) async fn layers(
    host: &Host,
    plan: &EnvPlan,
    who: Option<&Identity>,
    progress: &Progress,
) -> Result<(), EnvError> {
    for machine in &plan.machines {
        if let Some(told) = &machine.told {
            progress.say(&format!("{} is {told}", machine.name));
        }
    }
    let disks =
        || plan.machines.iter().flat_map(|machine| machine.disks.iter().map(move |disk| (machine, disk)));
    let by_tool = |disk: &DiskPlan| {
        let bootstrap = disk.bootstrap.as_ref().is_some_and(|bootstrap| bootstrap.file_system.is_none());
        bootstrap || !disk.steps.is_empty() || disk.layer.is_some()
    };
    if disks().any(|(_, disk)| by_tool(disk)) {
        // Nothing is begun that cannot be finished.
        sysprep::require().await?;
    }
    let each = |(machine, disk, layer): (MachinePlan, DiskPlan, LayerPlan)| {
        let (host, progress) = (host.clone(), progress.clone());
        async move {
            let tell = |text: &str| progress.say(text);
            let make = |path: PathBuf| {
                let (layer, kvm) = (layer.clone(), kvm(&machine));
                let (name, of) = (machine.name.clone(), disk.name.clone());
                let progress = progress.clone();
                async move {
                    progress.say(&format!("building the disk {of} of {name}"));
                    lay(&path, &layer.base).await?;
                    customize(&path, ImageFormat::Qcow2, &layer.steps, kvm)
                        .await
                        .map_err(|source| EnvError::Prepare { machine: name, disk: of, source })
                }
            };
            host.images.ensure_layer(&layer.digest, &tell, make).await
        }
    };
    let layers =
        disks().filter_map(|(machine, disk)| Some((machine.clone(), disk.clone(), disk.layer.clone()?)));
    parallel::each(layers.collect(), each).await?;
    if let Some(who) = who {
        for layer in disks().filter_map(|(_, disk)| disk.layer.as_ref()) {
            host.images.use_layer(&layer.digest, &who.uuid, &who.folder.join("uuid"))?;
        }
    }
    Ok(())
}

fn kvm(machine: &MachinePlan) -> bool {
    machine.domain.as_ref().is_some_and(|domain| domain.kvm)
}

async fn customize(image: &Path, format: ImageFormat, steps: &[Step], kvm: bool) -> Result<(), SysprepError> {
    for step in steps {
        sysprep::customize(image, &format.to_string(), step, kvm).await?;
    }
    Ok(())
}

/// Makes an image over another one, both where the host has them.
async fn lay(path: &Path, over: &Backing) -> Result<(), EnvError> {
    let (path, base, format) =
        (path.display().to_string(), over.path.display().to_string(), over.format.to_string());
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", &base, "-F", &format, &path]).await
}

async fn convert(from: &Path, format: ImageFormat, to: &Path, into: ImageFormat) -> Result<(), EnvError> {
    let ([from, to], [format, into]) =
        ([from, to].map(|p| p.display().to_string()), [format, into].map(|f| f.to_string()));
    qemu_img(&["convert", "-q", "-f", &format, "-O", &into, &from, &to]).await
}

async fn qemu_img(words: &[&str]) -> Result<(), EnvError> {
    let argv: Vec<&str> = std::iter::once("qemu-img").chain(words.iter().copied()).collect();
    Ok(process::stdout(&argv, COPY).await.map(drop)?)
}

/// One disk that is made and prepared.
pub(super) struct Own<'a> {
    pub(super) machine: &'a MachinePlan,
    pub(super) disk: &'a DiskPlan,
    /// What it is made from, on the host.
    pub(super) from: Backing,
    /// Its image, and of which format it is.
    pub(super) path: &'a Path,
    pub(super) format: ImageFormat,
    /// What it lies over, as the emulator sees that; absent: nothing.
    pub(super) over: Option<&'a Backing>,
}

impl Own<'_> {
    /// Makes it beside its place: there, it is whole.
    pub(super) async fn make(&self) -> Result<(), EnvError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let work =
            tempfile::Builder::new().prefix(".partial-").tempdir_in(folder).map_err(file("make", folder))?;
        let image = work.path().join("disk");
        match &self.disk.bootstrap {
            Some(Bootstrap { file_system: Some(offset), actions }) => {
                let raw = work.path().join("raw");
                convert(&self.from.path, self.from.format, &raw, ImageFormat::Raw).await?;
                sysprep::apply(&raw, *offset, actions).await.map_err(|source| self.error(source))?;
                self.take(&raw, &image).await?;
            }
            bootstrap => {
                match self.over {
                    Some(_) => lay(&image, &self.from).await?,
                    None => convert(&self.from.path, self.from.format, &image, self.format).await?,
                }
                if let Some(Bootstrap { actions, .. }) = bootstrap {
                    self.customize(&image, &[Step::of(actions)]).await?;
                }
            }
        }
        self.customize(&image, &self.disk.steps).await?;
        if let Some(over) = self.over {
            // The emulator may see it elsewhere.
            let (path, format) = (over.path.display().to_string(), over.format.to_string());
            let name = image.display().to_string();
            qemu_img(&["rebase", "-q", "-u", "-f", "qcow2", "-b", &path, "-F", &format, &name]).await?;
        }
        fs::rename(&image, self.path).map_err(file("make", self.path))
    }

    /// Makes the image have what is in `raw`: only what is not in the one it lies over.
    async fn take(&self, raw: &Path, image: &Path) -> Result<(), EnvError> {
        if self.over.is_none() {
            return convert(raw, ImageFormat::Raw, image, self.format).await;
        }
        lay(image, &Backing { path: raw.to_owned(), format: ImageFormat::Raw }).await?;
        let (base, format) = (self.from.path.display().to_string(), self.from.format.to_string());
        let name = image.display().to_string();
        qemu_img(&["rebase", "-q", "-f", "qcow2", "-b", &base, "-F", &format, &name]).await
    }

    async fn customize(&self, image: &Path, steps: &[Step]) -> Result<(), EnvError> {
        customize(image, self.format, steps, kvm(self.machine)).await.map_err(|source| self.error(source))
    }

    fn error(&self, source: SysprepError) -> EnvError {
        let machine: MachineName = self.machine.name.clone();
        EnvError::Prepare { machine, disk: self.disk.name.clone(), source }
    }
}
