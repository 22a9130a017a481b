//! `polder ansible-hosts`, and `polder proxy`, which its hosts are reached through.

use anyhow::Context;
use tokio::io::{AsyncWriteExt, copy, stdin, stdout};

use crate::{
    cli::{args::AnsibleHosts, context::Cx, exit::BadInput},
    env::InventoryOptions,
};

/// The inventory; there is no other format for it than Ansible's own.
pub(in crate::cli) async fn run(cx: &Cx, args: &AnsibleHosts) -> anyhow::Result<String> {
    let polder = std::env::current_exe().context("cannot find this program")?;
    let options = InventoryOptions { keys: args.keys.clone(), raw_names: args.raw_names, polder };
    Ok(cx.env().await?.inventory(&options)?.trim_end().to_owned())
}

/// Connects standard input and output with the ssh server of a machine, until that hangs up.
pub(in crate::cli) async fn proxy(cx: &Cx, machine: &str) -> anyhow::Result<String> {
    let env = cx.env().await?;
    let vm = super::shell::find(&env, machine)?;
    let ssh = vm.spec().ssh.as_ref();
    let ssh = ssh.ok_or_else(|| BadInput(format!("{machine} has no ssh server")))?;
    let limit = cx.config.ssh_timeout;
    let stream =
        ssh.dial.dial(ssh.addr, limit).await.with_context(|| format!("cannot reach {}", ssh.addr))?;
    let (mut from, mut to) = stream.into_split();
    let send = async {
        let _ = copy(&mut stdin(), &mut to).await;
        let _ = to.shutdown().await;
        std::future::pending::<()>().await;
    };
    let mut out = stdout();
    tokio::select! {
        received = copy(&mut from, &mut out) => drop(received.context("the connection broke")?),
        () = send => {}
    }
    out.flush().await.context("cannot write")?;
    Ok(String::new())
}
