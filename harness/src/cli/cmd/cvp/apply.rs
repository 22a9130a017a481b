//! `polder cvp apply`.

use std::{path::PathBuf, time::Duration};

use super::{progress::Progress, reach};
use crate::{
    base::exit::Exit,
    cli::{
        context::Cx,
        cvp_args::CvpApply,
        output::table,
        portal::{Access, defaults, environment, first_line, refuse},
        run::Said,
    },
    cvp::jobs::{DeviceReport, JobFile, JobReport, Report, Run},
};

/// Where jobs are, if nobody says it.
const FILE: &str = "actions.json";

pub(super) async fn run(cx: &Cx, args: &CvpApply) -> anyhow::Result<Said> {
    let mut problems = Vec::new();
    let access = Access::of(&args.reach, &environment, &first_line, &mut problems);
    let (zone, country) = (args.timezone.as_deref(), args.country.as_deref());
    let defaults = defaults(zone, country, &environment, &mut problems);
    refuse(problems)?;
    let file = args.file.clone().or_else(|| environment("CVP_JSON").map(PathBuf::from));
    let file = JobFile::load(&file.unwrap_or_else(|| FILE.into()), &defaults)?;
    let client = reach::open(cx, access).await?;
    let planned = cx.unless_stopped(async { Ok(file.plan(&client).await?) }).await;
    let plan = match planned {
        Ok(plan) => plan,
        Err(error) => {
            client.log_out().await;
            return Err(error);
        }
    };
    plan.warnings.iter().for_each(|warning| cx.warn_of(warning));
    if args.dry_run {
        client.log_out().await;
        let text = if cx.for_people() { plan.to_string() } else { cx.print(&plan.to_json())? };
        return Ok(Said::from(text.trim_end().to_owned()));
    }
    let mut progress = Progress::new(cx);
    let mut tell = |event: &_| progress.tell(event);
    let limit = Duration::from_secs(u64::from(args.timeout));
    let report = Run { client: &client, limit, stop: cx.stop.clone(), tell: &mut tell }.jobs(&plan).await;
    client.log_out().await;
    let exit = match &report {
        report if report.stopped => Exit::Stopped,
        report if report.is_good() => Exit::Done,
        _ => Exit::Failed,
    };
    let text = if cx.for_people() { told(&report) } else { cx.print(&report)? };
    Ok(Said::from(text).with(exit))
}

/// A row for each job and each of its devices.
fn told(report: &Report) -> String {
    if report.jobs.is_empty() {
        return "there are no jobs".to_owned();
    }
    let mut rows = Vec::new();
    for (number, job) in report.jobs.iter().enumerate() {
        rows.push(job_row(number + 1, job));
        rows.extend(job.devices.iter().map(device_row));
    }
    table(&["job", "what", "result", "tasks", ""], &rows)
}

fn job_row(number: usize, job: &JobReport) -> Vec<String> {
    let what = format!("{} {}", job.kind, job.action).trim_end().to_owned();
    let change = job.change_control.as_ref().map(|id| format!("change control {id}"));
    let why = Some(job.outcome.why().to_owned()).filter(|why| !why.is_empty());
    let said: Vec<String> = [why, change, job.note.clone()].into_iter().flatten().collect();
    let tasks = ids(&job.tasks);
    vec![format!("{number} {}", job.name), what, job.outcome.word().to_owned(), tasks, said.join("; ")]
}

fn ids(tasks: &[crate::cvp::TaskId]) -> String {
    tasks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A row of a device, below that of its job.
pub(super) fn device_row(device: &DeviceReport) -> Vec<String> {
    let (name, word) = (format!("  {}", device.device), device.result.word().to_owned());
    vec![name, String::new(), word, ids(&device.tasks), device.result.detail().to_owned()]
}
