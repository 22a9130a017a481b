//! `polder cvp cc`.

use serde_json::{Value, json};

use super::reach;
use crate::{
    cli::{
        context::Cx,
        cvp_args::{Cc, CvpChange},
        output::table,
    },
    cvp::{ChangeControl, ChangeStatus, Client, CvpError, StageState, StageStatus},
};

pub(super) async fn run(cx: &Cx, what: &Cc) -> anyhow::Result<String> {
    let reach = match what {
        Cc::List { reach } => reach,
        Cc::Show(one) | Cc::Approve(one) | Cc::Start(one) | Cc::Stop(one) | Cc::Delete(one) => &one.reach,
    };
    reach::with(cx, reach, async |client| act(cx, client, what).await).await
}

async fn act(cx: &Cx, client: &Client, what: &Cc) -> anyhow::Result<String> {
    let id = match what {
        Cc::List { .. } => {
            let all = client.changes().await?;
            let values = || all.iter().map(value).collect::<Value>();
            return Ok(if cx.for_people() { listed(&all) } else { cx.print(&values())? });
        }
        Cc::Show(one) | Cc::Approve(one) | Cc::Start(one) | Cc::Stop(one) | Cc::Delete(one) => {
            find(client, one).await?.id
        }
    };
    let by = "by polder";
    match what {
        Cc::List { .. } | Cc::Show(_) => {}
        Cc::Approve(_) => client.approve_change(&id, &format!("approved {by}")).await?,
        Cc::Start(_) => client.start_change(&id, &format!("started {by}")).await?,
        Cc::Stop(_) => client.stop_change(&id, &format!("stopped {by}")).await?,
        Cc::Delete(_) => {
            client.delete_change(&id).await?;
            return Ok(if cx.for_people() {
                format!("deleted {id}")
            } else {
                cx.print(&json!({ "deleted": id }))?
            });
        }
    }
    let now = client.change(&id).await?;
    let now = now.ok_or(CvpError::NotFound { kind: "change control", name: id, hint: None })?;
    Ok(if cx.for_people() { shown(&now) } else { cx.print(&value(&now))? })
}

/// The one of this id; else the only one of this name, where the portal can list them.
async fn find(client: &Client, one: &CvpChange) -> anyhow::Result<ChangeControl> {
    if let Some(found) = client.change(&one.id).await? {
        return Ok(found);
    }
    let nobody = |hint| CvpError::NotFound { kind: "change control", name: one.id.clone(), hint };
    let all = match client.changes().await {
        Ok(all) => all,
        Err(CvpError::NotInThisVersion { .. }) => return Err(nobody(None).into()),
        Err(error) => return Err(error.into()),
    };
    let mut named = all.iter().filter(|change| change.name == one.id);
    match (named.next(), named.next()) {
        // The list may tell less than the thing itself.
        (Some(only), None) => Ok(client.change(&only.id).await?.unwrap_or_else(|| only.clone())),
        (Some(first), Some(second)) => Err(CvpError::Ambiguous {
            kind: "change control",
            name: one.id.clone(),
            which: vec![first.id.clone(), second.id.clone()],
        }
        .into()),
        (None, _) => {
            let names = all.iter().flat_map(|change| [change.id.as_str(), change.name.as_str()]);
            let hint = crate::base::text::did_you_mean(&one.id, names).map(str::to_owned);
            Err(nobody(hint).into())
        }
    }
}

/// How far it is; one that ended says so, too, when it ended badly.
fn state(change: &ChangeControl) -> String {
    let failed = change.status == ChangeStatus::Completed && change.outcome().is_err();
    if failed { "failed".to_owned() } else { change.status.to_string() }
}

fn listed(all: &[ChangeControl]) -> String {
    if all.is_empty() {
        return "no change controls".to_owned();
    }
    let row = |change: &ChangeControl| {
        vec![
            change.id.clone(),
            change.name.clone(),
            state(change),
            change.is_approved.map_or("not told", |approved| if approved { "yes" } else { "no" }).to_owned(),
            change.schedule.clone().unwrap_or_default(),
            change.tasks().iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(" "),
            change.error.clone().unwrap_or_default(),
        ]
    };
    let head = ["id", "name", "state", "approved", "starts", "tasks", ""];
    table(&head, &all.iter().map(row).collect::<Vec<_>>())
}

fn word(status: StageStatus) -> &'static str {
    match status {
        StageStatus::NotStarted => "not started",
        StageStatus::Running => "running",
        StageStatus::Completed => "completed",
    }
}

fn shown(change: &ChangeControl) -> String {
    let row = |stage: &StageState| {
        let task = stage.task.as_ref().map(ToString::to_string);
        let state = if stage.error.is_some() { "failed" } else { word(stage.status) };
        vec![
            stage.name.clone(),
            task.unwrap_or_default(),
            state.to_owned(),
            stage.error.clone().unwrap_or_default(),
        ]
    };
    let stages = table(&["stage", "task", "state", ""], &change.stages.values().map(row).collect::<Vec<_>>());
    format!("{}\n\n{stages}", listed(std::slice::from_ref(change)))
}

fn value(change: &ChangeControl) -> Value {
    let stage = |(id, stage): (&String, &StageState)| json!({ "id": id, "name": stage.name, "task": stage.task, "state": word(stage.status), "error": stage.error });
    json!({
        "id": change.id, "name": change.name, "state": change.status.to_string(),
        "is_good": change.is_over().then(|| change.outcome().is_ok()), "error": change.error,
        "approved": change.is_approved, "schedule": change.schedule,
        "stages": change.stages.iter().map(stage).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(Some(true), "yes")]
    #[case(Some(false), "no")]
    #[case(None, "not told")]
    fn an_approval_that_is_not_told_is_not_a_missing_one(
        #[case] is_approved: Option<bool>,
        #[case] word: &str,
    ) {
        let change = ChangeControl {
            id: "c1".into(),
            name: "window".into(),
            status: ChangeStatus::NotStarted,
            error: None,
            is_approved,
            schedule: None,
            version: String::new(),
            stages: [].into(),
        };
        let row = listed(&[change]).lines().nth(1).unwrap().to_owned();
        assert!(row.ends_with(&format!("not started  {word}")), "{row}");
    }
}
