//! `polder console`.

use std::io::{self, IsTerminal};

use super::shell::{find, require_running};
use crate::cli::{context::Cx, run::Said};

pub(in crate::cli) async fn run(cx: &Cx, host: &str) -> anyhow::Result<Said> {
    let env = cx.env().await?;
    let vm = find(&env, host)?;
    require_running(&env, &vm).await?;
    if vm.spec().machine.is_none() {
        // Who makes it gives us no console; a shell is the next best.
        return Ok(Said::code(vm.shell(None).await?));
    }
    if io::stdin().is_terminal() {
        eprintln!("the console of {}; Control-] leaves it", vm.name());
    }
    vm.attend_console().await?;
    Ok(().into())
}
