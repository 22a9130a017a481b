//! `polder gc`.

use std::time::Duration;

use serde_json::json;

use crate::{
    base::exit::Exit,
    cli::{context::Cx, run::Said},
    config::Lab,
    net::lease::LeaseStore,
    provider::libvirt::Connection,
    reap::{self, Ground, plan::Verdict},
};

/// How long the daemon has to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Says what dead owners left, and removes it unless this is only a look.
pub(in crate::cli) async fn run(cx: &Cx, dry_run: bool) -> anyhow::Result<Said> {
    let host = cx.host()?;
    let daemon = match cx.config.lab {
        Lab::Hermetic => None,
        Lab::System => {
            Some(Connection::open_as(&host.daemon.uri, host.daemon.credentials.as_ref(), LIMIT).await?)
        }
    };
    let leases = LeaseStore::new(host.daemon.leases.clone());
    let ground = Ground { labs: host.lab.root.clone(), daemon, leases };
    let (seen, unseen) = reap::look(&ground).await;
    let plan = reap::plan::plan(&seen);
    let reaped = if dry_run { reap::Reaped::default() } else { reap::reap(&ground, &plan).await };
    let left =
        reaped.left.into_iter().map(|(item, error)| format!("{item}: {:#}", anyhow::Error::from(error)));
    let problems: Vec<String> =
        left.chain(unseen.into_iter().map(|error| format!("{:#}", anyhow::Error::from(error)))).collect();
    problems.iter().for_each(|problem| tracing::error!(target: "polder", "{problem}"));
    let exit = if problems.is_empty() { Exit::Done } else { Exit::Left };
    let text = if cx.for_people() {
        plan.to_string().trim_end().to_owned()
    } else {
        let lines = |verdicts: &[Verdict]| verdicts.iter().map(ToString::to_string).collect::<Vec<_>>();
        cx.print(&json!({
            "remove": lines(&plan.remove), "keep": lines(&plan.keep), "removed": reaped.removed.len(),
            "problems": problems,
        }))?
    };
    Ok(Said::from(text).with(exit))
}
