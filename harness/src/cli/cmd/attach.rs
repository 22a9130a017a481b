//! `polder attach-disk`, `detach-disk`, `attach-nic` and `detach-nic`: devices that come and go while a machine runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{fault::net_of, shell::find, shell::require_running};
use crate::{
    cli::{context::Cx, exit::BadInput},
    env::{Env, NewDisk, Vm},
    initfile,
    provider::spec::ImageFormat,
};

/// Options of `attach-disk`.
#[derive(Debug, Args)]
pub(in crate::cli) struct AttachDisk {
    /// The machine, or the end of its name.
    #[arg(value_name = "VM")]
    host: String,
    /// The size of an empty disk, such as `8G`.
    #[arg(long, value_name = "SIZE", value_parser = initfile::size, required_unless_present = "copy")]
    size: Option<u64>,
    /// A copy of this image, instead of an empty disk.
    #[arg(long, value_name = "FILE", conflicts_with = "size")]
    copy: Option<PathBuf>,
    /// The format of that image.
    #[arg(long, default_value = "qcow2", conflicts_with = "size")]
    format: Format,
}

/// Options of `detach-disk`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DetachDisk {
    /// The machine, or the end of its name.
    #[arg(value_name = "VM")]
    host: String,
    /// The disk as it was attached, such as `vdb`.
    dev: String,
}

/// Options of `attach-nic`.
#[derive(Debug, Args)]
pub(in crate::cli) struct AttachNic {
    /// The machine, or the end of its name.
    #[arg(value_name = "VM")]
    host: String,
    /// The net.
    net: String,
}

/// Options of `detach-nic`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DetachNic {
    /// The machine, or the end of its name.
    #[arg(value_name = "VM")]
    host: String,
    /// The NIC: `eth` and its number, or its Ethernet address.
    nic: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Qcow2,
    Raw,
}

pub(in crate::cli) async fn disk(cx: &Cx, args: &AttachDisk) -> anyhow::Result<String> {
    let (env, vm) = running(cx, &args.host).await?;
    let disk = match (&args.copy, args.size) {
        (None, size) => NewDisk::Empty { size: size.unwrap_or_default() },
        (Some(path), _) => NewDisk::Copy {
            path: cx.absolute(path)?,
            format: match args.format {
                Format::Qcow2 => ImageFormat::Qcow2,
                Format::Raw => ImageFormat::Raw,
            },
        },
    };
    let disk = env.attach_disk(&vm, &disk).await?;
    cx.print(&json!({ "dev": disk.dev(), "serial": disk.serial(), "image": disk.image() }))
}

pub(in crate::cli) async fn detach_disk(cx: &Cx, args: &DetachDisk) -> anyhow::Result<()> {
    let (env, vm) = running(cx, &args.host).await?;
    Ok(env.attached_disk(&vm, &args.dev).await?.detach().await?)
}

pub(in crate::cli) async fn nic(cx: &Cx, args: &AttachNic) -> anyhow::Result<String> {
    let (env, vm) = running(cx, &args.host).await?;
    let link = net_of(&env, &args.net)?.attach(&vm).await?;
    let nic = link.nic();
    let addresses: Vec<_> = nic.addresses().collect();
    cx.print(&json!({ "nic": format!("eth{}", nic.index), "mac": nic.mac, "addresses": addresses }))
}

pub(in crate::cli) async fn detach_nic(cx: &Cx, args: &DetachNic) -> anyhow::Result<()> {
    let (env, vm) = running(cx, &args.host).await?;
    let mut links = env.links(&vm);
    let names = |mac: &dyn std::fmt::Display, index: usize| {
        args.nic == format!("eth{index}") || args.nic.eq_ignore_ascii_case(&mac.to_string())
    };
    let Some(at) = links.iter().position(|link| names(&link.nic().mac, link.nic().index)) else {
        let there: Vec<_> = links.iter().map(|link| format!("eth{}", link.nic().index)).collect();
        let why = format!("{} has no NIC `{}`; there are: {}", vm.name(), args.nic, there.join(", "));
        return Err(BadInput(why).into());
    };
    Ok(links.swap_remove(at).detach().await?)
}

async fn running(cx: &Cx, host: &str) -> anyhow::Result<(Env, Vm)> {
    let env = cx.env().await?;
    let vm = find(&env, host)?;
    require_running(&env, &vm).await?;
    Ok((env, vm))
}
