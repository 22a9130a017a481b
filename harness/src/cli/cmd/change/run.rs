//! `polder change run`, `resume` and `rollback`.

use std::{path::Path, sync::Arc, time::SystemTime};

use super::{
    file::{carriers, chosen},
    runs::{find, plan_of, runs, told},
    screen::Screen,
};
use crate::{
    base::{exit::Exit, time::Utc},
    change::{Changes, Head, Heed, Plan, Recorded, Report, Runner, Settings},
    cli::{
        change_args::{ChangeAgain, ChangeDoing, ChangeRun, Confirm},
        context::Cx,
        run::Said,
    },
    report::changes::ReportFile,
};

/// Does the changes of a file.
pub(super) async fn run(cx: &Cx, args: &ChangeRun) -> anyhow::Result<Said> {
    let (changes, plan, skipped) =
        chosen(cx, &args.file, &args.reading, &args.devices, &args.selection).await?;
    let head = Head {
        file: Some(cx.absolute(&args.file)?),
        dialect: args.reading.dialect.clone(),
        devices: args.devices.clone(),
        skipped,
        backout_only: args.backout_only,
        seed: args.selection.seed,
        ..Head::new(plan.digest())?
    };
    let now = Utc::from(SystemTime::now()).to_string();
    let name = now.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let folder = runs(cx)?.join(format!("{name}-{}", std::process::id()));
    let runner = runner(cx, &changes, plan, &args.doing).await?;
    let report = runner.run(&folder, head).await?;
    end(cx, &args.doing, &folder, &runner.plan, &report)
}

/// Goes on with a run, or undoes it.
pub(super) async fn again(cx: &Cx, args: &ChangeAgain, undo: bool) -> anyhow::Result<Said> {
    let folder = find(cx, args.run.as_deref())?;
    let recorded = Recorded::read(&folder)?;
    let (changes, plan) = plan_of(cx, &recorded, &args.set).await?;
    let runner = runner(cx, &changes, plan, &args.doing).await?;
    let report = if undo { runner.rollback(&folder).await? } else { runner.resume(&folder).await? };
    end(cx, &args.doing, &folder, &runner.plan, &report)
}

async fn runner(cx: &Cx, changes: &Changes, plan: Plan, doing: &ChangeDoing) -> anyhow::Result<Runner> {
    doing.report.as_ref().map_or(Ok(()), ReportFile::check)?;
    let screen = Arc::new(Screen::new(cx, &plan, doing.alert_command.clone()));
    let heed = Heed {
        commands: doing.confirm.contains(&Confirm::Command),
        rollbacks: !doing.autobackout || doing.confirm.contains(&Confirm::Backout),
        no_pause: doing.nopause,
    };
    let jobs = doing.jobs.map_or(1, std::num::NonZeroUsize::get);
    Ok(Runner {
        settings: Settings { jobs, heed },
        authorizer: screen.clone(),
        alerts: screen.clone(),
        progress: screen,
        stop: Some(cx.stop.clone()),
        ..Runner::new(Arc::new(plan), carriers(cx, changes).await?)
    })
}

fn end(cx: &Cx, doing: &ChangeDoing, folder: &Path, plan: &Plan, report: &Report) -> anyhow::Result<Said> {
    let json = || serde_json::to_string_pretty(report);
    let mut exit = report.exit();
    if let Some(file) = &doing.report
        && let Err(error) = written(file, folder, plan, report)
    {
        // It hides nothing of what became of the changes.
        tracing::error!(target: "polder", "{error:#}");
        exit = if exit == Exit::Done { Exit::Environment } else { exit };
    }
    let text = match (doing.json, cx.for_people()) {
        (true, _) => json()?,
        (false, false) => cx.print(report)?,
        (false, true) => {
            let name = folder.file_name().unwrap_or_default().display();
            let more = match exit {
                Exit::Stopped => format!(
                    "\n`polder change resume {name}` goes on, `polder change rollback {name}` undoes it"
                ),
                Exit::Left => "\nsomething is left changed, and needs a person".to_owned(),
                _ => String::new(),
            };
            format!("{}\nrun {name}, all that was said is in {}{more}", told(report), folder.display())
        }
    };
    Ok(Said::from(text).with(exit))
}

fn written(file: &ReportFile, folder: &Path, plan: &Plan, report: &Report) -> anyhow::Result<()> {
    Ok(file.write(plan, report, &Recorded::read(folder)?)?)
}
