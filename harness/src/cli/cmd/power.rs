//! `polder start`, `stop`, `shutdown`, `reboot`, `crash`, `power-cut`, `pause`, `resume` and `cleanup`: machines on and off.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    cli::{
        args::{Machines, Shutdown},
        context::Cx,
    },
    env::Selection,
};

fn of(machines: &Machines) -> Selection {
    Selection::of(&machines.vms)
}

pub(in crate::cli) async fn start(cx: &Cx, machines: &Machines) -> anyhow::Result<()> {
    Ok(cx.env().await?.start(&of(machines), &cx.progress()).await?)
}

pub(in crate::cli) async fn stop(cx: &Cx, machines: &Machines) -> anyhow::Result<()> {
    cx.env().await?.stop(&of(machines), &cx.progress()).await?;
    Ok(())
}

/// Tells programs how each machine ended; people were told while it happened.
pub(in crate::cli) async fn shutdown(cx: &Cx, args: &Shutdown) -> anyhow::Result<String> {
    let env = cx.env().await?;
    if args.reboot {
        env.reboot(&of(&args.machines)).await?;
        return Ok(String::new());
    }
    let limit =
        args.timeout.map_or(cx.config.shutdown_timeout, |seconds| Duration::from_secs(seconds.into()));
    let stopped = env.shutdown(&of(&args.machines), limit, &cx.progress()).await?;
    let how: BTreeMap<_, _> =
        stopped.iter().map(|stopped| (stopped.machine.to_string(), stopped.how)).collect();
    if cx.for_people() { Ok(String::new()) } else { cx.print(&how) }
}

pub(in crate::cli) async fn reboot(cx: &Cx, machines: &Machines) -> anyhow::Result<()> {
    Ok(cx.env().await?.reboot(&of(machines)).await?)
}

pub(in crate::cli) async fn crash(cx: &Cx, machines: &Machines) -> anyhow::Result<()> {
    Ok(cx.env().await?.crash(&of(machines)).await?)
}

pub(in crate::cli) async fn power_cut(cx: &Cx, machines: &Machines) -> anyhow::Result<()> {
    Ok(cx.env().await?.power_cut(&of(machines)).await?)
}

pub(in crate::cli) async fn pause(cx: &Cx, machines: &Machines) -> anyhow::Result<()> {
    Ok(cx.env().await?.pause(&of(machines)).await?)
}

pub(in crate::cli) async fn resume(cx: &Cx, machines: &Machines) -> anyhow::Result<()> {
    Ok(cx.env().await?.resume(&of(machines)).await?)
}

pub(in crate::cli) async fn cleanup(cx: &Cx) -> anyhow::Result<()> {
    Ok(cx.env().await?.cleanup(&cx.progress()).await?)
}
