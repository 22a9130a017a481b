//! `polder copy-to-vm` and `copy-from-vm`.

use std::path::Path;

use super::shell::require_running;
use crate::{
    cli::{
        context::Cx,
        exit::BadInput,
        machine_args::{CopyFrom, CopyTo},
    },
    env::{Selection, Vm},
    guest::Command,
};

/// Each file or folder goes below `remote` where that is a folder, as with `scp`.
pub(in crate::cli) async fn to_vm(cx: &Cx, args: &CopyTo) -> anyhow::Result<()> {
    let missing: Vec<_> = args.local.iter().filter(|path| !path.exists()).collect();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|path| path.display().to_string()).collect();
        return Err(BadInput(format!("there is no {}", names.join(", no "))).into());
    }
    let vm = ready(cx, &args.host).await?;
    let is_folder = vm.execute(Command::new("test").arg("-d").arg(&args.remote)).await?.status.success();
    let remote = match is_folder || args.local.len() > 1 {
        true => format!("{}/", args.remote.trim_end_matches('/')),
        false => args.remote.clone(),
    };
    for local in &args.local {
        // `.` has no name of its own.
        let local = if local.file_name().is_some() { local.clone() } else { local.canonicalize()? };
        vm.copy_to(&local, &remote).await?;
    }
    Ok(())
}

pub(in crate::cli) async fn from_vm(cx: &Cx, args: &CopyFrom) -> anyhow::Result<()> {
    let vm = ready(cx, &args.host).await?;
    let local = match args.local.is_dir() {
        true => format!("{}/", args.local.display()),
        false => args.local.display().to_string(),
    };
    Ok(vm.copy_from(&args.remote, Path::new(&local)).await?)
}

/// The machine of exactly that name, when it runs and answers.
async fn ready(cx: &Cx, host: &str) -> anyhow::Result<Vm> {
    let env = cx.env().await?;
    let mut vms = env.select(&Selection::Named(vec![host.to_owned()]))?;
    let vm = vms.pop().ok_or_else(|| BadInput(format!("no machine `{host}`")))?;
    require_running(&env, &vm).await?;
    if vm.spec().ssh.is_some() {
        vm.wait_for_ssh(cx.config.ssh_timeout.saturating_mul(cx.config.ssh_tries)).await?;
    }
    Ok(vm)
}
