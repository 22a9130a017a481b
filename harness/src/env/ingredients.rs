//! What the state of an environment comes from when it has booted: gathered for the key of its checkpoint. Starts nothing.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use serde_json::{Value as Json, json};

use super::{
    Env, EnvError, Host, Progress,
    error::file,
    parallel,
    plan::{EnvPlan, MachinePlan},
    prepare::{Gathered, Place, gather},
};
use crate::{
    base::process,
    checkpoint::{self, Ingredients, Key, Level},
    initfile::EnvSpec,
};

/// How long a program may take to say its version.
const VERSION: Duration = Duration::from_secs(20);
/// Who makes machines, and has a version of its own.
const MAKERS: [(&str, &str); 2] = [("emulator", "qemu-system-x86_64"), ("libvirt", "libvirtd")];

impl Env {
    /// The key of the state in which an environment of `spec` is on `host` once it is up: what has another key may be
    /// another one.
    ///
    /// # Errors
    /// As [`Env::plan_of`]; also when a file that goes into it cannot be read.
    pub async fn boot_key(host: &Host, spec: &EnvSpec, progress: &Progress) -> Result<Key, EnvError> {
        let gathered = gather(host, spec, Place::Nowhere, progress).await?;
        let plan = gathered.decide(host, &gathered.new_keys()?)?;
        key(&gathered, &plan).await
    }
}

/// The key of the state in which the environment of a plan is once it is up.
pub(super) async fn key(gathered: &Gathered, plan: &EnvPlan) -> Result<Key, EnvError> {
    let mut files = BTreeMap::new();
    // Whatever text is the path of a file is that file: nothing else of an init file is absolute and on this host.
    paths(&serde_json::to_value(&gathered.spec).unwrap_or_default(), &mut |path| {
        files.insert(path.to_owned(), String::new());
    });
    for (path, content) in &mut files {
        *content = checkpoint::sum(path).map_err(file("read", path))?.sha256;
    }
    let mut makers = BTreeMap::from([("polder".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    let versions = parallel::each(MAKERS.to_vec(), |(what, program)| async move {
        let said = process::stdout(&[program, "--version"], VERSION).await?;
        Ok((what.to_owned(), said.lines().next().unwrap_or_default().to_owned()))
    });
    makers.extend(versions.await?);
    let accelerator =
        if plan.machines.iter().filter_map(|m| m.domain.as_ref()).any(|d| d.kvm) { "kvm" } else { "tcg" };
    makers.insert("accelerator".to_owned(), accelerator.to_owned());
    if accelerator == "kvm" {
        // Guests see the host's own processors.
        makers.insert("processor".to_owned(), processor().map_err(file("read", Path::new(CPUINFO)))?);
    }
    Ok(Key::new(&Ingredients {
        level: Level::Boot,
        spec: &gathered.spec,
        decided: &decided(plan),
        files: &files,
        templates: &gathered.digests(),
        makers: &makers,
    }))
}

/// What was decided of machines and nets where the init file did not say it.
fn decided(plan: &EnvPlan) -> BTreeMap<String, Json> {
    let machine = |machine: &MachinePlan| {
        let domain = machine.domain.as_ref();
        let value = json!({
            "provider": machine.provider,
            "vm_type": machine.vm_type,
            "identity": machine.identity,
            "management_ip": machine.management_ip,
            "nics": machine.nics,
            "machine_type": domain.map(|domain| &domain.machine_type),
            "cpu": domain.map(|domain| &domain.cpu),
            "memory_mib": domain.map(|domain| domain.memory_mib),
            "disks": domain.map(|domain| domain.disks.iter().map(|d| (&d.dev, d.bus, d.format)).collect::<Vec<_>>()),
            "layers": machine.disks.iter().map(|d| d.layer.as_ref().map(|l| &l.digest)).collect::<Vec<_>>(),
        });
        (format!("machine {}", machine.name), value)
    };
    let nets = plan.nets.iter().map(|net| {
        let mut value = serde_json::to_value(net).unwrap_or_default();
        // Names on a daemon with others, which no machine sees.
        if let Some(fields) = value.as_object_mut() {
            ["libvirt_name", "libvirt_uuid", "bridge"].iter().for_each(|field| drop(fields.remove(*field)));
        }
        (format!("net {}", net.name), value)
    });
    plan.machines.iter().map(machine).chain(nets).collect()
}

/// Tells of every file of the host that a value names.
fn paths(value: &Json, found: &mut impl FnMut(&Path)) {
    match value {
        Json::String(text) if text.starts_with('/') && Path::new(text).is_file() => found(Path::new(text)),
        Json::Array(items) => items.iter().for_each(|item| paths(item, found)),
        Json::Object(fields) => fields.values().for_each(|field| paths(field, found)),
        _ => {}
    }
}

/// Where the kernel tells of processors.
const CPUINFO: &str = "/proc/cpuinfo";

/// The host's processor: its model, microcode and abilities.
fn processor() -> io::Result<String> {
    let text = std::fs::read_to_string(CPUINFO)?;
    let first = text.split("\n\n").next().unwrap_or_default();
    let told = |line: &&str| ["model name", "microcode", "flags"].iter().any(|name| line.starts_with(name));
    let lines: Vec<&str> = first.lines().filter(told).collect();
    Ok(crate::checkpoint::key::digest(lines.join("\n").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_wherever_they_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("x.sh");
        std::fs::write(&there, "1").unwrap();
        let value = json!({ "a": [{ "b": there }], "c": "/nowhere/at/all", "d": "/", "e": 1 });
        let mut found = Vec::new();
        paths(&value, &mut |path| found.push(path.to_owned()));
        assert_eq!(found, std::slice::from_ref(&there));
    }
}
