//! `polder send-key`, `inject-nmi` and `screenshot`: a machine's keyboard, its button for interrupts, and its screen.

use anyhow::Context;

use super::shell::{find, require_running};
use crate::cli::{
    context::Cx,
    machine_args::{Screenshot, SendKey},
};

pub(in crate::cli) async fn send_key(cx: &Cx, args: &SendKey) -> anyhow::Result<()> {
    let env = cx.env().await?;
    let vm = find(&env, &args.host)?;
    require_running(&env, &vm).await?;
    if args.text {
        return Ok(vm.type_text(&args.keys.join(" ")).await?);
    }
    for keys in &args.keys {
        vm.press(keys).await?;
    }
    Ok(())
}

pub(in crate::cli) async fn inject_nmi(cx: &Cx, host: &str) -> anyhow::Result<()> {
    let env = cx.env().await?;
    let vm = find(&env, host)?;
    require_running(&env, &vm).await?;
    Ok(vm.inject_nmi().await?)
}

pub(in crate::cli) async fn screenshot(cx: &Cx, args: &Screenshot) -> anyhow::Result<()> {
    let env = cx.env().await?;
    let vm = find(&env, &args.host)?;
    let image = vm.screenshot().await?;
    std::fs::write(&args.file, image).with_context(|| format!("cannot write {}", args.file.display()))
}
