//! Removes what the plan says, one after another, and goes on past errors.

use std::{io, path::Path, time::Duration};

use super::{
    Ground, ReapError,
    plan::{Item, ReapPlan},
};
use crate::{
    cvp::{self, Client, Cvp, CvpSpec},
    env::forget_partition,
    lab::{self, Hermetic, Lab, LabError},
};

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

/// Work on what is below `path` that waits for others' locks.
pub(super) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, ReapError> + Send + 'static,
) -> Result<T, ReapError> {
    let failed =
        |error| LabError::Host { what: "look after", path: path.to_owned(), source: io::Error::other(error) };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(error).into()))
}

async fn remove(ground: &Ground, item: &Item) -> Result<(), ReapError> {
    match (item, &ground.daemon) {
        (Item::Lab(folder), _) => Hermetic::join(folder)?.end(LIMIT).await?,
        // It looks again, with the lock held: by now somebody else may have removed it.
        (Item::Folder(folder), _) => {
            let labs = ground.labs.clone();
            drop(blocking(folder, move || Ok(lab::sweep(&labs)?)).await?);
        }
        (Item::Domain(name), Some(daemon)) => daemon.destroy_domain(name, LIMIT).await?,
        (Item::Network(name), Some(daemon)) => daemon.destroy_network(name, LIMIT).await?,
        (Item::Session(journal), _) => set_back(ground, journal).await?,
        (Item::Rules(table), _) => forget_partition(table).await?,
        (Item::Domain(_) | Item::Network(_), None) | (Item::Changes(_), _) => {}
        (Item::Lease(octet), _) => {
            let (leases, octet) = (ground.leases.clone(), *octet);
            let release = move || Ok(leases.release(|lease| lease.octet == octet && !lease.holds)?);
            drop(blocking(&ground.labs, release).await?);
        }
    }
    Ok(())
}

/// Sets back what a session did at a portal; its journal goes with that.
async fn set_back(ground: &Ground, journal: &Path) -> Result<(), ReapError> {
    let error = |what| move |source| ReapError::Journal { what, path: journal.to_owned(), source };
    let (all, _) = cvp::journals(&ground.journals).map_err(error("look at"))?;
    // It looks again: by now somebody else may have set it back.
    let Some(found) = all.into_iter().find(|found| found.path == *journal) else { return Ok(()) };
    let head = &found.head;
    if head.is_embedded || found.standing.is_empty() {
        return std::fs::remove_file(journal).map_err(error("remove"));
    }
    let is_of = |spec: &&CvpSpec| spec.nodes.iter().any(|node| head.nodes.contains(&node.address()));
    let Some(spec) = ground.portal.as_ref().filter(is_of) else {
        let (portal, user) = (head.nodes.join(", "), head.user.clone());
        let wanted = cvp::variables::wanted(&head.nodes, head.user.as_deref());
        return Err(ReapError::NoLogin { portal, user, wanted });
    };
    let client = Client::new(spec.clone(), None)?;
    Cvp::recover(&client, &found).await?;
    Ok(())
}
