//! The disk images of an environment: making them, laying new ones over them, and which one a disk writes to now.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;

use super::{
    Env, EnvError, Vm,
    bootstrap::Own,
    error::file,
    parallel,
    plan::{Backing, DiskPlan, ImagePlan, MachinePlan, Made},
    snapshot::Frozen,
};
use crate::{
    artifact::offline::{Disk, DiskFormat},
    base::{id::MachineName, process},
    lab::View,
    provider::spec::{Access, DomainDisk, DomainSpec, ImageFormat},
};

/// For one call of `qemu-img` that does not copy.
const LIMIT: Duration = Duration::from_secs(60);
/// For one that does.
const COPY: Duration = Duration::from_secs(30 * 60);

/// Makes all disk images and the folders for what machines write.
pub(super) async fn make(env: &Env) -> Result<(), EnvError> {
    make_but(env, |_, _| false).await
}

/// The same but for disks of which there is something else, by machine and device.
pub(super) async fn make_but(
    env: &Env,
    is_there: impl Fn(&MachineName, &str) -> bool,
) -> Result<(), EnvError> {
    let machines = &env.plan().machines;
    let disks = machines.iter().flat_map(|machine| &machine.disks);
    let images = disks.filter_map(|disk| disk.image.as_ref());
    let files = images.map(|image| &image.path).chain(machines.iter().map(|machine| &machine.console));
    for folder in files.filter_map(|path| Some(env.folder().join(path).parent()?.to_owned())) {
        fs::create_dir_all(&folder).map_err(file("make", &folder))?;
    }
    let work = |(machine, disk): (MachinePlan, DiskPlan)| {
        let env = env.clone();
        async move {
            match &disk.image {
                Some(image) => prepared(&env, &machine, &disk, image).await,
                None => Ok(()),
            }
        }
    };
    let all = machines.iter().flat_map(|machine| machine.disks.iter().map(move |disk| (machine, disk)));
    let each = all.filter(|(machine, disk)| !is_there(&machine.name, &disk.dev));
    let each = each.map(|(machine, disk)| (machine.clone(), disk.clone())).collect();
    parallel::each(each, work).await.map(drop)
}

/// Makes one disk image, prepared for its machine's first boot where that is planned.
async fn prepared(
    env: &Env,
    machine: &MachinePlan,
    disk: &DiskPlan,
    image: &ImagePlan,
) -> Result<(), EnvError> {
    let over = match &image.made {
        Made::Over(backing) => Some((backing, Some(backing))),
        Made::Copy(of) => Some((of, None)),
        Made::Empty { .. } | Made::Seed(_) => None,
    };
    match over {
        Some((of, over)) if disk.bootstrap.is_some() || !disk.steps.is_empty() => {
            let path = env.folder().join(&image.path);
            let from = Backing { path: outside(env, &of.path), format: of.format };
            Own { machine, disk, from, path: &path, format: image.format, over }.make().await
        }
        _ => create(env, image).await,
    }
}

/// Makes one disk image.
pub(super) async fn create(env: &Env, image: &ImagePlan) -> Result<(), EnvError> {
    let path = env.folder().join(&image.path);
    let (name, format) = (path.display().to_string(), image.format.to_string());
    match &image.made {
        Made::Over(Backing { path: over, format: over_format }) => {
            let size = virtual_size(&outside(env, over)).await?;
            lay(&path, over, *over_format, size).await
        }
        Made::Copy(of) => {
            let from = outside(env, &of.path).display().to_string();
            let argv =
                ["qemu-img", "convert", "-q", "-f", &of.format.to_string(), "-O", &format, &from, &name];
            Ok(process::stdout(&argv, COPY).await.map(drop)?)
        }
        Made::Empty { size } => {
            run(&["qemu-img", "create", "-q", "-f", &format, &name, &size.to_string()]).await.map(drop)
        }
        Made::Seed(seed) => seed.write(&path).map_err(file("write", &path)),
    }
}

