//! `polder deploy`.

use crate::{
    cli::{args::Deploy, context::Cx},
    env::DeployOptions,
};

/// Tells programs what became of each script; people were told while it happened.
pub(in crate::cli) async fn run(cx: &Cx, args: &Deploy) -> anyhow::Result<String> {
    let options = DeployOptions { only: args.only.clone(), again: args.again };
    let done = cx.env().await?.deploy(&options, &cx.progress()).await?;
    if !cx.for_people() {
        return cx.print(&done);
    }
    Ok(if done.is_empty() { "there are no scripts to deploy".to_owned() } else { String::new() })
}
