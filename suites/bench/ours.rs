//! Our side of bringing things up.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use polder::{
    env::{Env, Host, Progress, Selection, SnapshotOptions},
    initfile,
    lab::{Hermetic, Lab, LabSpec, Payload},
    provider::libvirt::Connection,
    workdir::Workdir,
};

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn host() -> Result<Host> {
    Ok(Host::from_env(&|name| std::env::var(name).ok())?)
}

pub(crate) fn quiet() -> Progress {
    Progress::new(|_| {})
}

/// An environment, up.
pub(crate) async fn environment(host: &Host, text: &str) -> Result<Env> {
    let spec = initfile::load_text(Path::new("bench.yaml"), text, &initfile::Options::new(&|_| None))?.spec;
    match Env::up(host, &spec, &quiet()).await {
        Ok(env) => Ok(env),
        Err(failure) => Err(failure.error.into()),
    }
}

/// From an init file's text to machines that answer; images and accelerator are known before.
pub(crate) async fn up(text: &str) -> Result<Duration> {
    let host = host()?;
    Env::plan_of(
        &host,
        &initfile::load_text(Path::new("bench.yaml"), text, &initfile::Options::new(&|_| None))?.spec,
        &quiet(),
    )
    .await?;
    let start = Instant::now();
    let env = environment(&host, text).await?;
    let took = start.elapsed();
    env.down().await?;
    Ok(took)
}

/// A lab from nothing until its daemon answers, and away again.
pub(crate) async fn lab() -> Result<Duration> {
    let host = host()?;
    let capability_cache = host.lab.cache.join("capabilities-tcg");
    std::fs::create_dir_all(&capability_cache)?;
    let start = Instant::now();
    let spec = LabSpec {
        payload: Payload::Libvirtd { kvm: false, capability_cache, way_out: false },
        env: None,
        binds: vec![],
    };
    let lab = Hermetic::start(&host.lab, spec, LIMIT).await?;
    Connection::open(&lab.libvirt_uri(), LIMIT).await?;
    lab.end(LIMIT).await?;
    Ok(start.elapsed())
}

/// The life of an environment in a prefix, step by step; that its machines answer is waited for in between and not
/// counted.
pub(crate) async fn life(text: &str) -> Result<Vec<(&'static str, Duration)>> {
    let (host, quiet, all) = (host()?, quiet(), Selection::All);
    let dir = tempfile::tempdir_in("/var/tmp")?;
    let prefix = Workdir::create(&dir.path().join(".polder"))?.add("default")?;
    let spec = initfile::load_text(Path::new("bench.yaml"), text, &initfile::Options::new(&|_| None))?.spec;
    // Once for what only the first time takes: images and the accelerator.
    Env::plan_of(&host, &spec, &quiet).await?;
    let mut steps = Vec::new();
    let mut begin = Instant::now();
    Env::plan_of(&host, &spec, &quiet).await?;
    steps.push(("plan", begin.elapsed()));
    begin = Instant::now();
    let locked = prefix.lock("init", LIMIT).await?;
    let env = Env::init(&host, &locked, &spec, &quiet).await?;
    drop(locked);
    steps.push(("init", begin.elapsed()));
    begin = Instant::now();
    let lab_up = Arc::new(OnceLock::new());
    let told = Arc::clone(&lab_up);
    let watch = Progress::new(move |said| {
        if said == "the lab is up" {
            let _ = told.set(begin.elapsed());
        }
    });
    env.start(&all, &watch).await?;
    let lab = *lab_up.get().context("no word of the lab")?;
    steps.extend([("lab", lab), ("start", begin.elapsed() - lab)]);
    env.wait_ready(&all, &quiet).await?;
    begin = Instant::now();
    env.status().await?;
    steps.push(("status", begin.elapsed()));
    begin = Instant::now();
    env.snapshot("s", &SnapshotOptions::default(), &quiet).await?;
    steps.push(("snapshot", begin.elapsed()));
    begin = Instant::now();
    env.revert("s", &quiet).await?;
    steps.push(("revert", begin.elapsed()));
    begin = Instant::now();
    let destroyed = Env::destroy(&host, &prefix, false, &quiet).await?;
    steps.push(("destroy", begin.elapsed()));
    anyhow::ensure!(destroyed.left.is_empty(), "{destroyed:?}");
    Ok(steps)
}
