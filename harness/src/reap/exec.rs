//! Removes what the plan says, one after another, and goes on past errors.

use std::time::Duration;

use super::{
    Ground, ReapError,
    plan::{Item, ReapPlan},
};
use crate::lab::{self, Hermetic, Lab};

/// For one call.
const LIMIT: Duration = Duration::from_secs(20);

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Reaped {
    /// What was removed.
    pub removed: Vec<Item>,
    /// What could not be, and why.
    pub left: Vec<(Item, ReapError)>,
}

/// Removes what `plan` says.
pub async fn reap(ground: &Ground, plan: &ReapPlan) -> Reaped {
    let mut reaped = Reaped::default();
    for verdict in &plan.remove {
        match remove(ground, &verdict.item).await {
            Ok(()) => reaped.removed.push(verdict.item.clone()),
            Err(error) => reaped.left.push((verdict.item.clone(), error)),
        }
    }
    reaped
}

async fn remove(ground: &Ground, item: &Item) -> Result<(), ReapError> {
    match (item, &ground.daemon) {
        (Item::Lab(folder), _) => Hermetic::join(folder)?.end(LIMIT).await?,
        // It looks again, with the lock held: by now somebody else may have removed it.
        (Item::Folder(_), _) => drop(lab::sweep(&ground.labs)?),
        (Item::Domain(name), Some(daemon)) => daemon.destroy_domain(name, LIMIT).await?,
        (Item::Network(name), Some(daemon)) => daemon.destroy_network(name, LIMIT).await?,
        (Item::Domain(_) | Item::Network(_), None) => {}
        (Item::Lease(octet), _) => {
            drop(ground.leases.release(|lease| lease.octet == *octet && !lease.holds)?);
        }
    }
    Ok(())
}
