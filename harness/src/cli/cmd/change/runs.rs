//! Runs that were: which there are, and `polder change show`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::file::{given, load, planned};
use crate::{
    base::{text::did_you_mean, time::Utc},
    change::{Clock, Plan, Recorded, Report, SystemClock, run_folder, run_folders},
    cli::{change_args::ChangeShow, context::Cx, exit::BadInput, output::table, run::Said},
    report::changes::ReportFile,
};

/// Where runs are kept.
pub(super) fn runs(cx: &Cx) -> anyhow::Result<PathBuf> {
    Ok(run_folder(&cx.host()?.lab.cache))
}

/// The folder of the run that is meant.
pub(super) fn find(cx: &Cx, run: Option<&str>) -> anyhow::Result<PathBuf> {
    let folder = runs(cx)?;
    let known = run_folders(&folder)?;
    let Some(run) = run else {
        let last = known.last().cloned();
        return Ok(last.ok_or_else(|| BadInput(format!("there are no runs in {}", folder.display())))?);
    };
    if Path::new(run).is_dir() {
        return cx.absolute(Path::new(run));
    }
    let names = || known.iter().filter_map(|path| path.file_name()?.to_str());
    if names().any(|name| name == run) {
        return Ok(folder.join(run));
    }
    let hint = did_you_mean(run, names()).map(|name| format!("; did you mean `{name}`?"));
    let message = format!("there is no run `{run}` in {}{}", folder.display(), hint.unwrap_or_default());
    Err(BadInput(message).into())
}

/// The plan of a run, from the file that it was of, as that is now.
pub(super) async fn plan_of(
    cx: &Cx,
    recorded: &Recorded,
    set: &[(String, String)],
) -> anyhow::Result<(crate::change::Changes, Plan)> {
    let head = &recorded.head;
    let Some(file) = &head.file else {
        let message = format!("the run in {} was of no file", recorded.folder.display());
        return Err(BadInput(message).into());
    };
    let given = given(cx, head.dialect.as_deref(), set).await?;
    let loaded = load(file, &given, false)?;
    let (changes, plan) = planned(cx, loaded, &given, &head.devices, head.seed)?;
    recorded.check(&plan.digest())?;
    Ok((changes, plan))
}

/// What became of a run.
pub(super) async fn show(cx: &Cx, args: &ChangeShow) -> anyhow::Result<Said> {
    let folder = find(cx, args.run.as_deref())?;
    let recorded = Recorded::read(&folder)?;
    args.report.as_ref().map_or(Ok(()), ReportFile::check)?;
    let plan = plan_of(cx, &recorded, &args.set).await;
    let report = plan.map(|(_, plan)| {
        let report = recorded.report(&plan, recorded.head.owner.is_alive().then(|| SystemClock.now()));
        (plan, report)
    });
    let report = match (report, &args.report) {
        (Ok((plan, report)), Some(file)) => {
            file.write(&plan, &report, &recorded)?;
            Ok(report)
        }
        (Err(error), Some(_)) => return Err(error.context("cannot tell for a report what became of the run")),
        (report, None) => report.map(|(_, report)| report),
    };
    if args.json || !cx.for_people() {
        let result = json!({
            "folder": folder, "head": recorded.head, "entries": recorded.entries,
            "report": report.as_ref().ok(), "why_no_report": report.as_ref().err().map(|e| format!("{e:#}")),
        });
        let text = if args.json { serde_json::to_string_pretty(&result)? } else { cx.print(&result)? };
        return Ok(text.into());
    }
    let began = recorded.entries.first().map(|entry| {
        Utc::from(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(entry.at)).to_string()
    });
    let file = recorded.head.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let owner = &recorded.head.owner;
    let lives = if owner.is_alive() { ", which still runs" } else { "" };
    let mut text =
        format!("{}\n{file}, {}, by {owner}{lives}\n", folder.display(), began.unwrap_or_default());
    match report {
        Ok(report) => text += &told(&report),
        Err(error) => {
            text += &format!("{error:#}\nwhat happened, as it was written down:\n");
            for entry in &recorded.entries {
                text += &format!("{}\n", serde_json::to_string(&entry.record)?);
            }
        }
    }
    Ok(text.trim_end().to_owned().into())
}

/// A row for each device of each change, and the summary.
pub(super) fn told(report: &Report) -> String {
    let mut rows = Vec::new();
    for step in &report.steps {
        let again = if step.attempts > 1 { format!("{} attempts", step.attempts) } else { String::new() };
        let note = if step.empty { "nothing to do it on".to_owned() } else { again };
        rows.push(vec![step.name.clone(), step.state.to_string(), note]);
        for device in step.devices.iter().filter(|device| device.result != "not_attempted") {
            rows.push(vec![format!("  {}", device.device), device.result.to_owned(), device.why.join("; ")]);
        }
    }
    if rows.is_empty() {
        return report.summary();
    }
    format!("{}\n{}", table(&["change", "result", ""], &rows), report.summary())
}
