//! Sets back what a session did, from its journal: by the session itself when it closes, by whoever finds
//! the journal when it was killed.

use std::{collections::HashSet, io, time::Duration};

use super::{
    client::Client,
    error::CvpError,
    inventory::Inventory,
    journal::{Journal, Undo},
    lease,
    task::{TaskId, TaskState},
};

/// What became of everything that was to be undone.
#[derive(Debug, Default)]
pub struct Undone {
    /// What is as it was.
    pub done: Vec<Undo>,
    /// What could not be set back, and why; it stays in the journal.
    pub left: Vec<(Undo, CvpError)>,
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
        match one(client, oldest, limit).await {
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
        Undo::RestoreConfiglet { name, text } => match client.configlet(name).await? {
            Some(configlet) if configlet.text != *text => {
                let tasks = client.update_configlet(&configlet.key, name, text).await?;
                run(client, &tasks, limit).await
            }
            _ => Ok(()),
        },
        Undo::RestoreDevice { device, configlets } => {
            let inventory = client.inventory().await?;
            // One that was removed from the inventory holds nothing.
            let Ok(device) = inventory.device(device) else { return Ok(()) };
            let before = named(client, configlets).await?;
            let tasks = client.set_on_device(device, &before).await?;
            settle(client, &device.mac, tasks, limit).await
        }
        Undo::RestoreContainer { container, configlets } => {
            let inventory = client.inventory().await?;
            let Ok(container) = inventory.container(container) else { return Ok(()) };
            let before = named(client, configlets).await?;
            let tasks = client.set_on_container(container, &before).await?;
            run(client, &tasks, limit).await
        }
        Undo::MoveBack { device, container } => {
            let inventory = client.inventory().await?;
            let (Ok(device), Ok(container)) = (inventory.device(device), inventory.container(container))
            else {
                return Ok(());
            };
            if device.container == container.key {
                return Ok(());
            }
            let tasks = client.move_device(device, container).await?;
            run(client, &tasks, limit).await
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
        Undo::EndLease { of, since, by } => match client.configlet(&lease::name(of)).await? {
            Some(there) if lease::read(&there.text).as_ref() == Some(by) => {
                cancel_since(client, of, *since).await?;
                client.delete_configlets(&[there]).await
            }
            // It was never taken, or ended already; what is there is somebody else's.
            _ => Ok(()),
        },
    }
}

/// Executes `tasks` of a device. Where there are none, an earlier attempt may have assigned everything and then failed at the
/// device: its task is executed again.
async fn settle(
    client: &Client,
    device: &str,
    mut tasks: Vec<TaskId>,
    limit: Duration,
) -> Result<(), CvpError> {
    if tasks.is_empty() && !client.compliance(device).await?.is_in_sync() {
        let open = |task: &super::Task| matches!(task.state, TaskState::Failed | TaskState::Pending);
        let all = client.tasks(None).await?;
        tasks.extend(all.into_iter().find(|task| task.device == device && open(task)).map(|task| task.id));
    }
    run(client, &tasks, limit).await
}

async fn run(client: &Client, tasks: &[TaskId], limit: Duration) -> Result<(), CvpError> {
    client.run_tasks(tasks, limit, |_| {}).await.map(drop)
}

/// The configlets of these names that are still there.
async fn named(client: &Client, names: &[String]) -> Result<Vec<super::Configlet>, CvpError> {
    let mut found = Vec::new();
    for name in names {
        found.extend(client.configlet(name).await?);
    }
    Ok(found)
}

/// Cancels the tasks of a leased device, or of those below a leased container, that were made since then and that nobody has
/// executed: nobody else makes any while it is leased.
async fn cancel_since(client: &Client, of: &str, since: u64) -> Result<(), CvpError> {
    let inventory: Inventory = client.inventory().await?;
    let below: HashSet<&str> = inventory.below(of).map(|device| device.mac.as_str()).collect();
    let since = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(since);
    let ours = |device: &str| device == of || below.contains(device);
    let pending = client.tasks(Some("Pending")).await?;
    let left: Vec<TaskId> = pending
        .into_iter()
        .filter(|task| task.state == TaskState::Pending && ours(&task.device))
        .filter(|task| task.created.is_none_or(|created| created >= since))
        .map(|task| task.id)
        .collect();
    client.cancel_tasks(&left).await
}
