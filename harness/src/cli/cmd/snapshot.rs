//! `polder snapshot` and `polder revert`.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use serde_json::json;

use crate::{
    base::time::Utc,
    cli::{
        args::{Revert, Snapshot as Args},
        context::Cx,
    },
    env::{Selection, Snapshot, SnapshotOptions},
};

pub(in crate::cli) async fn run(cx: &Cx, args: &Args) -> anyhow::Result<String> {
    let env = cx.env().await?;
    if args.list {
        let all = env.snapshots();
        return if cx.for_people() { Ok(tree(&all, None, 0)) } else { cx.print(&by_machine(&all)) };
    }
    let name = args.name.as_deref().context("no name was given")?;
    if args.delete {
        env.delete_snapshot(name).await?;
    } else {
        let machines = Selection::of(&args.vm_names);
        let description = args.description.clone().unwrap_or_default();
        env.snapshot(name, &SnapshotOptions { machines, memory: args.memory, description }, &cx.progress())
            .await?;
    }
    Ok(String::new())
}

pub(in crate::cli) async fn revert(cx: &Cx, args: &Revert) -> anyhow::Result<()> {
    Ok(cx.env().await?.revert(&args.name, &cx.progress()).await?)
}

fn utc(seconds: u64) -> String {
    Utc::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// A line for each snapshot that came from `parent`, with those that came from it below; for people.
fn tree(all: &[Snapshot], parent: Option<&str>, depth: usize) -> String {
    let known = |name: &str| all.iter().any(|snapshot| snapshot.name == name);
    // One whose origin was deleted stands at the beginning.
    let origin = |snapshot: &Snapshot| snapshot.parent.clone().filter(|name| known(name));
    let mut lines = vec![];
    for snapshot in all.iter().filter(|snapshot| origin(snapshot).as_deref() == parent) {
        let name = format!("{}{}", "  ".repeat(depth), snapshot.name);
        let machines: Vec<_> = snapshot.machines.keys().map(|machine| machine.as_str()).collect();
        let line = format!("{name:<24} {}  {}", utc(snapshot.time), machines.join(", "));
        let memory =
            if snapshot.machines.values().any(|m| m.memory.is_some()) { ", with memory" } else { "" };
        let description = if snapshot.description.is_empty() {
            String::new()
        } else {
            format!("  {}", snapshot.description)
        };
        lines.push(line + memory + &description);
        lines.extend(Some(tree(all, Some(&snapshot.name), depth + 1)).filter(|below| !below.is_empty()));
    }
    lines.join("\n")
}

/// Snapshots of each machine, by name; for programs.
fn by_machine(all: &[Snapshot]) -> serde_json::Value {
    let mut machines: BTreeMap<&str, BTreeMap<&str, serde_json::Value>> = BTreeMap::new();
    for snapshot in all {
        for (machine, frozen) in &snapshot.machines {
            let value = json!({
                "disks": frozen.disks, "memory": frozen.memory, "time": utc(snapshot.time),
                "description": snapshot.description, "parent": snapshot.parent,
            });
            machines.entry(machine.as_str()).or_default().insert(&snapshot.name, value);
        }
    }
    json!(machines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(name: &str, parent: Option<&str>) -> Snapshot {
        Snapshot {
            name: name.into(),
            time: 1_795_237_403,
            description: if parent.is_some() { "later".into() } else { String::new() },
            parent: parent.map(Into::into),
            machines: [("web".parse().unwrap(), crate::env::Frozen::default())].into(),
        }
    }

    #[test]
    fn people_see_a_tree_and_programs_a_map() {
        let all = [snapshot("clean", None), snapshot("new", Some("clean")), snapshot("lost", Some("gone"))];
        let expected = "\
clean                    2026-11-21T05:03:23Z  web
  new                    2026-11-21T05:03:23Z  web  later
lost                     2026-11-21T05:03:23Z  web  later";
        assert_eq!(tree(&all, None, 0), expected);
        assert_eq!(by_machine(&all)["web"]["new"]["parent"], "clean");
    }
}
