//! `polder init` and `polder up`.

use std::path::Path;

use anyhow::Context;

use crate::{
    cli::{
        context::Cx,
        exit::BadInput,
        flags::is_typed,
        init_args::{InitArgs, Reading},
    },
    config::Config,
    env::{DeployOptions, Env, Selection},
    initfile::{self, InitFileError, Loaded},
    workdir::Workdir,
};

/// Reads an init file with the process's environment; tells its warnings.
/// `prefix` is where the environment will be.
pub(super) fn read(cx: &Cx, file: &Path, reading: &Reading, prefix: &Path) -> anyhow::Result<Loaded> {
    let loaded = load(file, reading, prefix)?;
    loaded.warnings.iter().for_each(|warning| cx.warn_of(warning));
    Ok(loaded)
}

/// An init file with the process's environment, and with the variables that tell where its prefix is.
pub(super) fn load(file: &Path, reading: &Reading, prefix: &Path) -> Result<Loaded, InitFileError> {
    let env = |name: &str| {
        let place = match name {
            "LAGO_PREFIX_PATH" | "POLDER_PREFIX_PATH" => Some(prefix),
            "LAGO_WORKDIR_PATH" | "POLDER_WORKDIR_PATH" => prefix.parent(),
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
    make(cx, args).await.map(drop)
}

pub(in crate::cli) async fn up(cx: &Cx, args: &InitArgs) -> anyhow::Result<()> {
    let env = make(cx, args).await?;
    let up = async {
        // It undoes what it has begun when it is stopped.
        env.start(&Selection::All, &cx.progress()).await?;
        let ready = async { Ok(env.wait_ready(&Selection::All, &cx.progress()).await?) };
        cx.unless_stopped(ready).await?;
        env.deploy(&DeployOptions::default(), &cx.progress()).await?;
        let set_up = async { Ok(env.set_up(&Selection::All, &cx.progress()).await?) };
        cx.unless_stopped(set_up).await
    };
    // It stays: it can be looked at, and started again.
    up.await
        .with_context(|| format!("{} is made, but not up; `polder down` removes it", env.folder().display()))
}

/// Makes a prefix in the workdir; when that fails, nothing of it is left but its log.
async fn make(cx: &Cx, args: &InitArgs) -> anyhow::Result<Env> {
    refuse_prefix_path(&cx.config)?;
    let (folder, file) = args.paths(cx.config.workdir_path.as_deref());
    let planned = cx.planned_prefix(Some(&folder))?;
    let mut loaded = read(cx, &file, &args.reading, &planned)?;
    for machine in &mut loaded.spec.machines {
        machine.bootstrap &= !args.skip_bootstrap;
        machine.disks.iter_mut().filter(|_| args.skip_build).for_each(|disk| disk.build.clear());
    }
    let workdir = Workdir::create(&cx.absolute(&folder)?)?;
    let made = make_in(cx, args, &workdir, &loaded).await;
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
    if is_typed(config, "prefix_path") {
        let what = "a new prefix is made in a workdir; name those with `--workdir-path` and `--prefix-name` instead of `--prefix-path`";
        return Err(BadInput(what.into()));
    }
    Ok(())
}

async fn make_in(cx: &Cx, args: &InitArgs, workdir: &Workdir, loaded: &Loaded) -> anyhow::Result<Env> {
    let name = &cx.config.prefix_name;
    let planned = workdir.planned(name)?;
    // Of this attempt alone: what an earlier one left is not its log.
    workdir.forget_log(&planned.name())?;
    std::fs::create_dir_all(workdir.path())
        .with_context(|| format!("cannot make {}", workdir.path().display()))?;
    cx.log_to(&planned.init_log());
    let host = cx.host()?;
    let env = Env::create(&host, workdir, name, loaded, &cx.progress()).await?;
    cx.log.moved(&planned.log());
    if args.set_current {
        workdir.set_current(&planned.name())?;
    }
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initfile::spec::DiskSource;

    #[test]
    fn an_init_file_can_name_its_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        let disk = |name: &str, path: &str, dev: &str| {
            format!(
                "{{name: {name}, type: file, url: 'http://h/x', path: '{path}', dev: {dev}, format: raw}}"
            )
        };
        let disks = [
            disk("a", "$LAGO_PREFIX_PATH/x", "vda"),
            disk("b", "${POLDER_WORKDIR_PATH}/x", "vdb"),
            disk("c", "$POLDER_INITFILE_PATH/x", "vdc"),
        ];
        let text = format!("domains: {{a: {{disks: [{}]}}}}\nnets: {{lan: {{}}}}\n", disks.join(", "));
        std::fs::write(&file, text).unwrap();
        let spec = load(&file, &Reading::default(), Path::new("/w/nightly")).unwrap().spec;
        let paths: Vec<_> = spec.machines[0]
            .disks
            .iter()
            .map(|disk| match &disk.source {
                DiskSource::File { path, .. } => path.clone().unwrap(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(paths, [std::path::PathBuf::from("/w/nightly/x"), "/w/x".into(), dir.path().join("x")]);
    }
}
