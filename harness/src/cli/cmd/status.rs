//! `polder status`.

use std::path::Path;

use serde::Serialize;

use crate::{cli::pointer::Pointer, env::{Env, Host}, event::Usage, provider::libvirt::DomainState};

#[derive(Serialize)]
struct Status {
    lab: std::path::PathBuf,
    usage: Option<Usage>,
    machines: Vec<Machine>,
}

#[derive(Serialize)]
struct Machine {
    name: String,
    state: DomainState,
    ip: Option<std::net::IpAddr>,
    console: std::path::PathBuf,
}

pub(in crate::cli) async fn run(host: &Host, file: &Path, json: bool) -> anyhow::Result<String> {
    let pointer = Pointer::require(file)?;
    let env = Env::join(host, &pointer.lab).await?;
    let mut machines = Vec::new();
    for vm in env.vms() {
        machines.push(Machine {
            name: vm.name().to_string(),
            state: env.state_of(&vm).await?,
            ip: vm.ip(),
            console: vm.spec().console.clone(),
        });
    }
    let status = Status { lab: pointer.lab, usage: env.usage().await.ok(), machines };
    if json {
        return Ok(serde_json::to_string_pretty(&status)?);
    }
    let mut lines = vec![format!("lab      {}", status.lab.display())];
    if let Some(Usage { cpu_seconds, peak_memory_mib }) = status.usage {
        lines.push(format!(
            "used     {cpu_seconds:.1} s of processor time, at most {peak_memory_mib:.0} MiB of memory"
        ));
    }
    for machine in status.machines {
        let state = format!("{:?}", machine.state).to_lowercase();
        let ip = machine.ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
        lines.push(format!("{:<8} {state:<8} {ip:<15} {}", machine.name, machine.console.display()));
    }
    Ok(lines.join("\n"))
}
