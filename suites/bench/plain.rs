//! The plain side: `unshare`, `libvirtd`, `virsh`, `qemu-img` and `ssh`, put together by a shell script.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use polder::{
    env::{
        Host,
        plan::{Made, PlanInputs, plan},
    },
    image::{ImageInfo, recipe},
    initfile::{self, spec::DiskSource},
    lab::{
        View,
        accel::{self, Accel},
    },
    net::Scope,
    provider::libvirt::{Cpus, xml},
};

use crate::ours;

const UP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/plain-up.sh");
const ENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/plain-env.sh");
const SAVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/plain-save.sh");
const RESTORE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/plain-restore.sh");
const RESET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/plain-reset.sh");

/// How long a script took to be ready, and to be gone again; and what it said until it was ready.
struct Ran {
    ready: Duration,
    gone: Duration,
    said: Vec<String>,
}

/// Runs `script` on `dir`.
fn run(script: &str, dir: &Path) -> Result<Ran> {
    run_and(script, dir, || Ok(())).map(|(ran, ())| ran)
}

/// The same, and does something while what the script made is there.
fn run_and<T>(script: &str, dir: &Path, look: impl FnOnce() -> Result<T>) -> Result<(Ran, T)> {
    let mut command = Command::new("unshare");
    // As an ordinary user a user namespace has to be made first.
    if fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) != 0) {
        command.args(["--user", "--map-root-user", "--map-auto"]);
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--ipc", "--uts"]);
    command.args(["sh", script]).arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().context("cannot start unshare")?;
    let out = child.stdout.take().context("no output")?;
    let mut said = Vec::new();
    let mut is_ready = false;
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        is_ready = line == "ready";
        if is_ready {
            break;
        }
        said.push(line);
    }
    let ready = start.elapsed();
    let looked = look();
    let gone = Instant::now();
    drop(child.stdin.take());
    child.wait()?;
    ensure!(is_ready, "the plain script failed");
    Ok((Ran { ready, gone: ready + gone.elapsed(), said }, looked?))
}

/// The folder where its libvirtd keeps the emulator's capabilities, filled by a first run that is not counted.
fn with_cache(dir: &Path) -> Result<()> {
    let cache = ours::host()?.lab.cache.join("bench-plain-cache");
    if !cache.exists() {
        fs::create_dir_all(&cache)?;
        let warm_up = tempfile::tempdir_in("/var/tmp")?;
        std::os::unix::fs::symlink(&cache, warm_up.path().join("cache"))?;
        run(UP, warm_up.path())?;
    }
    Ok(std::os::unix::fs::symlink(cache, dir.join("cache"))?)
}

/// A daemon in namespaces of its own until it answers, and away again.
pub(crate) fn lab() -> Result<Duration> {
    let dir = tempfile::tempdir_in("/var/tmp")?;
    with_cache(dir.path())?;
    Ok(run(UP, dir.path())?.gone)
}

/// The same machines as ours: same image, same XML, same addresses, known host keys.
pub(crate) async fn up(text: &str) -> Result<Duration> {
    let dir = tempfile::tempdir_in("/var/tmp")?;
    with_cache(dir.path())?;
    prepare(dir.path(), text).await?;
    Ok(run(UP, dir.path())?.ready)
}

/// The life of an environment, step by step.
pub(crate) async fn life(text: &str) -> Result<Vec<(&'static str, Duration)>> {
    let dir = tempfile::tempdir_in("/var/tmp")?;
    with_cache(dir.path())?;
    prepare(dir.path(), text).await?;
    let said = run(ENV, dir.path())?.said;
    let step = |name: &'static str| {
        let seconds = said.iter().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Ok((name, Duration::from_secs_f64(seconds.with_context(|| format!("no word of {name}"))?)))
    };
    ["plan", "init", "lab", "start", "status", "snapshot", "revert", "destroy"]
        .into_iter()
        .map(step)
        .collect()
}

/// Machines that were saved, and the folder with all that the scripts need.
pub(crate) struct Saved {
    dir: tempfile::TempDir,
}

impl Saved {
    /// Boots machines and saves them; not counted.
    pub(crate) async fn new(text: &str) -> Result<Self> {
        let dir = tempfile::tempdir_in("/var/tmp")?;
        with_cache(dir.path())?;
        prepare(dir.path(), text).await?;
        run(SAVE, dir.path())?;
        Ok(Self { dir })
    }