/// Lays an image over another one, named as the emulator will look for it.
pub(super) async fn lay(path: &Path, over: &Path, format: ImageFormat, size: u64) -> Result<(), EnvError> {
    let (path, over) = (path.display().to_string(), over.display().to_string());
    // The backing format is always named: a guest that writes a header into a raw disk must not choose it. The image
    // below is not opened (`-u`), because its path may be one that only the emulator sees.
    let (format, size) = (format.to_string(), size.to_string());
    run(&["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", &over, "-F", &format, &path, &size])
        .await
        .map(drop)
}

/// Has an image lie over another one, of the same content as that it lay over; which is not looked at.
pub(super) async fn relay(path: &Path, over: &Path, format: ImageFormat) -> Result<(), EnvError> {
    let (path, over, format) = (path.display().to_string(), over.display().to_string(), format.to_string());
    run(&["qemu-img", "rebase", "-q", "-u", "-f", "qcow2", "-b", &over, "-F", &format, &path]).await.map(drop)
}

/// Where a path that the emulator sees is on the host.
pub(super) fn outside(env: &Env, inside: &Path) -> PathBuf {
    let found = seen(env).into_iter().find_map(|(to, from)| match inside.strip_prefix(to).ok()? {
        // Joining nothing would make a folder of a file.
        rest if rest.as_os_str().is_empty() => Some(from),
        rest => Some(from.join(rest)),
    });
    found.unwrap_or_else(|| inside.to_owned())
}

/// Files and folders as the emulator sees them, and where they are on the host.
fn seen(env: &Env) -> Vec<(PathBuf, PathBuf)> {
    let view = View::hermetic();
    let own = [
        (view.env, env.folder().to_owned()),
        (view.images, env.host().images.folder()),
        (view.templates, env.host().templates.store_dir().to_owned()),
        (view.checkpoints, env.host().checkpoint_folder.clone()),
    ];
    env.plan().binds.iter().map(|bind| (bind.to.clone(), bind.from.clone())).chain(own).collect()
}

/// The disks of a machine that it can write to, as they are now, to be read without it.
pub(super) fn without_machine(env: &Env, vm: &Vm) -> Vec<Disk> {
    let chains = env.state().chains;
    let disks = vm.plan().domain.iter().flat_map(|domain| &domain.disks);
    let disks = disks.filter(|disk| disk.access == Access::ReadWrite);
    let disk = |disk: &DomainDisk| {
        let (image, format) = match chains.top(vm.name(), &disk.dev) {
            Some(top) => (env.folder().join(top), ImageFormat::Qcow2),
            None => (outside(env, &disk.path), disk.format),
        };
        let format = match format {
            ImageFormat::Qcow2 => DiskFormat::Qcow2,
            ImageFormat::Raw => DiskFormat::Raw,
        };
        Disk { image, format, seen: seen(env) }
    };
    disks.map(disk).collect()
}

/// A new image for a disk, laid over what it wrote to; paths are relative to the environment's folder.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) machine: MachineName,
    pub(super) dev: String,
    pub(super) path: PathBuf,
    pub(super) over: PathBuf,
    pub(super) over_format: ImageFormat,
}

impl Layer {
    /// The image and what it lies over.
    pub(super) fn pair(&self) -> (PathBuf, PathBuf) {
        (self.path.clone(), self.over.clone())
    }

    /// Makes the image. It names its neighbour without a folder, so that both can move together.
    pub(super) async fn make(&self, folder: &Path) -> Result<(), EnvError> {
        let size = virtual_size(&folder.join(&self.over)).await?;
        let over = self.over.file_name().map_or(self.over.as_path(), Path::new);
        lay(&folder.join(&self.path), over, self.over_format, size).await
    }
}

/// New layers for all disks a machine writes to, over what it writes to now.
pub(super) fn next_layers(env: &Env, vm: &Vm, serial: u64) -> Vec<Layer> {
    let chains = env.state().chains;
    let mut now = Frozen::default();
    for (dev, image) in own(vm) {
        let top = chains.top(vm.name(), dev);
        // Whatever is not the disk's first image is a layer of ours.
        if top.is_none_or(|top| top == image.path) && image.format == ImageFormat::Raw {
            now.raw.insert(dev.to_owned());
        }
        now.disks.insert(dev.to_owned(), top.unwrap_or(&image.path).to_owned());
    }
    layers_over(vm, &now, serial)
}

