//! Sets back what a session did, from its journal: by the session itself when it closes, by whoever finds
//! the journal when it was killed.

use std::{collections::HashSet, fmt, io, time::Duration};

use super::{
    client::Client,
    error::CvpError,
    inventory::{Container, Device, Inventory},
    journal::{Head, Journal, Undo},
    lease::{self, Lease},
    task::{TaskId, TaskState},
};

/// What became of everything that was to be undone.
#[derive(Debug, Default)]
pub struct Undone {
    /// What is as it was.
    pub done: Vec<Undo>,
    /// What could not be set back, and why; it stays in the journal, unless the portal goes with the session.
    pub left: Vec<(Undo, CvpError)>,
    /// What has a name of the session's and is still there, although it is not in the journal: somebody made it without the
    /// session's calls.
    pub leaked: Vec<String>,
    /// What helps.
    pub(super) hint: &'static str,
}

impl Undone {
    /// Whether all is as it was.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.left.is_empty() && self.leaked.is_empty()
    }
}

/// What could not be set back, and what leaked.
impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.left.iter().map(|(undo, why)| format!("cannot {undo}: {why}"));
        let leaked =
            self.leaked.iter().map(|what| format!("{what} is still there, and is not in the journal"));
        f.write_str(&left.chain(leaked).collect::<Vec<_>>().join("; "))?;
        f.write_str(self.hint)
    }
}

/// Undoes everything that stands in `journal`, newest first, and goes on past what cannot be undone.
///
/// # Errors
/// The journal cannot be written any more.
pub(super) async fn undo(client: &Client, journal: &Journal, limit: Duration) -> io::Result<Undone> {
    let mut undone = Undone::default();
    let standing = journal.standing();
    let mut over = HashSet::new();
    for (number, newest) in &standing {
        // What is not as it was is nobody else's yet: leases, which are older than what was done under them, stay with it.
        let is_kept = matches!(newest, Undo::EndLease { .. }) && !undone.left.is_empty();
        if is_kept || over.contains(number) {
            continue;
        }
        // What was changed several times is set back once, to what it was at first.
        let same: Vec<&(u64, Undo)> =
            standing.iter().filter(|(_, other)| is_of_the_same(newest, other)).collect();
        let oldest = same.last().map_or(newest, |(_, oldest)| oldest);
        let mut went = one(client, oldest, limit).await;
        // It may have been done: that is looked at, and done again only if it was not.
        if went.as_ref().is_err_and(CvpError::may_have_happened) {
            went = one(client, oldest, limit).await;
        }
        match went {
            Ok(()) => {
                for (number, _) in &same {
                    journal.undone(*number)?;
                    over.insert(*number);
                }
                undone.done.push(oldest.clone());
            }
            Err(error) => {
                over.extend(same.iter().map(|(number, _)| *number));
                undone.left.push((oldest.clone(), error));
            }
        }
    }
    Ok(undone)
}

/// Whether two set back the same part of the same thing.
fn is_of_the_same(one: &Undo, other: &Undo) -> bool {
    match (one, other) {
        (Undo::RestoreConfiglet { name: a, .. }, Undo::RestoreConfiglet { name: b, .. }) => a == b,
        (Undo::RestoreDevice { device: a, .. }, Undo::RestoreDevice { device: b, .. }) => a == b,
        (Undo::RestoreContainer { container: a, .. }, Undo::RestoreContainer { container: b, .. }) => a == b,
        (Undo::MoveBack { device: a, .. }, Undo::MoveBack { device: b, .. }) => a == b,
        _ => one == other,
    }
}

async fn one(client: &Client, undo: &Undo, limit: Duration) -> Result<(), CvpError> {
    match undo {
        Undo::DeleteConfiglet { name } => match client.configlet(name).await? {
            Some(configlet) => client.delete_configlets(&[configlet]).await,
            None => Ok(()),
        },
        Undo::RestoreConfiglet { name, text } => {
            let Some(configlet) = client.configlet(name).await? else { return Ok(()) };
            let devices = client.devices_with(&configlet).await?;
            let devices = macs(&devices);
            lease::quiet(client, &devices, limit).await?;
            let tasks = match configlet.text == *text {
                true => Vec::new(),
                false => client.update_configlet(&configlet.key, name, text).await?,
            };
            settle(client, &devices, tasks, limit).await
        }
        Undo::RestoreDevice { device, configlets } => {
            let inventory = client.inventory().await?;
            // One that was removed from the inventory holds nothing.
            let Ok(device) = inventory.device(device) else { return Ok(()) };
            lease::quiet(client, &[&device.mac], limit).await?;
            let before = named(client, configlets).await?;
            let tasks = client.set_on_device(device, &before).await?;
            settle(client, &[&device.mac], tasks, limit).await
        }
        Undo::RestoreContainer { container, configlets } => {
            let inventory = client.inventory().await?;
            let Ok(container) = inventory.container(container) else { return Ok(()) };
            let devices: Vec<&str> = inventory.below(&container.key).map(|one| one.mac.as_str()).collect();
            lease::quiet(client, &devices, limit).await?;
            let before = named(client, configlets).await?;
            let tasks = client.set_on_container(container, &before).await?;
            settle(client, &devices, tasks, limit).await
        }
        Undo::MoveBack { device, container } => {
            let inventory = client.inventory().await?;
            let (Ok(device), Ok(container)) = (inventory.device(device), inventory.container(container))
            else {
                return Ok(());
            };
            move_back(client, device, container, limit).await
        }
        Undo::DeleteContainer { name } => {
            let containers = client.containers().await?;
            let Some(container) = containers.iter().find(|container| container.name == *name) else {
                return Ok(());
            };
            client.delete_container(container).await
        }
        Undo::DeleteChange { id } => {
            let Some(change) = client.change(id).await? else { return Ok(()) };
            if change.is_running() {
                client.stop_change(id, "stopped by polder").await?;
                client.wait_for_change(id, limit, |_| {}).await?;
            }
            client.delete_change(id).await
        }
        Undo::EndLease { of, by } => match client.configlet(&lease::name(of)).await? {
            Some(there) if lease::read(&there.text).as_ref() == Some(by) => {
                cancel_pending(client, of).await?;
                client.delete_configlets(&[there]).await
            }
            // It was never taken, or ended already; what is there is somebody else's.
            _ => Ok(()),
        },
    }
}

