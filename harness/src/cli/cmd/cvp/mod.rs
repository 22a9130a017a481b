//! `polder cvp`: a portal of our own, and what people do at others.

mod apply;
mod backup;
mod cc;
mod list;
mod login_check;
mod progress;
mod reach;
mod serve;
mod tasks;

use crate::cli::{context::Cx, cvp_args::Cvp, run::Said};

pub(in crate::cli) async fn run(cx: &Cx, what: &Cvp) -> anyhow::Result<Said> {
    Ok(match what {
        Cvp::Serve(args) => serve::run(cx, args).await?.into(),
        Cvp::Apply(args) => apply::run(cx, args).await?,
        Cvp::Tasks(args) => tasks::run(cx, args).await?,
        // The others change nothing in several steps, so they may be stopped anywhere.
        Cvp::Inventory(args) => cx.unless_stopped(list::inventory(cx, args)).await?.into(),
        Cvp::Configlets(args) => cx.unless_stopped(list::configlets(cx, args)).await?.into(),
        Cvp::Cc { what } => cx.unless_stopped(cc::run(cx, what)).await?.into(),
        Cvp::LoginCheck { reach } => cx.unless_stopped(login_check::run(cx, reach)).await?.into(),
        Cvp::Backup(args) => cx.unless_stopped(backup::run(cx, args)).await?.into(),
    })
}
