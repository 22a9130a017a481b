//! `polder ansible-hosts`.

use crate::{
    cli::{
        args::AnsibleHosts,
        context::Cx,
        inventory::{Host, inventory, lago_spec},
    },
    env::{Env, Vm},
    initfile::spec::MachineSpec,
    workdir::Prefix,
};

/// The inventory; there is no other format for it than Ansible's own.
pub(in crate::cli) async fn run(cx: &Cx, args: &AnsibleHosts) -> anyhow::Result<String> {
    let env = cx.env().await?;
    let spec = env.spec()?;
    let hosts: Vec<Host> = spec
        .machines
        .iter()
        .filter_map(|machine| Some(host(&env, &env.vm(machine.name.as_str())?, machine)))
        .collect();
    Ok(inventory(&hosts, &args.keys, args.raw_names).trim_end().to_owned())
}

fn host(env: &Env, vm: &Vm, machine: &MachineSpec) -> Host {
    let address = vm.ip().map(|ip| ("ansible_host", ip.to_string()));
    let user = vm.spec().ssh.as_ref().map_or_else(|| "root".to_owned(), |ssh| ssh.user.clone());
    let key = Prefix::at(env.folder()).paths().key().display().to_string();
    let access = [("ansible_user", user), ("ansible_ssh_private_key_file", key)];
    let variables = address.into_iter().chain(access).collect();
    Host { name: vm.name().to_string(), variables, spec: lago_spec(machine) }
}
