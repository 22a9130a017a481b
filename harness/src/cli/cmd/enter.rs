//! `polder enter`: into an environment that a run of suites has left.

use std::{
    fs,
    io::{IsTerminal, stdin},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use serde_json::json;

use super::{
    runs,
    shell::{find, require_running},
};
use crate::{
    base::exit::Exit,
    cli::{args::Enter, context::Cx, exit::BadInput, run::Said},
    env::Env,
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
    let prefix = Workdir::at(&suite.join(FOLDER))?.prefix(CURRENT)?;
    let env = Env::load(&cx.host()?, &prefix).await?;
    if let Some(name) = &args.vm {
        let vm = find(&env, name)?;
        require_running(&env, &vm).await?;
        return Ok(Said::code(vm.shell(None).await?));
    }
    let vms = env.vms();
    let names: Vec<_> = vms.iter().map(|vm| vm.name().to_string()).collect();
    if !cx.for_people() {
        return Ok(cx.print(&json!({ "folder": suite, "machines": names }))?.into());
    }
    if !stdin().is_terminal() {
        bail!(
            "standard input is no terminal; name a machine ({}), or use the verbs in {}",
            names.join(", "),
            suite.display()
        );
    }
    tracing::warn!(
        target: "polder",
        "machines: {}\nverbs: polder status, polder shell VM, polder console VM, polder destroy; `exit` leaves, they stay",
        names.join(", ")
    );
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| SHELL.into());
    let status = Command::new(&shell)
        .current_dir(&suite)
        .status()
        .with_context(|| format!("cannot start {}", Path::new(&shell).display()))?;
    // What was typed there last is no verdict on us.
    Ok(if status.code().is_some() { String::new().into() } else { Said::code(Exit::Failed as u8) })
}

/// The folder of the suite whose environment is meant: the one that is named, or the only one that stays.
fn choose(run: &Path, suite: Option<&str>) -> Result<PathBuf, BadInput> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut kept: Vec<PathBuf> = entries.filter(|folder| folder.join(FOLDER).is_dir()).collect();
    kept.sort();
    let name = |folder: &PathBuf| folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<String> = kept.iter().map(name).collect();
    if let Some(suite) = suite {
        kept.retain(|folder| name(folder) == suite.replace("::", "."));
    }
    match (kept.as_slice(), suite) {
        ([one], _) => Ok(one.clone()),
        (_, _) if names.is_empty() => Err(BadInput(format!(
            "no environment of {} stays; suites leave theirs when POLDER_KEEP is `failed` or `always`, until it is destroyed",
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
