//! Leases of what cannot be given a name of one's own: a device or container is changed by one session at a time, on whatever
//! host that runs. The portal itself keeps them, as configlets of a name that only one can have.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    client::Client,
    error::CvpError,
    task::{Task, TaskId, TaskState},
};
use crate::base::{owner::Owner, wait::Deadline};

/// What the names of leases begin with.
pub(super) const NAME: &str = "polder-lease-";
/// Before a lease that somebody has is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// What is in a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What the session's names begin with.
    pub prefix: String,
    /// Its process.
    pub owner: Owner,
}

/// The lease's configlet of a device, by its MAC address, or of a container, by its key.
pub(super) fn name(of: &str) -> String {
    format!("{NAME}{of}")
}

/// The text of a lease: a comment, should it ever come to a device.
fn text(lease: &Lease) -> String {
    format!("! {}\n", serde_json::to_string(lease).unwrap_or_default())
}

/// What a lease says; nothing where somebody has changed it.
pub(super) fn read(text: &str) -> Option<Lease> {
    serde_json::from_str(text.trim().trim_start_matches('!')).ok()
}

/// Takes the lease of `of`, which people call `shown`, within `limit`.
///
/// # Errors
/// [`CvpError::Leased`] saying by whom; the portal cannot be asked, or refuses.
pub(super) async fn take(
    client: &Client,
    of: &str,
    shown: &str,
    lease: &Lease,
    limit: Duration,
) -> Result<(), CvpError> {
    let deadline = Deadline::within(limit);
    loop {
        match client.add_configlet(&name(of), &text(lease)).await {
            Ok(_) => return Ok(()),
            Err(CvpError::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
        let Some(there) = client.configlet(&name(of)).await? else { continue };
        let holder = read(&there.text);
        if holder.as_ref() == Some(lease) {
            return Ok(());
        }
        let is_left = holder.as_ref().is_some_and(|holder| !holder.owner.is_alive());
        if is_left || deadline.passed() {
            let holder = match holder {
                Some(holder) if is_left => {
                    format!("{}, which is gone: `polder gc` there sets back what it did", holder.owner)
                }
                Some(holder) => format!("{} (its names begin with `{}`)", holder.owner, holder.prefix),
                None => format!("somebody else, see the configlet `{}`", there.name),
            };
            return Err(CvpError::Leased { what: shown.to_owned(), holder });
        }
        tokio::time::sleep(AGAIN.min(deadline.left())).await;
    }
}

/// Tasks of devices, by their MAC addresses, that were made since each was leased, newest first: nobody else makes any
/// meanwhile. Those of devices that are not leased are nobody's.
///
/// # Errors
/// The portal cannot be asked, or refuses.
pub(super) async fn tasks(client: &Client, devices: &[&str]) -> Result<Vec<Task>, CvpError> {
    let mut since: HashMap<&str, SystemTime> = HashMap::new();
    for device in devices {
        // In the portal's own time, like that of its tasks.
        let lease = client.configlet(&name(device)).await?;
        since.extend(lease.and_then(|lease| Some((*device, lease.changed?))));
    }
    let Some(first) = since.values().min() else { return Ok(Vec::new()) };
    let mut tasks = client.tasks_since(*first).await?;
    tasks.retain(|task| since.get(task.device.as_str()).is_some_and(|since| task.created >= Some(*since)));
    Ok(tasks)
}

/// Waits until none of those tasks is at work any more.
///
/// # Errors
/// Some still are when `limit` is over; the portal cannot be asked, or refuses.
pub(super) async fn quiet(client: &Client, devices: &[&str], limit: Duration) -> Result<(), CvpError> {
    let mut running = tasks(client, devices).await?;
    running.retain(|task| matches!(task.state, TaskState::Running(_)));
    let running: Vec<TaskId> = running.into_iter().map(|task| task.id).collect();
    if running.is_empty() {
        return Ok(());
    }
    client.wait_for_tasks(&running, limit, |_| {}).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_comments_that_can_be_read_again() {
        let lease = Lease { prefix: "polder-x-".into(), owner: Owner::current().unwrap() };
        let text = text(&lease);
        assert!(text.starts_with("! {") && text.lines().count() == 1, "{text}");
        assert_eq!(read(&text), Some(lease));
        assert_eq!(read("hostname x"), None);
        assert_eq!(name("aa:01"), "polder-lease-aa:01");
    }
}