    /// From nothing until all machines go on; and what `look` saw of that.
    pub(crate) fn restore<T>(&self, look: impl FnOnce(&Path) -> Result<T>) -> Result<(Duration, T)> {
        let (ran, seen) = run_and(RESTORE, self.dir.path(), || look(self.dir.path()))?;
        Ok((ran.ready, seen))
    }
}

/// Goes back in place to one moment of all machines, a few times.
pub(crate) async fn resets(text: &str) -> Result<Vec<Duration>> {
    let dir = tempfile::tempdir_in("/var/tmp")?;
    with_cache(dir.path())?;
    prepare(dir.path(), text).await?;
    let said = run(RESET, dir.path())?.said;
    let took = said.iter().filter_map(|line| line.strip_prefix("reset ")?.trim().parse().ok());
    Ok(took.map(Duration::from_secs_f64).collect())
}

/// Writes what the script needs; not counted.
async fn prepare(dir: &Path, text: &str) -> Result<()> {
    let host = ours::host()?;
    let spec = initfile::load_text(Path::new("bench.yaml"), text, &initfile::Options::new(&|_| None))?.spec;
    let mut images = BTreeMap::new();
    for disk in spec.machines.iter().flat_map(|machine| &machine.disks) {
        if let DiskSource::Template { name, .. } = &disk.source {
            images.insert(name.clone(), host.images.ensure(recipe(name)?, &host.lab, &|_| {}).await?);
        }
    }
    let client = key(&dir.join("key"))?;
    let mut host_keys = BTreeMap::new();
    let mut shown = BTreeMap::new();
    for machine in &spec.machines {
        let file = dir.join(format!("{}.hostkey", machine.name));
        shown.insert(machine.name.clone(), key(&file)?);
        host_keys.insert(machine.name.clone(), fs::read_to_string(&file)?);
    }
    let store = host.images.folder();
    let plan = plan(
        &spec,
        &PlanInputs {
            view: &View::host(dir, &store, &store, &store),
            accel: accelerator(&host, &images).await?,
            cpus: &Cpus::default(),
            uuid: "00000000000000000000000000000000",
            scope: &Scope::hermetic(),
            owner: None,
            images: &images,
            image_store: &store,
            templates: &BTreeMap::new(),
            template_store: &store,
            template_names: &[],
            found: &BTreeMap::new(),
            prints: &BTreeMap::new(),
            downloads: &BTreeMap::new(),
            backing: &BTreeMap::new(),
            authorized_key: client.trim(),
            host_keys: &host_keys,
            vm_types: &["default"],
            providers: &[],
            service_managers: &[],
        },
    )?;
    fs::create_dir_all(dir.join("images"))?;
    fs::create_dir_all(dir.join("consoles"))?;
    let write = |name: String, text: String| fs::write(dir.join(name), text);
    for net in &plan.nets {
        write("net.xml".into(), xml::network_xml(net, None))?;
    }
    let mut known = String::new();
    for machine in &plan.machines {
        let name = &machine.name;
        let ip = machine.management_ip.context("no address")?;
        let domain = machine.domain.as_ref().context("no domain")?;
        let image = machine.disks.first().and_then(|disk| disk.image.as_ref()).context("no disk")?;
        let Made::Over(backing) = &image.made else { bail!("no backing file") };
        known += &format!("{ip} {}\n", shown.get(name).context("no host key")?.trim());
        write(format!("{name}.domain"), xml::domain_xml(domain))?;
        write(format!("{name}.ip"), ip.to_string())?;
        write(format!("{name}.disk"), dir.join(&image.path).display().to_string())?;
        write(format!("{name}.backing"), backing.path.display().to_string())?;
    }
    Ok(fs::write(dir.join("known_hosts"), known)?)
}

/// The accelerator our machines get.
async fn accelerator(host: &Host, images: &BTreeMap<String, ImageInfo>) -> Result<Accel> {
    let image = images.values().next().context("no image")?;
    let (kernel, initrd) = (image.dir.join(&image.kernel), image.dir.join(&image.initrd));
    Ok(accel::choose(&host.lab, &host.accel, &kernel, &initrd).await?.accel)
}

/// Makes a key pair and returns the public half.
fn key(file: &Path) -> Result<String> {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file).status()?;
    ensure!(made.success(), "ssh-keygen failed");
    Ok(fs::read_to_string(format!("{}.pub", file.display()))?)
}
