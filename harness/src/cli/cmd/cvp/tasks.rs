//! `polder cvp tasks`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{apply::device_row, progress::Progress, reach};
use crate::{
    base::{exit::Exit, time::Utc},
    cli::{
        context::Cx,
        cvp_args::{CvpTasks, State},
        output::table,
        run::Said,
    },
    cvp::{
        Client, Task, TaskState,
        jobs::{JobReport, Outcome, Run},
    },
};

pub(super) async fn run(cx: &Cx, args: &CvpTasks) -> anyhow::Result<Said> {
    let client = reach::client(cx, &args.reach).await?;
    let done = work(cx, args, &client).await;
    client.log_out().await;
    done
}

async fn work(cx: &Cx, args: &CvpTasks, client: &Client) -> anyhow::Result<Said> {
    let tasks = cx.unless_stopped(wanted(args, client)).await?;
    if !args.run {
        let text = if cx.for_people() {
            told(&tasks)
        } else {
            cx.print(&tasks.iter().map(value).collect::<Value>())?
        };
        return Ok(text.into());
    }
    let mut progress = Progress::new(cx);
    let mut tell = |event: &_| progress.tell(event);
    let limit = Duration::from_secs(u64::from(args.timeout));
    let report = Run { client, limit, stop: cx.stop.clone(), tell: &mut tell }.tasks(tasks).await?;
    let exit = match &report.outcome {
        Outcome::Done => Exit::Done,
        Outcome::Stopped { .. } => Exit::Stopped,
        Outcome::Failed { .. } | Outcome::Skipped { .. } => Exit::Failed,
    };
    let text = if cx.for_people() { what_ran(&report) } else { cx.print(&report)? };
    Ok(Said::from(text).with(exit))
}

/// The tasks that are asked for, newest first.
async fn wanted(args: &CvpTasks, client: &Client) -> anyhow::Result<Vec<Task>> {
    let macs: Vec<String> = match args.device.is_empty() {
        true => Vec::new(),
        false => {
            let devices = client.inventory().await?.named(&args.device)?;
            devices.into_iter().map(|device| device.mac).collect()
        }
    };
    let state = if args.run { Some(State::Pending) } else { args.state };
    let is = |task: &Task| {
        state.is_none_or(|state| match task.state {
            TaskState::Pending => state == State::Pending,
            TaskState::Running(_) => state == State::Running,
            TaskState::Completed => state == State::Completed,
            TaskState::Failed => state == State::Failed,
            TaskState::Cancelled => state == State::Cancelled,
        })
    };
    let mut tasks = client.tasks(None).await?;
    tasks.retain(|task| is(task) && (macs.is_empty() || macs.contains(&task.device)));
    Ok(tasks)
}

fn told(tasks: &[Task]) -> String {
    if tasks.is_empty() {
        return "no tasks".to_owned();
    }
    let row = |task: &Task| {
        vec![
            task.id.to_string(),
            task.hostname.clone(),
            task.state.to_string(),
            task.created.map(|at| Utc::from(at).to_string()).unwrap_or_default(),
            task.created_by.clone(),
            task.change_control.clone(),
            [task.description.as_str(), &task.note]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join("; "),
        ]
    };
    let head = ["task", "device", "state", "made", "by", "change control", "what"];
    table(&head, &tasks.iter().map(row).collect::<Vec<_>>())
}

fn value(task: &Task) -> Value {
    json!({
        "id": task.id, "device": task.hostname, "mac": task.device, "state": word(&task.state),
        "description": task.description, "note": task.note, "created_by": task.created_by,
        "created": task.created.map(|at| Utc::from(at).to_string()), "executed_by": task.executed_by,
        "change_control": task.change_control, "stage": task.stage,
    })
}

/// For programs, without the portal's own word for how it runs.
fn word(state: &TaskState) -> String {
    if matches!(state, TaskState::Running(_)) { "running".to_owned() } else { state.to_string() }
}

fn what_ran(report: &JobReport) -> String {
    if report.devices.is_empty() && report.outcome == Outcome::Done {
        return "no task is pending".to_owned();
    }
    let mut text = table(
        &["device", "", "result", "tasks", ""],
        &report.devices.iter().map(device_row).collect::<Vec<_>>(),
    );
    if matches!(report.outcome, Outcome::Stopped { .. }) {
        text = format!("{text}\nstopped: {}", report.outcome.why());
    }
    text
}
