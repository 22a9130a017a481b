//! The plain side: `unshare`, `libvirtd`, `virsh`, `qemu-img` and `ssh`, put together by a shell script.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use polder::{
    env::plan::{PlanInputs, plan},
    image::recipe,
    initfile,
    lab::accel::Accel,
    provider::libvirt::xml,
};

use crate::ours;

/// Runs the script on `dir` and returns how long it took to be ready, or to be gone again.
fn run(dir: &Path, count_the_end: bool) -> Result<Duration> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/plain-up.sh");
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
    let said = BufReader::new(out).lines().map_while(Result::ok).any(|line| line == "ready");
    let ready = start.elapsed();
    drop(child.stdin.take());
    child.wait()?;
    ensure!(said, "the plain script failed");
    Ok(if count_the_end { start.elapsed() } else { ready })
}

/// The folder where its libvirtd keeps the emulator's capabilities, filled by a first run that is not counted.
fn with_cache(dir: &Path) -> Result<()> {
    let cache = ours::host()?.lab.cache.join("bench-plain-cache");
    if !cache.exists() {
        fs::create_dir_all(&cache)?;
        let warm_up = tempfile::tempdir_in("/var/tmp")?;
        std::os::unix::fs::symlink(&cache, warm_up.path().join("cache"))?;
        run(warm_up.path(), false)?;
    }
    Ok(std::os::unix::fs::symlink(cache, dir.join("cache"))?)
}

/// A daemon in namespaces of its own until it answers, and away again.
pub(crate) fn lab() -> Result<Duration> {
    let dir = tempfile::tempdir_in("/var/tmp")?;
    with_cache(dir.path())?;
    run(dir.path(), true)
}

/// The same machines as ours: same image, same XML, same addresses, known host keys.
pub(crate) async fn up(text: &str) -> Result<Duration> {
    let dir = tempfile::tempdir_in("/var/tmp")?;
    with_cache(dir.path())?;
    prepare(dir.path(), text).await?;
    run(dir.path(), false)
}

/// Writes what the script needs; not counted.
async fn prepare(dir: &Path, text: &str) -> Result<()> {
    let host = ours::host()?;
    let spec = initfile::load_text(Path::new("bench.yaml"), text, &initfile::Options::new(&|_| None))?.spec;
    let image = host.images.ensure(recipe("debian12")?, &host.lab, &|_| {}).await?;
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
            images: &[("debian12".to_owned(), image)].into(),
            accel: Accel::Tcg,
            lab_env_dir: dir,
            lab_store_dir: &store,
            store_root: &store,
            authorized_key: client.trim(),
            host_keys: &host_keys,
        },
    )?;
    let write = |name: String, text: String| fs::write(dir.join(name), text);
    for net in &plan.nets {
        write("net.xml".into(), xml::network_xml(net, None))?;
    }
    let mut known = String::new();
    for machine in &plan.machines {
        let name = &machine.name;
        let ip = machine.management_ip.context("no address")?;
        let overlay = machine.overlays.first().context("no disk")?;
        let backing = overlay.backing.as_ref().context("no backing file")?;
        known += &format!("{ip} {}\n", shown.get(name).context("no host key")?.trim());
        write(format!("{name}.domain"), xml::domain_xml(&machine.domain))?;
        write(format!("{name}.ip"), ip.to_string())?;
        write(format!("{name}.disk"), dir.join(&overlay.path).display().to_string())?;
        write(format!("{name}.backing"), backing.path.display().to_string())?;
    }
    Ok(fs::write(dir.join("known_hosts"), known)?)
}

/// Makes a key pair and returns the public half.
fn key(file: &Path) -> Result<String> {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file).status()?;
    ensure!(made.success(), "ssh-keygen failed");
    Ok(fs::read_to_string(format!("{}.pub", file.display()))?)
}
