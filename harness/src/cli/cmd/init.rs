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
    env::{Env, Selection},
    initfile::{self, EnvSpec},
    workdir::Workdir,
};

/// Reads an init file with the process's environment, and fills in what is configured; tells its warnings.
pub(super) fn read(cx: &Cx, file: &Path, reading: &Reading) -> anyhow::Result<EnvSpec> {
    let env = |name: &str| std::env::var(name).ok();
    let variables = reading.variables.iter().cloned().collect();
    let options =
        initfile::Options { env: &env, variables: &variables, allow_unknown: reading.allow_unknown };
    let loaded = initfile::load(file, &options)?;
    loaded.warnings.iter().for_each(|warning| cx.warn(warning));
    let mut spec = loaded.spec;
    fill(&mut spec, &cx.config);
    cx.extensions.shape(&mut spec)?;
    Ok(spec)
}

/// What the file does not say of its machines, the configuration does.
fn fill(spec: &mut EnvSpec, config: &Config) {
    for machine in &mut spec.machines {
        // The parser has put these two in where the file says nothing.
        if machine.vm_type == "default" {
            machine.vm_type.clone_from(&config.default_vm_type);
        }
        if machine.provider == "local-libvirt" {
            machine.provider.clone_from(&config.default_vm_provider);
        }
        machine.ssh_user.get_or_insert_with(|| config.ssh_user.clone());
        machine.ssh_password.get_or_insert_with(|| config.ssh_password.clone());
        machine.root_password = machine.root_password.take().or_else(|| config.root_password.clone());
    }
}

pub(in crate::cli) async fn init(cx: &Cx, args: &InitArgs) -> anyhow::Result<()> {
    make(cx, args, "init").await.map(drop)
}

pub(in crate::cli) async fn up(cx: &Cx, args: &InitArgs) -> anyhow::Result<()> {
    let env = make(cx, args, "up").await?;
    let ready = cx.unless_stopped(async {
        env.start(&Selection::All, &cx.progress()).await?;
        Ok(env.wait_ready(&Selection::All, &cx.progress()).await?)
    });
    // It stays: it can be looked at, and started again.
    ready
        .await
        .with_context(|| format!("{} is made, but not up; `polder down` removes it", env.folder().display()))
}

/// Makes a prefix in the workdir; when that fails, nothing of it is left but its log.
async fn make(cx: &Cx, args: &InitArgs, verb: &str) -> anyhow::Result<Env> {
    refuse_prefix_path(&cx.config)?;
    let (folder, file) = args.paths(cx.config.workdir_path.as_deref());
    let mut spec = read(cx, &file, &args.reading)?;
    for machine in &mut spec.machines {
        machine.bootstrap &= !args.skip_bootstrap;
        machine.disks.iter_mut().filter(|_| args.skip_build).for_each(|disk| disk.build.clear());
    }
    let workdir = Workdir::create(&cx.absolute(&folder)?)?;
    let made = make_in(cx, args, verb, &workdir, &spec).await;
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

async fn make_in(
    cx: &Cx,
    args: &InitArgs,
    verb: &str,
    workdir: &Workdir,
    spec: &EnvSpec,
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
        Ok(Env::init(&host, &locked, spec, &cx.progress()).await?)
    };
    match cx.unless_stopped(init).await {
        Ok(env) => {
            cx.log.moved(&planned.log());
            let copy = prefix.paths().init_file();
            std::fs::copy(&spec.origin, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
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
