//! `polder change`: changes of many devices from files.

mod alert;
mod file;
mod look;
mod run;
mod runs;
mod screen;

use crate::cli::{change_args::Change, context::Cx, run::Said};

pub(in crate::cli) async fn run(cx: &Cx, what: &Change) -> anyhow::Result<Said> {
    match what {
        Change::Check(args) => look::check(cx, args).await,
        Change::Plan(args) => look::plan(cx, args).await,
        Change::Convert { file } => Ok(crate::change::to_yaml(file)?.trim_end().to_owned().into()),
        Change::Run(args) => run::run(cx, args).await,
        Change::Resume(args) => run::again(cx, args, false).await,
        Change::Rollback(args) => run::again(cx, args, true).await,
        Change::Show(args) => runs::show(cx, args).await,
    }
}
