//! Which deploy scripts are run, and what they are given: their names, their arguments' digest, their environment. Pure.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::{
    base::text::did_you_mean,
    env::{
        EnvError, Vm,
        plan::{EnvPlan, MachinePlan},
    },
    initfile::spec::DeployScript,
};

/// Which deploy scripts are run; by default those that are to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeployOptions {
    /// Only those of these machines, `VM`, or only these, `VM/SCRIPT`, by their file names; all when there are none.
    pub only: Vec<String>,
    /// Also those that are to run once and were done before.
    pub again: bool,
}

/// The scripts of one machine that are to be run, with their numbers among all of it.
pub(in crate::env) struct Task {
    pub(super) vm: Vm,
    pub(super) scripts: Vec<(usize, DeployScript)>,
}

/// Every script of every machine.
pub(in crate::env) fn all(vms: Vec<Vm>) -> Vec<Task> {
    let numbered = |vm: &Vm| (1..).zip(vm.plan().deploy_scripts.iter().cloned()).collect();
    let tasks = vms.into_iter().map(|vm| Task { scripts: numbered(&vm), vm });
    tasks.filter(|task| !task.scripts.is_empty()).collect()
}

/// Paths of a machine's scripts, as status and inventories list them.
pub(in crate::env) fn paths(plan: &MachinePlan) -> Json {
    plan.deploy_scripts.iter().map(|script| json!(script.path)).collect()
}

/// Those of `tasks` that `only` means; all when it names none.
pub(super) fn chosen(tasks: Vec<Task>, only: &[String]) -> Result<Vec<Task>, EnvError> {
    let names = |task: &Task| -> Vec<(String, String)> {
        let scripts = task.scripts.iter();
        scripts.map(|(_, script)| (task.vm.name().to_string(), name_of(&script.path))).collect()
    };
    let known: Vec<_> = tasks.iter().flat_map(names).collect();
    let unknown = unknown(&known, only);
    if !unknown.is_empty() {
        return Err(EnvError::NoScript { what: unknown.join("\n") });
    }
    let wanted = tasks.into_iter().map(|mut task| {
        let machine = task.vm.name().to_string();
        task.scripts.retain(|(_, script)| is_meant(only, &machine, &name_of(&script.path)));
        task
    });
    Ok(wanted.filter(|task| !task.scripts.is_empty()).collect())
}

/// Whether a script of a machine is one of those named: as `VM`, or as `VM/SCRIPT`.
fn is_meant(only: &[String], machine: &str, script: &str) -> bool {
    let means = |asked: &String| asked == machine || asked.split_once('/') == Some((machine, script));
    only.is_empty() || only.iter().any(means)
}

/// What is to be said of every name that means none of the scripts that are `known` by their machines and names.
fn unknown(known: &[(String, String)], only: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        known.iter().map(|(machine, script)| format!("{machine}/{script}")).collect();
    names.dedup();
    let is_known = |asked: &&String| {
        let one = std::slice::from_ref(*asked);
        known.iter().any(|(machine, script)| is_meant(one, machine, script))
    };
    let told = only.iter().filter(|asked| !is_known(asked)).map(|asked| {
        match did_you_mean(asked, names.iter().map(String::as_str)) {
            Some(meant) => format!("no deploy script `{asked}`; did you mean `{meant}`?"),
            None if names.is_empty() => format!("no deploy script `{asked}`; there are none"),
            None => format!("no deploy script `{asked}`; there are {}", names.join(", ")),
        }
    });
    told.collect()
}

/// What a script is called.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Of everything that decides what a script does.
pub(super) fn digest(script: &DeployScript, text: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(text);
    // Debug is used rather than a serialization because it cannot fail.
    hasher.update(format!("{:?} {:?}", script.args, script.env));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a script finds in its environment, under the names of Polder and of Lago: its machine and the others, its nets,
/// their addresses.
pub(super) fn variables(plan: &EnvPlan, machine: &MachinePlan) -> Vec<(String, String)> {
    let name = |text: &str| text.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let mut all = vec![("VM".to_owned(), machine.name.to_string())];
    all.extend(machine.management_ip.map(|ip| ("IP".to_owned(), ip.to_string())));
    let mut nets: BTreeMap<&str, String> = BTreeMap::new();
    let mut order = Vec::new();
    for nic in &machine.nics {
        if !order.contains(&nic.net.as_str()) {
            order.push(nic.net.as_str());
        }
        if let Some(ip) = nic.addresses().next() {
            nets.entry(nic.net.as_str()).or_insert_with(|| ip.to_string());
        }
    }
    all.push(("NETS".to_owned(), order.join(" ")));
    all.extend(nets.into_iter().map(|(net, ip)| (format!("IP_ON_{}", name(net)), ip)));
    let vms: Vec<&str> = plan.machines.iter().map(|machine| machine.name.as_str()).collect();
    all.push(("VMS".to_owned(), vms.join(" ")));
    all.extend(plan.machines.iter().filter_map(|machine| {
        Some((format!("IP_OF_{}", name(machine.name.as_str())), machine.management_ip?.to_string()))
    }));
    let both = |(name, value): (String, String)| {
        ["POLDER", "LAGO"].map(|product| (format!("{product}_{name}"), value.clone()))
    };
    all.into_iter().flat_map(both).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn machines_and_scripts_are_meant_by_their_names() {
        assert!(is_meant(&[], "web", "a.sh"));
        assert!(is_meant(&texts(&["db", "web"]), "web", "a.sh"));
        assert!(is_meant(&texts(&["web/a.sh"]), "web", "a.sh"));
        assert!(!is_meant(&texts(&["web/b.sh", "db", "a.sh"]), "web", "a.sh"));
    }

    #[test]
    fn every_name_that_means_nothing_is_told() {
        let known = [("web", "a.sh"), ("web", "setup"), ("db", "a.sh")];
        let known = known.map(|(machine, script)| (machine.to_owned(), script.to_owned()));
        assert_eq!(unknown(&known, &texts(&["web", "db/a.sh"])), Vec::<String>::new());
        let told = unknown(&known, &texts(&["web/setpu", "no-machine-at-all", "web"]));
        assert_eq!(
            told,
            [
                "no deploy script `web/setpu`; did you mean `web/setup`?",
                "no deploy script `no-machine-at-all`; there are web/a.sh, web/setup, db/a.sh",
            ]
        );
        assert_eq!(unknown(&[], &texts(&["x"])), ["no deploy script `x`; there are none"]);
    }

    #[test]
    fn what_a_script_does_decides_its_digest() {
        let script = DeployScript { path: "/x".into(), args: texts(&["a"]), ..DeployScript::default() };
        let same = DeployScript {
            path: "/y".into(),
            once: true,
            timeout: Some(Duration::from_secs(1)),
            ..script.clone()
        };
        assert_eq!(digest(&script, b"text"), digest(&same, b"text"));
        let args = DeployScript { args: texts(&["b"]), ..script.clone() };
        let env = DeployScript { env: [("a".to_owned(), String::new())].into(), ..script.clone() };
        let all =
            [digest(&script, b"text"), digest(&args, b"text"), digest(&env, b"text"), digest(&script, b"")];
        assert!(all.iter().enumerate().all(|(i, one)| !all[i + 1..].contains(one)), "{all:?}");
    }
}
