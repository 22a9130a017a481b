//! Every function of guests on every kind of image: one walk over all of them, on a machine of each of our images and on
//! one of somebody else's. What an image does not say it can do has to be refused there, with the reason.

use std::{
    fs,
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use polder::{
    env::{Env, Host, Selection, Vm},
    image::Ability,
    prelude::secs,
    workdir::Workdir,
};

use crate::{arena, foreign, typed::Ground};

mod commands;
mod control;
mod devices;
mod files;
mod services;
mod streams;
mod waits;

/// A function: what it is called, what it takes that not every image has, and a try of it.
struct Row(&'static str, Option<Need>, Try);

type Try = for<'a> fn(&'a Place) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// An ability, and what has to be said where an image lacks it.
struct Need(Ability, &'static str);

const AGENT: Option<Need> = Some(Need(Ability::Agent, "does not have guest agent"));
const AGENT_EXEC: Option<Need> =
    Some(Need(Ability::AgentExec, "does not have commands over the guest agent"));
const UNITS: Option<Need> = Some(Need(Ability::Units, "does not have systemd units"));
const JOURNAL: Option<Need> = Some(Need(Ability::Journal, "does not have a systemd journal"));
const REBOOT: Option<Need> = Some(Need(Ability::Reboot, "does not have reboot"));
/// Without units, somebody else would have to manage services.
const SERVICES: Option<Need> = Some(Need(Ability::Units, "its services have no manager: none is there of"));

/// All functions, in the order in which they are tried: what starts the machine anew or stops it comes last.
const ROWS: &[&[Row]] =
    &[commands::ROWS, streams::ROWS, files::ROWS, waits::ROWS, services::ROWS, devices::ROWS, control::ROWS];

/// For one function, before it is stretched; what takes longer hangs.
const LIMIT: Duration = secs(120);
/// For what is not to come true, before it is stretched.
const SHORT: Duration = Duration::from_millis(300);

/// Ends whatever sleeps; what watches a job sleeps for a moment, too, and may have ended by itself.
const NO_SLEEP: &str =
    "none=1; for p in $(pidof sleep); do kill $p 2>/dev/null && none=0; done; [ $none = 0 ]";

/// One of how many functions is tried of those of which a sample is.
const SAMPLE: u64 = 8;

/// How many of the functions are tried.
#[derive(Clone, Copy)]
enum Extent {
    Whole,
    /// A part of those that `minimal` has as well, on which all of them are tried, and all others; all of them in a soak.
    Sample,
}

/// Where functions are tried: a machine called `it`, in a project of its own.
struct Place {
    ground: Ground,
    env: Env,
    vm: Vm,
}

impl Place {
    /// Makes the machine; `lines` are what an init file says of it by its image.
    async fn new(lines: &str) -> Self {
        let ground = Ground::new(&format!("domains:\n{lines}{ALIKE}"));
        services::scripts(&ground);
        ground.polder(&["up"]).ok();
        let labs = ground.path("labs").display().to_string();
        let host = Host::from_env(&|name| match name {
            "POLDER_RUNTIME_DIR" => Some(labs.clone()),
            _ => std::env::var(name).ok(),
        });
        let prefix = Workdir::at(&ground.path(".polder")).unwrap().prefix("default").unwrap();
        let env = Env::load(&host.unwrap(), &prefix).await.unwrap();
        let vm = env.vm("it").unwrap();
        Self { ground, env, vm }
    }

    /// What a command typed in the project prints; it has to succeed.
    fn polder(&self, args: &[&str]) -> Result<String> {
        let said = self.ground.polder(args);
        ensure!(said.code == Some(0), "polder {args:?}: {said:?}");
        Ok(said.out)
    }

    /// A file of this host with that content.
    fn file(&self, name: &str, bytes: &[u8]) -> Result<std::path::PathBuf> {
        let path = self.ground.path(name);
        fs::create_dir_all(path.parent().context("it is below")?)?;
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// What a script prints, as a number.
    async fn number(&self, script: &str) -> Result<i64> {
        let said = self.vm.succeed(script).await?;
        said.trim().parse().with_context(|| format!("`{script}` said {said}"))
    }

    fn only(&self) -> Selection {
        Selection::Named(vec!["it".to_owned()])
    }
}

/// What all of them have beside their disk and memory.
const ALIKE: &str = "    graphics: true
    nics: [{net: lan}]
    artifacts: ['/root/kept/*.log', /root/kept/none]
    metadata:
      deploy-scripts: [{path: first.sh, args: [a  b], env: {WHO: it's me}, once: true}, second.sh]
nets:
  lan: {type: nat, management: true}
  side: {type: isolated}
";

/// Tries every function and tells of each; fails with all that failed.
async fn walk(image: &str, lines: &str, extent: Extent) {
    let mut dice = match extent {
        Extent::Whole => None,
        Extent::Sample if std::env::var_os("POLDER_SOAK_SEED").is_some() => None,
        Extent::Sample => Some(arena::campaign(1).1),
    };
    let start = Instant::now();
    let place = Place::new(lines).await;
    let factor = place.env.time_factor();
    eprintln!("{image:>9} {:6.1} s  it is up", start.elapsed().as_secs_f64());
    let mut failed = Vec::new();
    for Row(name, need, attempt) in ROWS.iter().copied().flatten() {
        // What only some images can do is always tried where it can be done.
        if need.is_none() && dice.as_mut().is_some_and(|dice| dice.below(SAMPLE) > 0) {
            eprintln!("{image:>9}    -     {name}: left to `cargo ci soak everywhere-{image}`");
            continue;
        }
        let start = Instant::now();
        let tried = tokio::time::timeout(LIMIT.mul_f64(factor), attempt(&place)).await;
        let tried = tried.unwrap_or_else(|_| Err(anyhow::anyhow!("it did not end")));
        let verdict = judged(need.as_ref().filter(|need| !place.vm.spec().abilities.has(need.0)), tried);
        let told = verdict.as_ref().unwrap_or_else(|why| why);
        eprintln!("{image:>9} {:6.1} s  {name}: {told}", start.elapsed().as_secs_f64());
        failed.extend(verdict.err().map(|why| format!("{name}: {why}")));
    }
    assert!(failed.is_empty(), "on {image}:\n{}", failed.join("\n"));
}

/// What a try came to, where the image lacks what it needs or does not; an error when it should have come to something else.
fn judged(lacks: Option<&Need>, tried: Result<()>) -> Result<String, String> {
    match (lacks, tried) {
        (None, Ok(())) => Ok("ok".to_owned()),
        (None, Err(error)) => Err(format!("{error:#}")),
        (Some(Need(ability, _)), Ok(())) => {
            Err(format!("it was done, by an image that is without {ability}"))
        }
        (Some(Need(_, reason)), Err(error)) => {
            let told = format!("{error:#}");
            match told.contains(reason) {
                true => Ok(format!("refused: {told}")),
                false => Err(format!("it was not refused because it {reason}, but: {told}")),
            }
        }
    }
}

fn ours(image: &str, memory: u32) -> String {
    format!(
        "  it:
    memory: {memory}
    vcpu: 1
    disks: [{{name: root, type: template, template_name: {image}, dev: vda, format: qcow2}}]
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_on_minimal() {
    walk("minimal", &ours("minimal", 192), Extent::Whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_on_debian12() {
    walk("debian12", &ours("debian12", 320), Extent::Sample).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign of its own: `cargo ci soak everywhere-foreign`"]
async fn every_function_on_somebody_elses_image() {
    let host = Host::from_env(&|name| std::env::var(name).ok()).unwrap();
    let image = foreign::debian12_cloud(&host.lab).await;
    let lines = foreign::machine(&image, "it", "    vcpu: 1\n    root-password: r00t\n");
    walk("foreign", &lines, Extent::Whole).await;
}

#[test]
fn what_is_not_done_has_to_be_refused_for_what_lacks() {
    let units = UNITS.unwrap();
    let tried = |text: &'static str| Err(anyhow::anyhow!(text));
    assert_eq!(judged(None, Ok(())).unwrap(), "ok");
    assert!(judged(None, tried("no")).is_err() && judged(Some(&units), Ok(())).is_err());
    assert!(judged(Some(&units), tried("image `x` does not have systemd units")).is_ok());
    assert!(judged(Some(&units), tried("exit status 127")).is_err());
}
