//! What is done to the network of a running environment and set back again: guards, each of which heals when it is
//! dropped, and machines kept apart.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{Env, EnvError, Vm, error::file, host::limits};
use crate::{
    base::process,
    lab::keeper::{
        Kept, keep,
        spec::{Keep, outer_port},
    },
    provider::libvirt::Connection,
};

/// Something wrong that was asked for. It heals when this is dropped: at once, but nobody waits for it, so that it may
/// take a few milliseconds more; [`Fault::heal`] waits. When this process dies, a process in the lab heals it; but a cable
/// that was pulled out stays out until somebody plugs it in, or the lab ends.
#[derive(Debug)]
#[must_use = "it heals when this is dropped"]
pub struct Fault(Kind);

#[derive(Debug)]
enum Kind {
    /// A process in the lab sets it back when it notices that we let go.
    Kept(Kept),
    /// A cable that is to be plugged in again.
    Unplugged(Unplugged),
}

#[derive(Debug)]
struct Unplugged {
    connection: Connection,
    domain: String,
    /// The NIC with its cable plugged in; absent: it is.
    nic: Option<String>,
}

impl Fault {
    pub(super) fn kept(kept: Kept) -> Self {
        Self(Kind::Kept(kept))
    }

    pub(super) fn unplugged(connection: Connection, domain: String, nic: String) -> Self {
        Self(Kind::Unplugged(Unplugged { connection, domain, nic: Some(nic) }))
    }

    /// Sets everything back and waits until it is.
    ///
    /// # Errors
    /// It could not be set back.
    pub async fn heal(self) -> Result<(), EnvError> {
        match self.0 {
            Kind::Kept(kept) => Ok(kept.release().await?),
            Kind::Unplugged(mut cable) => match cable.nic.take() {
                Some(nic) => Ok(cable.connection.update_device(&cable.domain, nic, limits::DOMAIN).await?),
                None => Ok(()),
            },
        }
    }
}

impl Drop for Unplugged {
    fn drop(&mut self) {
        if let Some(nic) = self.nic.take() {
            self.connection.post_update_device(&self.domain, nic);
        }
    }
}

/// Packets on their way into a file, until this is dropped. [`Capture::stop`] waits until all of them are there.
#[derive(Debug)]
#[must_use = "it stops when this is dropped"]
pub struct Capture {
    kept: Kept,
    path: PathBuf,
}

impl Capture {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stops it, and returns the file, complete.
    ///
    /// # Errors
    /// It did not stop in time.
    pub async fn stop(self) -> Result<PathBuf, EnvError> {
        self.kept.release().await?;
        Ok(self.path)
    }
}

/// Captures what crosses an interface.
pub(super) async fn capture(env: &Env, interface: &str, path: &Path) -> Result<Capture, EnvError> {
    let running = env.site().running()?;
    let out = std::fs::File::create(path).map_err(file("write", path))?;
    let asked = Keep::Capture { interface: interface.to_owned() };
    let kept = keep(&*running.lab, &asked, Some(out.into())).await?;
    Ok(Capture { kept, path: path.to_owned() })
}

impl Env {
    /// Keeps groups of machines apart: no frame of a machine reaches one of another group, on whatever net. Machines in no
    /// group reach everybody, and everybody reaches the nets' gateways. Partitions add up, and hold when machines are
    /// started again; NICs that are attached later are not part of them.
    ///
    /// # Errors
    /// The environment is not started, or the rules cannot be set.
    pub async fn partition(&self, groups: &[&[&Vm]]) -> Result<Fault, EnvError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let running = self.site().running()?;
        let groups: Vec<Vec<String>> = groups.iter().map(|group| self.ports(group)).collect();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let table = format!("{}{}-{number}", tables_of(&self.state().uuid), std::process::id());
        let asked = Keep::Hold {
            before: vec![vec!["nft".to_owned(), partition_rules(&table, &groups)]],
            after: vec![["nft", "delete", "table", "bridge", &table].map(str::to_owned).into()],
        };
        Ok(Fault::kept(keep(&*running.lab, &asked, None).await?))
    }

    /// The interfaces at the host's ends of machines' cables, in whatever way they are plugged in.
    fn ports(&self, group: &[&Vm]) -> Vec<String> {
        let attached = self.state().attached;
        let nics = group.iter().flat_map(|vm| {
            let attached = attached.get(vm.name()).into_iter().flatten();
            vm.plan().nics.iter().chain(attached)
        });
        nics.flat_map(|nic| [nic.tap.clone(), outer_port(&nic.tap)]).collect()
    }
}

/// How the names of an environment's tables begin: on a host that others use, they are found by that.
fn tables_of(uuid: &str) -> String {
    format!("polder-{}-", uuid.get(..8).unwrap_or(uuid))
}

/// Removes the rules of an environment that nobody was left to remove, and says how many tables that were.
pub(super) async fn clear(uuid: &str) -> Result<usize, EnvError> {
    // Who may not change rules, or lacks the program, has made none.
    let listed =
        process::stdout(&["nft", "list", "tables", "bridge"], limits::COMMAND).await.unwrap_or_default();
    let names = listed.lines().filter_map(|line| line.strip_prefix("table bridge "));
    let mut cleared = 0;
    for table in names.map(str::trim).filter(|name| name.starts_with(&tables_of(uuid))) {
        process::stdout(&["nft", "delete", "table", "bridge", table], limits::COMMAND).await?;
        cleared += 1;
    }
    Ok(cleared)
}

/// A table of rules by which what comes from one group does not go to another one.
fn partition_rules(table: &str, groups: &[Vec<String>]) -> String {
    let list = |ports: &[String]| {
        let quoted: Vec<String> = ports.iter().map(|port| format!("\"{port}\"")).collect();
        format!("{{ {} }}", quoted.join(", "))
    };
    let mut rules = String::new();
    for (i, from) in groups.iter().enumerate().filter(|(_, from)| !from.is_empty()) {
        let others = groups.iter().enumerate().filter(|(j, _)| *j != i);
        let others: Vec<String> = others.flat_map(|(_, ports)| ports.iter().cloned()).collect();
        if !others.is_empty() {
            rules += &format!("iifname {} oifname {} drop; ", list(from), list(&others));
        }
    }
    format!(
        "table bridge {table} {{ chain forward {{ type filter hook forward priority filter; policy accept; {rules}}}; }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_kept_from_every_other() {
        let groups =
            [vec!["a".to_owned(), "b".to_owned()], vec![], vec!["c".to_owned()], vec!["d".to_owned()]];
        insta::assert_snapshot!(partition_rules("t", &groups), @r#"table bridge t { chain forward { type filter hook forward priority filter; policy accept; iifname { "a", "b" } oifname { "c", "d" } drop; iifname { "c" } oifname { "a", "b", "d" } drop; iifname { "d" } oifname { "a", "b", "c" } drop; }; }"#);
        assert!(!partition_rules("t", &groups[..2]).contains("drop"), "there is nobody to be kept from");
    }
}
