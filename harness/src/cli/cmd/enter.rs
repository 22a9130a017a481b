//! `polder enter`: into an environment that a run of suites has left.

use std::{
    fs,
    io::{self, IsTerminal, Write, stdin},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde_json::json;
use tokio::process::Command;

use super::{
    reopen, runs,
    shell::{find, require_running},
};
use crate::{
    base::exit::Exit,
    cli::{args::Enter, context::Cx, exit::BadInput, run::Said},
    cvp::{
        Way,
        server::{Portal, PortalSpec, SavedState},
    },
    env::Env,
    event::{PORTAL_STATE, STATES},
    workdir::{
        Workdir,
        paths::{CURRENT, FOLDER},
    },
};

/// The operator's own shell, where there is no `SHELL`.
const SHELL: &str = "/bin/sh";

pub(in crate::cli) async fn run(cx: &Cx, args: &Enter) -> anyhow::Result<Said> {
    let run = runs::find(cx, args.run.as_deref())?;
    let suite = choose(&run, args.suite.as_deref())?;
    let stays = suite.join(FOLDER).is_dir();
    let env = match (stays, reopen::kept(&suite)?) {
        (true, _) if args.scenario.is_none() => {
            Some(Env::load(&cx.host()?, &Workdir::at(&suite.join(FOLDER))?.prefix(CURRENT)?).await?)
        }
        (true, _) => {
            let what = "already; `polder destroy` in that folder ends them";
            return Err(BadInput(format!("machines of {} stay {what}", suite.display())).into());
        }
        (false, states) if states.is_empty() && args.scenario.is_none() => None,
        (false, states) => Some(reopen::go_on(cx, &suite, states, args.scenario.as_deref()).await?),
    };
    if let Some(name) = &args.vm {
        let env = env.ok_or_else(|| BadInput(format!("no machines of {} stay", suite.display())))?;
        let vm = find(&env, name)?;
        require_running(&env, &vm).await?;
        return Ok(Said::code(vm.shell(None).await?));
    }
    let vms = env.map(|env| env.vms()).unwrap_or_default();
    let names: Vec<_> = vms.iter().map(|vm| vm.name().to_string()).collect();
    let state = Some(suite.join(PORTAL_STATE)).filter(|state| state.is_file());
    if !cx.for_people() {
        return Ok(cx.print(&json!({ "folder": suite, "machines": names, "portal": state }))?.into());
    }
    if !stdin().is_terminal() {
        let machines = match names.is_empty() {
            true => "no machines stay".to_owned(),
            false => {
                format!("name a machine ({}), or use the verbs in {}", names.join(", "), suite.display())
            }
        };
        let portal =
            state.map(|state| format!("; `polder cvp serve --state {}` is its portal", state.display()));
        bail!("standard input is no terminal; {machines}{}", portal.unwrap_or_default());
    }
    let machines = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    tracing::warn!(
        target: "polder",
        "machines: {machines}\nverbs: polder status, polder shell VM, polder console VM, polder destroy; `exit` leaves, they stay",
    );
    let portal = match &state {
        Some(state) => Some(Served::begin(state).await?),
        None => None,
    };
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| SHELL.into());
    let mut command = Command::new(&shell);
    command.current_dir(&suite).envs(portal.iter().flat_map(Served::variables));
    let status = command.status().await;
    if let (Some(portal), Some(state)) = (portal, &state) {
        portal.end(state).await?;
    }
    let status = status.with_context(|| format!("cannot start {}", Path::new(&shell).display()))?;
    // What was typed there last is no verdict on us.
    Ok(if status.code().is_some() { String::new().into() } else { Said::code(Exit::Failed as u8) })
}

/// The portal of our own that a suite had, again.
struct Served {
    portal: Portal,
    ca: Option<tempfile::NamedTempFile>,
}

impl Served {
    /// Serves what is in the file, on this host alone, and says where.
    async fn begin(file: &Path) -> anyhow::Result<Self> {
        let json = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let state = Some(SavedState { file: file.to_owned(), json });
        let portal = Portal::start(PortalSpec { state, ..PortalSpec::default() }).await?;
        let ca = portal.ca().map(|ca| -> io::Result<_> {
            let mut file = tempfile::Builder::new().prefix("polder-cvp-").suffix(".pem").tempfile()?;
            file.write_all(ca.as_bytes())?;
            Ok(file)
        });
        let ca = ca.transpose().context("cannot write the certificate of the portal's authority")?;
        tracing::warn!(
            target: "polder",
            "portal: {}, user {}, password {}, as the suite left it, until you leave; `polder cvp` finds it here",
            portal.url(),
            portal.username(),
            portal.password()
        );
        Ok(Self { portal, ca })
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        Way::to(&self.portal).variables(self.ca.as_ref().map(tempfile::NamedTempFile::path))
    }

    /// Keeps what was done there.
    async fn end(self, file: &Path) -> anyhow::Result<()> {
        let saved = self.portal.save(file);
        self.portal.stop().await;
        Ok(saved?)
    }
}

/// Whether there is anything to enter.
fn stays(suite: &Path) -> bool {
    [FOLDER, STATES].iter().any(|folder| suite.join(folder).is_dir()) || suite.join(PORTAL_STATE).is_file()
}

/// The folder of the suite whose environment is meant: the one that is named, or the only one that stays.
fn choose(run: &Path, suite: Option<&str>) -> Result<PathBuf, BadInput> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut kept: Vec<PathBuf> = entries.filter(|folder| stays(folder)).collect();
    kept.sort();
    let name = |folder: &PathBuf| folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<String> = kept.iter().map(name).collect();
    if let Some(suite) = suite {
        kept.retain(|folder| name(folder) == suite.replace("::", "."));
    }
    match (kept.as_slice(), suite) {
        ([one], _) => Ok(one.clone()),
        (_, _) if names.is_empty() => Err(BadInput(format!(
            "no environment of {} stays; suites leave theirs when POLDER_KEEP is `failed` or `always`, until it is destroyed, and states to go on from when it is `state`",
            run.display()
        ))),
        (_, None) => {
            Err(BadInput(format!("several suites left theirs; name one with --suite: {}", names.join(", "))))
        }
        (_, Some(suite)) => Err(BadInput(format!(
            "suite `{suite}` left no environment; those that did: {}",
            names.join(", ")
        ))),
    }
}
