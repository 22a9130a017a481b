//! The disk images of an environment: making them, and which image a disk writes to now.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{
    Env, EnvError, Vm,
    error::file,
    parallel,
    plan::OverlayPlan,
};
use crate::{
    base::process,
    lab::paths::{INSIDE_ENV, INSIDE_STORE},
    provider::spec::DomainSpec,
};

/// For one call of `qemu-img`.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes all disk images and the folders for what machines write.
pub(super) async fn make(env: &Env) -> Result<(), EnvError> {
    let machines = &env.plan().machines;
    let overlays: Vec<&OverlayPlan> = machines.iter().flat_map(|machine| &machine.overlays).collect();
    let files = overlays.iter().map(|o| &o.path).chain(machines.iter().map(|machine| &machine.console));
    for folder in files.filter_map(|path| Some(env.folder().join(path).parent()?.to_owned())) {
        fs::create_dir_all(&folder).map_err(file("make", &folder))?;
    }
    let work = |overlay: OverlayPlan| {
        let env = env.clone();
        async move { create(&env, &overlay).await }
    };
    parallel::each(overlays.into_iter().cloned().collect(), work).await.map(drop)
}

/// The domain of a machine, with its disks as they are now.
pub(super) fn current(env: &Env, vm: &Vm) -> DomainSpec {
    let mut spec = vm.plan().domain.clone();
    if let Some(now) = env.state().machines.get(vm.name()) {
        for disk in &mut spec.disks {
            if let Some(path) = now.disks.get(&disk.dev) {
                disk.path = Path::new(INSIDE_ENV).join(path);
                disk.format = crate::provider::spec::ImageFormat::Qcow2;
            }
        }
    }
    spec
}

async fn create(env: &Env, overlay: &OverlayPlan) -> Result<(), EnvError> {
    let mut size = overlay.size;
    let path = env.folder().join(&overlay.path).display().to_string();
    let mut argv: Vec<String> =
        ["qemu-img", "create", "-q", "-f", &overlay.format.to_string()].map(str::to_owned).into();
    if let Some(backing) = &overlay.backing {
        if size.is_none() {
            size = Some(virtual_size(&outside(env, &backing.path)).await?);
        }
        // The backing format is always named: a guest that writes a header into a raw disk must not choose it.
        // Not opened (`-u`), because its path is that inside the lab, and there may be none yet.
        argv.extend(["-u", "-b"].map(str::to_owned));
        argv.extend([backing.path.display().to_string(), "-F".into(), backing.format.to_string()]);
    }
    argv.push(path);
    argv.extend(size.map(|size| size.to_string()));
    run(&argv).await.map(drop)
}

/// Where a path that the emulator sees is on the host.
fn outside(env: &Env, inside: &Path) -> PathBuf {
    let store = env.host().images.folder();
    let own = [(Path::new(INSIDE_ENV), env.folder()), (Path::new(INSIDE_STORE), store.as_path())];
    let binds = env.plan().binds.iter().map(|bind| (bind.to.as_path(), bind.from.as_path()));
    let found = own.into_iter().chain(binds).find_map(|(to, from)| match inside.strip_prefix(to).ok()? {
        // Joining nothing would make a folder of a file.
        rest if rest.as_os_str().is_empty() => Some(from.to_owned()),
        rest => Some(from.join(rest)),
    });
    found.unwrap_or_else(|| inside.to_owned())
}

/// The size in bytes a disk has for a guest.
pub(super) async fn virtual_size(image: &Path) -> Result<u64, EnvError> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "virtual-size")]
        virtual_size: u64,
    }
    // Shared (`-U`), because others may use it.
    let argv = ["qemu-img", "info", "-U", "--output=json", &image.display().to_string()];
    let text = run(&argv.map(str::to_owned)).await?;
    let info: Result<Info, _> = serde_json::from_str(&text);
    Ok(info.map_err(|e| file("understand what `qemu-img info` says of", image)(e.into()))?.virtual_size)
}

/// Runs a short command on the host and returns what it printed.
pub(super) async fn run(argv: &[String]) -> Result<String, EnvError> {
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    Ok(process::stdout(&argv, LIMIT).await?)
}
