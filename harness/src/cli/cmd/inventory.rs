//! `polder ansible-hosts`.

use serde_json::json;

use crate::{
    cli::{
        args::AnsibleHosts,
        context::Cx,
        inventory::{Host, inventory},
    },
    env::{Env, Vm},
    workdir::Prefix,
};

/// The inventory; of programs' formats there is none but Ansible's own.
pub(in crate::cli) async fn run(cx: &Cx, args: &AnsibleHosts) -> anyhow::Result<String> {
    let env = cx.env().await?;
    let hosts: Vec<Host> = env.vms().iter().map(|vm| host(&env, vm)).collect();
    Ok(inventory(&hosts, &args.keys, args.raw_names).trim_end().to_owned())
}

fn host(env: &Env, vm: &Vm) -> Host {
    let address = vm.ip().map(|ip| ("ansible_host", ip.to_string()));
    let key = Prefix::at(env.folder()).paths().key().display().to_string();
    let access = [("ansible_user", user(vm)), ("ansible_ssh_private_key_file", key)];
    let spec = json!({
        "name": vm.name(),
        "groups": vm.plan().groups,
        "metadata": vm.plan().metadata,
        "artifacts": vm.plan().artifacts,
    });
    Host { name: vm.name().to_string(), variables: address.into_iter().chain(access).collect(), spec }
}

fn user(vm: &Vm) -> String {
    vm.spec().ssh.as_ref().map_or_else(|| "root".to_owned(), |ssh| ssh.user.clone())
}
