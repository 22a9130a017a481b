//! `polder init` and `polder up`.

use std::path::Path;

use anyhow::Context;

use crate::{
    cli::{
        context::Cx,
        exit::BadInput,
        init_args::{InitArgs, Reading},
    },
    config::{Config, Origin},
    env::{Defaults, Env, Selection},
    initfile::{self, InitFileError, Loaded},
    workdir::{
        Prefix, Workdir,
        paths::{CURRENT, DEFAULT},
    },
};

/// Reads an init file with the process's environment, and fills in what is configured; tells its warnings. `prefix` is
/// where the environment will be, if it is to be anywhere.
pub(super) fn read(cx: &Cx, file: &Path, reading: &Reading, prefix: Option<&Path>) -> anyhow::Result<Loaded> {
    let mut loaded = load(file, reading, prefix)?;
    loaded.warnings.iter().for_each(|warning| cx.warn_of(warning));
    Defaults::of(&cx.config).fill(&mut loaded.spec);
    cx.extensions.shape(&mut loaded.spec)?;
    Ok(loaded)
}

/// An init file with the process's environment, and with the variables that tell where its prefix is.
pub(super) fn load(file: &Path, reading: &Reading, prefix: Option<&Path>) -> Result<Loaded, InitFileError> {
    let env = |name: &str| {
        let place = match name {
            "LAGO_PREFIX_PATH" | "POLDER_PREFIX_PATH" => prefix,
            "LAGO_WORKDIR_PATH" | "POLDER_WORKDIR_PATH" => prefix.and_then(Path::parent),
            _ => None,
        };
        place.map(|place| place.display().to_string()).or_else(|| std::env::var(name).ok())
    };
    let variables = reading.variables.iter().cloned().collect();
    let options =
        initfile::Options { env: &env, variables: &variables, allow_unknown: reading.allow_unknown };
    initfile::load(file, &options)
}

pub(in crate::cli) async fn init(cx: &Cx, args: &InitArgs) -> anyhow::Result<()> {
    make(cx, args, "init").await.map(drop)
}

pub(in crate::cli) async fn up(cx: &Cx, args: &InitArgs) -> anyhow::Result<()> {
    let env = make(cx, args, "up").await?;
    let up = async {
        // It undoes what it has begun when it is stopped.
        env.start(&Selection::All, &cx.progress()).await?;
        let ready = async { Ok(env.wait_ready(&Selection::All, &cx.progress()).await?) };
        cx.unless_stopped(ready).await
    };
    // It stays: it can be looked at, and started again.
    up.await
        .with_context(|| format!("{} is made, but not up; `polder down` removes it", env.folder().display()))
}

/// Makes a prefix in the workdir; when that fails, nothing of it is left but its log.
async fn make(cx: &Cx, args: &InitArgs, verb: &str) -> anyhow::Result<Env> {
    refuse_prefix_path(&cx.config)?;
    let (folder, file) = args.paths(cx.config.workdir_path.as_deref());
    let folder = cx.absolute(&folder)?;
    let name = if cx.config.prefix_name == CURRENT { DEFAULT } else { &cx.config.prefix_name };
    let mut loaded = read(cx, &file, &args.reading, Some(&folder.join(name)))?;
    for machine in &mut loaded.spec.machines {
        machine.bootstrap &= !args.skip_bootstrap;
        machine.disks.iter_mut().filter(|_| args.skip_build).for_each(|disk| disk.build.clear());
    }
    let workdir = Workdir::create(&folder)?;
    let made = make_in(cx, args, verb, &workdir, &loaded).await;
    if made.is_err()
        // Made for this prefix alone, perhaps.
        && let Err(error) = workdir.removed()
    {
        cx.warn(&format_args!("{:#}", anyhow::Error::from(error)));
    }
    made
}

/// A new prefix has its place in a workdir. A variable says where one stands, not where one is to be made.
fn refuse_prefix_path(config: &Config) -> Result<(), BadInput> {
    match config.settings.get("", "prefix_path").map(|setting| &setting.origin) {
        Some(Origin::Flag(_)) => Err(BadInput(
            "a new prefix is made in a workdir; name those with `--workdir-path` and `--prefix-name` instead of `--prefix-path`"
                .into(),
        )),
        _ => Ok(()),
    }
}

async fn make_in(
    cx: &Cx,
    args: &InitArgs,
    verb: &str,
    workdir: &Workdir,
    loaded: &Loaded,
) -> anyhow::Result<Env> {
    let name = &cx.config.prefix_name;
    let planned = workdir.planned(name)?;
    // Of this attempt alone: what an earlier one left is not its log.
    workdir.forget_log(&planned.name())?;
    std::fs::create_dir_all(workdir.path())
        .with_context(|| format!("cannot make {}", workdir.path().display()))?;
    cx.log_to(&planned.init_log());
    let host = cx.host()?;
    let prefix = workdir.add(name)?;
    let init = async {
        let locked = prefix.lock(verb, cx.config.lock_timeout).await?;
        let env = Env::init(&host, &locked, &loaded.spec, &cx.progress()).await?;
        keep_asked(&prefix, loaded)?;
        Ok(env)
    };
    match cx.unless_stopped(init).await {
        Ok(env) => {
            cx.log.moved(&planned.log());
            if args.set_current {
                workdir.set_current(&prefix.name())?;
            }
            Ok(env)
        }
        Err(error) => {
            let destroyed = Env::destroy(&host, &prefix, true, &cx.progress()).await;
            let left = super::destroy::left(destroyed);
            match left {
                Ok(_) => Err(error),
                Err(left) => Err(error.context(format!("what was made is not all gone: {left:#}"))),
            }
        }
    }
}

/// Keeps copies of the init file and, numbered because they may be called alike, of what it includes.
fn keep_asked(prefix: &Prefix, loaded: &Loaded) -> anyhow::Result<()> {
    let (copy, folder) = (prefix.paths().init_file(), prefix.path().join("included"));
    std::fs::copy(&loaded.spec.origin, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    for (number, (file, text)) in (1..).zip(&loaded.included) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let copy = folder.join(format!("{number}-{name}"));
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&copy, text))
            .with_context(|| format!("cannot write {}", copy.display()))?;
    }
    Ok(())
}
