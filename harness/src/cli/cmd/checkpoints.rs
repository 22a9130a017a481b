//! `polder checkpoints`: what is kept of environments that were up, and making room.

use std::{collections::BTreeMap, time::SystemTime};

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{base::time::Utc, checkpoint::Listed, cli::context::Cx};

/// Bytes of a GiB, and of a MiB.
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Checkpoints {
    /// List all there are, the last used first.
    List,
    /// Print what one came from, and what it has.
    Show {
        /// The beginning of its key.
        key: String,
    },
    /// Remove what is damaged or was never completed, and then what was not used for longest.
    Prune {
        /// How much may stay, in GiB; else what `checkpoint_limit_gib` says.
        #[arg(long, value_name = "GIB")]
        to: Option<u64>,
    },
    /// Read all of them, or one, and remove those that are damaged.
    Verify {
        /// The beginning of its key.
        key: Option<String>,
    },
}

pub(in crate::cli) fn run(cx: &Cx, what: Checkpoints) -> anyhow::Result<String> {
    let store = cx.host()?.checkpoint_store();
    match what {
        Checkpoints::List => {
            let all = store.list()?;
            match cx.for_people() {
                true => Ok(lines(all.iter().map(line).chain(total(&all)), "there are none")),
                false => cx.print(&all.iter().map(value).collect::<Vec<_>>()),
            }
        }
        Checkpoints::Show { key } => show(cx, &store.named(&key)?),
        Checkpoints::Prune { to } => {
            let to = to.map_or(cx.config.checkpoint_limit, |to| to.saturating_mul(GIB));
            let pruned = store.prune(to)?;
            if !cx.for_people() {
                let (removed, unfinished) = (&pruned.removed, pruned.unfinished);
                return cx
                    .print(&json!({ "removed": removed, "bytes": pruned.bytes, "unfinished": unfinished }));
            }
            let unfinished = (pruned.unfinished > 0)
                .then(|| format!("removed {} that were not completed", pruned.unfinished));
            let removed = pruned.removed.iter().map(|key| format!("removed {}", short(key)));
            Ok(lines(removed.chain(unfinished), "nothing to remove"))
        }
        Checkpoints::Verify { key } => {
            let all = match key {
                Some(key) => vec![store.named(&key)?],
                None => store.list()?,
            };
            let mut damaged = BTreeMap::new();
            for one in &all {
                let found = store.verify(&one.key)?;
                damaged.extend(found.map(|damage| (one.key.clone(), damage.to_string())));
            }
            if !cx.for_people() {
                return cx.print(&json!({ "verified": all.len(), "damaged": damaged }));
            }
            let told =
                damaged.iter().map(|(key, why)| format!("removed {}, which is damaged: {why}", short(key)));
            Ok(lines(told, &format!("{} verified, all is well", all.len())))
        }
    }
}

fn show(cx: &Cx, one: &Listed) -> anyhow::Result<String> {
    if !cx.for_people() {
        return cx.print(&value(one));
    }
    let content = match &one.content {
        Ok(manifest) => {
            let from = manifest.lines.iter().map(|(name, value)| format!("  {name} = {value}"));
            let files = manifest.files.iter().map(|(name, sum)| format!("  {name} ({} bytes)", sum.bytes));
            let from = std::iter::once("made of".to_owned()).chain(from);
            from.chain(std::iter::once("files".to_owned())).chain(files).collect::<Vec<_>>().join("\n")
        }
        Err(damage) => format!("damaged: {damage}"),
    };
    Ok(format!("key {}\nlast used {}\n{content}", one.key, Utc::from(one.used)))
}

fn line(one: &Listed) -> String {
    let state = match &one.content {
        Ok(manifest) => manifest.lines.get("level").cloned().unwrap_or_default(),
        Err(damage) => format!("damaged: {damage}"),
    };
    format!("{}  {:>6} MiB  {}  {state}", short(&one.key), one.bytes / MIB, Utc::from(one.used))
}

/// What all of them take, where that is not plain to see.
fn total(all: &[Listed]) -> Option<String> {
    let total = Listed::total(all) / MIB;
    (all.len() > 1).then(|| format!("{} checkpoints, {total} MiB; what several have counts once", all.len()))
}

fn value(one: &Listed) -> Value {
    let used = one.used.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let damage = one.content.as_ref().err().map(ToString::to_string);
    json!({
        "key": one.key, "bytes": one.bytes, "used": used, "damage": damage, "manifest": one.content.as_ref().ok(),
    })
}

fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}

fn lines(lines: impl Iterator<Item = String>, none: &str) -> String {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() { none.to_owned() } else { lines.join("\n") }
}
