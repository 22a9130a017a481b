//! Machines that go on where earlier ones were kept, next to `virsh restore` in a script that does nothing else; the same
//! machines booted; and machines that go back to a moment in place, next to `loadvm`.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use polder::{config::Checkpoints, env::Host};
use serde_json::Value;

use crate::{fact, figure, guests, ours, plain};

/// Pairs for each number of machines.
const PAIRS: usize = 3;
const MEMORY: u32 = 256;
/// Returns, as often as the plain script does it.
const RETURNS: usize = 5;
const MIB: f64 = 1024.0;

/// From nothing until so many machines go on.
pub(crate) async fn warm(machines: usize) -> Result<()> {
    let text = guests::init_file(machines, "debian12", MEMORY);
    let dir = tempfile::tempdir_in("/var/tmp")?;
    let kept = |checkpoints| -> Result<Host> {
        let mut host = ours::host()?;
        (host.checkpoints, host.checkpoint_folder) = (checkpoints, dir.path().join("kept"));
        Ok(host)
    };
    // Images and the accelerator are known before anything is measured.
    let saved = plain::Saved::new(&text).await?;
    let start = Instant::now();
    let env = ours::environment(&kept(Checkpoints::Off)?, &text).await?;
    fact(&format!("boot of {machines} debian12"), start.elapsed().as_secs_f64(), "s");
    env.down().await?;
    ours::environment(&kept(Checkpoints::Auto)?, &text).await?.down().await?;
    let label = format!("go on, {machines} debian12");
    let (mut of_ours, mut of_plain) = (0.0, 0.0);
    for _ in 0..PAIRS {
        let start = Instant::now();
        let env = ours::environment(&kept(Checkpoints::Auto)?, &text).await?;
        figure(&label, "ours", start.elapsed());
        let folder = fs::metadata(env.folder())?;
        let is_ours = |process: &Path| {
            let inside = fs::metadata(process.join("root/run/polder/env"));
            inside.is_ok_and(|inside| (inside.dev(), inside.ino()) == (folder.dev(), folder.ino()))
        };
        of_ours += memory(machines, is_ours)?;
        env.down().await?;
        let (took, used) = saved.restore(|dir| {
            let dir = dir.display().to_string();
            let names_it = |process: &Path| {
                fs::read(process.join("cmdline"))
                    .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&dir))
            };
            memory(machines, names_it)
        })?;
        figure(&label, "plain", took);
        of_plain += used;
    }
    let each = |all: f64| all / (PAIRS * machines) as f64;
    fact(&format!("memory a machine, {machines} debian12, ours"), each(of_ours), "MiB");
    fact(&format!("memory a machine, {machines} debian12, plain"), each(of_plain), "MiB");
    Ok(())
}

/// `cargo test` of the demo, once more, for a scenario that only looks: the whole process, from the command to its end, next to
/// what brings two machines back and does nothing with them.
pub(crate) async fn second_run() -> Result<()> {
    let saved = plain::Saved::new(&guests::init_file(2, "debian12", MEMORY)).await?;
    let dir = tempfile::tempdir_in("/var/tmp")?;
    // The whole, and the scenario's part of it.
    let run = || -> Result<[Duration; 2]> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--quiet", "-p", "polder-suites", "--test", "demo", "--", "demo::names_resolve"]);
        cargo.env("POLDER_OUTPUT_DIR", dir.path().join("runs")).env("POLDER_CHECKPOINTS", "auto");
        let start = Instant::now();
        let ran = cargo.output()?;
        let whole = start.elapsed();
        ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let events = fs::read_to_string(dir.path().join("runs/latest/events.jsonl"))?;
        let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut events = events.filter_map(|line| line.get("event").cloned());
        let has = |event: &Value, key: &str, text: &str| event.get(key).and_then(Value::as_str) == Some(text);
        let ended =
            events.find(|e| has(e, "kind", "scenario_finished") && has(e, "scenario", "names_resolve"));
        let seconds = ended.and_then(|event| event.get("seconds").and_then(Value::as_f64));
        let scenario = seconds.context("the scenario did not run")?;
        Ok([whole, Duration::from_secs_f64(scenario)])
    };
    // Builds it, boots the machines, and keeps what set-up left.
    run()?;
    run()?;
    for _ in 0..PAIRS {
        let [whole, scenario] = run()?;
        let plain = saved.restore(|_| Ok(()))?.0;
        for (name, ours) in [
            ("second cargo test of the demo, with a scenario that looks", whole),
            ("second cargo test of the demo, less that scenario", whole.saturating_sub(scenario)),
        ] {
            figure(name, "ours", ours);
            figure(name, "plain", plain);
        }
    }
    Ok(())
}

/// So many machines back to one moment, in place.
pub(crate) async fn reset(machines: usize) -> Result<()> {
    let text = guests::init_file(machines, "debian12", MEMORY);
    let mut host = ours::host()?;
    host.checkpoints = Checkpoints::Off;
    let env = ours::environment(&host, &text).await?;
    let moment = env.keep_moment(&ours::quiet()).await?;
    let label = format!("back, {machines} debian12");
    for _ in 0..RETURNS {
        let start = Instant::now();
        env.return_to(&moment, &ours::quiet()).await?;
        figure(&label, "ours", start.elapsed());
    }
    env.down().await?;
    let plain = plain::resets(&text).await?;
    ensure!(plain.len() == RETURNS, "the plain script went back {} times", plain.len());
    plain.into_iter().for_each(|took| figure(&label, "plain", took));
    Ok(())
}

/// What emulators have of this host's memory, in MiB: their own, and their part of what they share. There are so many that
/// are meant.
fn memory(machines: usize, is_meant: impl Fn(&Path) -> bool) -> Result<f64> {
    let emulators: Vec<PathBuf> = fs::read_dir("/proc")?
        .flatten()
        .map(|entry| entry.path())
        .filter(|process| {
            fs::read_to_string(process.join("comm")).is_ok_and(|name| name.starts_with("qemu-system"))
        })
        .filter(|process| is_meant(process))
        .collect();
    ensure!(emulators.len() == machines, "{} emulators for {machines} machines", emulators.len());
    let mut kib = 0.0;
    for emulator in emulators {
        let text = fs::read_to_string(emulator.join("smaps_rollup"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kib += number.with_context(|| format!("no `Pss` of {}", emulator.display()))?;
    }
    Ok(kib / MIB)
}