/// New layers for the disks of a machine, over these images.
pub(super) fn layers_over(vm: &Vm, below: &Frozen, serial: u64) -> Vec<Layer> {
    let layer = |(dev, _): (&str, &ImagePlan)| {
        let over = below.disks.get(dev)?.clone();
        // `+` is in no name, so no two images meet in one file.
        let path = PathBuf::from(format!("images/{}+{dev}+{serial}.qcow2", vm.name()));
        let over_format = if below.raw.contains(dev) { ImageFormat::Raw } else { ImageFormat::Qcow2 };
        Some(Layer { machine: vm.name().clone(), dev: dev.to_owned(), path, over, over_format })
    };
    own(vm).filter_map(layer).collect()
}

/// Disks a machine writes to, which are all in the environment's folder: device and first image.
pub(super) fn own(vm: &Vm) -> impl Iterator<Item = (&str, &ImagePlan)> {
    let plan = vm.plan();
    let domain = plan.domain.iter().flat_map(|domain| &domain.disks);
    let writable = plan.disks.iter().zip(domain).filter(|(_, domain)| domain.access == Access::ReadWrite);
    writable.filter_map(|(disk, domain)| Some((domain.dev.as_str(), disk.image.as_ref()?)))
}

/// Devices of a machine that no snapshot keeps, because nothing is written to them.
pub(super) fn untouched(vm: &Vm) -> Vec<String> {
    let disks = vm.plan().domain.iter().flat_map(|domain| &domain.disks);
    let kept: Vec<&str> = own(vm).map(|(dev, _)| dev).collect();
    disks.map(|disk| disk.dev.clone()).filter(|dev| !kept.contains(&dev.as_str())).collect()
}

/// A machine's domain with its disks as they are now.
pub(super) fn current(env: &Env, vm: &Vm) -> Option<DomainSpec> {
    let mut spec = vm.plan().domain.clone()?;
    let (chains, folder) = (env.state().chains, env.site().running().ok()?.lab.view().env);
    for disk in &mut spec.disks {
        if let Some(top) = chains.top(vm.name(), &disk.dev) {
            disk.path = folder.join(top);
            disk.format = ImageFormat::Qcow2;
        }
    }
    Some(spec)
}

/// The size in bytes a disk has for a guest.
pub(super) async fn virtual_size(image: &Path) -> Result<u64, EnvError> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "virtual-size")]
        virtual_size: u64,
    }
    // Shared (`-U`), because a machine may use it.
    let text = run(&["qemu-img", "info", "-U", "--output=json", &image.display().to_string()]).await?;
    let info: Result<Info, _> = serde_json::from_str(&text);
    Ok(info.map_err(|e| file("understand what `qemu-img info` says of", image)(e.into()))?.virtual_size)
}

/// Whether anything was written to a layer.
pub(super) async fn has_data(layer: &Path) -> Result<bool, EnvError> {
    #[derive(Deserialize)]
    struct Extent {
        present: bool,
    }
    // By itself, because what it lies over is where only the emulator finds it.
    let alone = json!({
        "driver": "qcow2", "backing": null,
        "file": { "driver": "file", "filename": layer.display().to_string() },
    });
    let text = run(&["qemu-img", "map", "-U", "--output=json", &format!("json:{alone}")]).await?;
    let extents: Result<Vec<Extent>, _> = serde_json::from_str(&text);
    let extents = extents.map_err(|e| file("understand what `qemu-img map` says of", layer)(e.into()))?;
    Ok(extents.iter().any(|extent| extent.present))
}

/// Runs a short command on the host and returns what it printed.
async fn run(argv: &[&str]) -> Result<String, EnvError> {
    Ok(process::stdout(argv, LIMIT).await?)
}
