//! `polder collect`.

use serde_json::json;

use crate::{
    artifact::{Entry, Manifest},
    base::exit::Exit,
    cli::{context::Cx, machine_args::Collect, run::Said},
    env::{CollectOptions, Selection},
    guest::Caps,
};

/// Says what was collected; with `--no-skip`, fails when something is missing that an init file asks for.
pub(in crate::cli) async fn run(cx: &Cx, args: &Collect) -> anyhow::Result<Said> {
    let options = CollectOptions {
        machines: Selection::of(&args.vm_names),
        to: args.output.clone(),
        caps: Caps { path: u64::from(args.max_path) << 20, machine: u64::from(args.max_machine) << 20 },
    };
    let manifest = cx.env().await?.collect_to(&options, &cx.progress()).await?;
    let said = match cx.for_people() {
        true => for_people(&manifest),
        false => cx.print(&json!({ "folder": cx.absolute(&args.output)?, "entries": manifest.entries }))?,
    };
    let lacks = |entry: &Entry| entry.missing.is_some() && entry.wanted.is_some();
    // When nothing of a machine could be had, nothing of it has an entry of its own.
    let unread = |entry: &Entry| entry.missing.is_some() && entry.path.components().count() == 1;
    let failed = args.no_skip && manifest.entries.iter().any(|entry| lacks(entry) || unread(entry));
    let exit = if failed { Exit::Failed } else { Exit::Done };
    Ok(Said::from(said).with(exit))
}

/// What is missing, a line each.
fn for_people(manifest: &Manifest) -> String {
    let line = |entry: &Entry| {
        let (why, path) = (entry.missing.as_ref()?, entry.path.display());
        let what = if entry.bytes.is_some() { "not all of" } else { "no" };
        Some(format!("{what} {path} ({}): {why}", entry.source))
    };
    manifest.entries.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}
