//! `polder gc`.

use serde::Serialize;

use crate::{
    change::run_folder,
    cli::{
        args::Gc,
        context::Cx,
        exit::{BadInput, Left},
    },
    config::Lab,
    cvp::{CvpSpec, journal_folder},
    env::Host,
    net::lease::LeaseStore,
    provider::libvirt::Connection,
    reap::{self, Ground, ReapError, plan::ReapPlan},
};

/// What is printed when scripts ask.
#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    #[serde(flatten)]
    plan: &'a ReapPlan,
    /// Faults in the prefix that nobody was left to set back.
    faults: &'a [String],
}

pub(in crate::cli) async fn run(cx: &Cx, args: &Gc) -> anyhow::Result<String> {
    let variable = |name: &str| std::env::var(name).ok();
    let portal = CvpSpec::from_variables(&variable).map_err(|error| BadInput(error.to_string()))?;
    let ground = ground(cx, &cx.host()?, portal).await?;
    let (seen, unseen) = reap::look(&ground).await;
    let plan = reap::plan::plan(&seen);
    let mut failures: Vec<String> = unseen.into_iter().map(|e| told("could not be looked at", e)).collect();
    let mut faults = Vec::new();
    // Outside of prefixes there are none.
    if let Ok(env) = cx.env().await {
        for left in env.left_faults()? {
            match if args.dry_run { Ok(()) } else { left.heal(&env).await } {
                Ok(()) => faults.push(left.what().to_owned()),
                Err(error) => failures.push(told(left.what(), error)),
            }
        }
    }
    if !args.dry_run {
        let reaped = reap::reap(&ground, &plan).await;
        failures.extend(reaped.left.into_iter().map(|(item, e)| told(&item.to_string(), e)));
    }
    let report = match cx.for_people() {
        true => {
            let what = if args.dry_run { "to be set back" } else { "set back" };
            let lines = faults.iter().map(|fault| format!("{what}: {fault}"));
            let plan = plan.to_string().trim_end().to_owned();
            lines.chain([plan]).collect::<Vec<_>>().join("\n")
        }
        false => cx.print(&Report { dry_run: args.dry_run, plan: &plan, faults: &faults })?,
    };
    if failures.is_empty() {
        return Ok(report);
    }
    println(&report);
    Err(Left(format!("not everything could be done:\n  {}", failures.join("\n  "))).into())
}

fn told(what: &str, error: impl Into<anyhow::Error>) -> String {
    format!("{what}: {:#}", error.into())
}

#[expect(clippy::print_stdout, reason = "the report is the result, also when something failed")]
fn println(report: &str) {
    println!("{report}");
}

/// Where leftovers may be. On a host whose environments live in hermetic labs there need not be a daemon.
async fn ground(cx: &Cx, host: &Host, portal: Option<CvpSpec>) -> Result<Ground, ReapError> {
    let limit = std::time::Duration::from_secs(10);
    let daemon = Connection::open_as(&host.daemon.uri, host.daemon.credentials.as_ref(), limit).await;
    let daemon = match (daemon, cx.config.lab) {
        (Ok(daemon), _) => Some(daemon),
        (Err(error), Lab::System) => return Err(error.into()),
        (Err(error), Lab::Hermetic) => {
            tracing::debug!(target: "polder", "no daemon is looked at: {error}");
            None
        }
    };
    Ok(Ground {
        labs: host.lab.root.clone(),
        daemon,
        leases: LeaseStore::new(host.daemon.leases.clone()),
        journals: journal_folder(&host.lab.cache),
        changes: run_folder(&host.lab.cache),
        portal,
    })
}
