//! `polder script`.

use anyhow::Context;

use super::exec::passed_through;
use crate::{
    cli::{context::Cx, exit::BadInput, machine_args::ScriptArgs, run::Said},
    guest::Command,
};

pub(in crate::cli) async fn run(cx: &Cx, args: &ScriptArgs) -> anyhow::Result<Said> {
    let file = cx.absolute(&args.file)?;
    let read = std::fs::read(&file);
    let text = read.map_err(|error| BadInput(error.to_string()));
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    passed_through(cx, &args.host, Command::upload(text).args(&args.args), &args.how).await
}