async fn move_back(
    client: &Client,
    device: &Device,
    container: &Container,
    limit: Duration,
) -> Result<(), CvpError> {
    lease::quiet(client, &[&device.mac], limit).await?;
    let tasks = match device.container == container.key {
        true => Vec::new(),
        false => client.move_device(device, container).await?,
    };
    settle(client, &[&device.mac], tasks, limit).await
}

/// Executes `tasks` of devices, by their MAC addresses. Where there are none, an earlier attempt may have assigned everything
/// and then have failed at a device, or its answer was lost: then its newest task is executed that we made.
async fn settle(
    client: &Client,
    devices: &[&str],
    mut tasks: Vec<TaskId>,
    limit: Duration,
) -> Result<(), CvpError> {
    if tasks.is_empty() {
        let codes = client.compliances(devices.iter().map(|device| (*device).to_owned()).collect()).await?;
        let codes = devices.iter().zip(codes).filter(|(_, code)| !code.is_in_sync());
        let behind: Vec<&str> = codes.map(|(device, _)| *device).collect();
        let mut ours = lease::tasks(client, &behind).await?;
        ours.retain(|task| matches!(task.state, TaskState::Failed | TaskState::Pending));
        let newest = behind.iter().filter_map(|device| ours.iter().find(|task| task.device == *device));
        tasks.extend(newest.map(|task| task.id.clone()));
    }
    client.run_tasks(&tasks, limit, |_| {}).await.map(drop)
}

fn macs(devices: &[Device]) -> Vec<&str> {
    devices.iter().map(|device| device.mac.as_str()).collect()
}

/// The configlets of these names that are still there.
async fn named(client: &Client, names: &[String]) -> Result<Vec<super::Configlet>, CvpError> {
    let mut found = Vec::new();
    for name in names {
        found.extend(client.configlet(name).await?);
    }
    Ok(found)
}

/// Cancels the tasks of a leased device, or of those below a leased container, that we made and nobody has executed.
async fn cancel_pending(client: &Client, of: &str) -> Result<(), CvpError> {
    let inventory: Inventory = client.inventory().await?;
    let below = inventory.below(of).map(|device| device.mac.as_str());
    let mut left = lease::tasks(client, &below.chain([of]).collect::<Vec<_>>()).await?;
    left.retain(|task| task.state == TaskState::Pending);
    let left: Vec<TaskId> = left.into_iter().map(|task| task.id).collect();
    client.cancel_tasks(&left).await
}

/// What is still at the portal of a session whose journal tells of nothing more, in words.
pub(super) async fn leaks(
    client: &Client,
    head: &Head,
    left: &[(Undo, CvpError)],
) -> Result<Vec<String>, CvpError> {
    let ours = |name: &str| name.starts_with(&head.prefix);
    let lease = Lease { prefix: head.prefix.clone(), owner: head.owner.clone() };
    let mut found = Vec::new();
    for one in client.search_configlets(&head.prefix).await?.iter().filter(|one| ours(&one.name)) {
        found.push((one.name.clone(), format!("the configlet `{}`", one.name)));
    }
    for one in client.search_configlets(lease::NAME).await? {
        if let Some(of) = one.name.strip_prefix(lease::NAME)
            && lease::read(&one.text).as_ref() == Some(&lease)
        {
            found.push((of.to_owned(), format!("the lease of {of}")));
        }
    }
    for one in client.containers().await?.iter().filter(|one| ours(&one.name)) {
        found.push((one.name.clone(), format!("the container `{}`", one.name)));
    }
    let changes = match client.changes().await {
        // What cannot be listed cannot be looked for.
        Err(CvpError::NotInThisVersion { .. }) => Vec::new(),
        other => other?,
    };
    for one in changes.iter().filter(|one| ours(&one.name)) {
        found.push((one.id.clone(), format!("the change control `{}`", one.name)));
    }
    found.retain(|(id, _)| left.iter().all(|(undo, _)| undo.about() != Some(id)));
    Ok(found.into_iter().map(|(_, shown)| shown).collect())
}
