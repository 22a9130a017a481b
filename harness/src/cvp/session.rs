//! A suite's session at a portal: everything it makes has the suite's prefix, everything it changes is written down before
//! and set back when it closes, and what cannot have a prefix is leased.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Mutex;

use super::{
    change_control::{Change, ChangeControl},
    client::Client,
    draft::Draft,
    error::CvpError,
    inventory::{ComplianceCode, Container, Device},
    journal::{Found, Head, Journal, Undo},
    lease::{self, Lease},
    onboard::Own,
    saved::SavedSession,
    spec::Node,
    task::{TaskId, TaskState},
    undo::{self, Undone},
};
use crate::base::owner::Owner;

/// How long a device's task or a change control may take, where nothing else is said.
pub const RUN: Duration = Duration::from_secs(600);
/// How long somebody else's lease is waited for.
const LEASE: Duration = Duration::from_secs(120);

/// A suite's session. Cheap to clone; clones are the same session.
///
/// ```no_run
/// use polder::prelude::*;
///
/// async fn keep_time(cvp: &Cvp) -> Result {
///     cvp.configlet("ntp").content("ntp server 192.0.2.1\n").on(["leaf-1", "leaf-2"]).deploy().await?;
///     ensure!(cvp.device("leaf-1").await?.hostname == "leaf-1");
///     Ok(()) // what was done is set back when the suite ends
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Cvp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    journal: Journal,
    head: Head,
    lease: Lease,
    /// Where the portal is our own.
    own: Option<Own>,
    /// Devices, containers and configlets that are leased; held while one is taken.
    leased: Mutex<HashSet<String>>,
}

/// A session could not begin, or not be closed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// What is done cannot be written down.
    #[error("cannot write the journal of the portal's session at {}", folder.display())]
    Journal {
        /// Where it is.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The portal.
    #[error(transparent)]
    Cvp(#[from] CvpError),
    /// Something could not be set back, or is still there.
    #[error("the portal is not as it was: {0}")]
    Left(Undone),
}

impl Cvp {
    /// Begins a session: logs in, and opens its journal in `folder`. `prefix` begins the names of everything it makes.
    ///
    /// # Errors
    /// [`SessionError::Journal`]; no node lets us in.
    pub async fn begin(client: Client, prefix: &str, folder: &Path) -> Result<Self, SessionError> {
        Self::begin_at(client, prefix, folder, None).await
    }

    /// The same, at a portal that may be our own and goes with the session.
    pub(super) async fn begin_at(
        client: Client,
        prefix: &str,
        folder: &Path,
        own: Option<Own>,
    ) -> Result<Self, SessionError> {
        let error = |source| SessionError::Journal { folder: folder.to_owned(), source };
        client.log_in().await?;
        let owner = Owner::current().map_err(error)?;
        let head = Head {
            nodes: client.spec().nodes.iter().map(Node::address).collect(),
            user: client.spec().login.user().map(str::to_owned),
            prefix: prefix.to_owned(),
            owner: owner.clone(),
            is_embedded: own.is_some(),
        };
        let journal = Journal::create(folder, head.clone()).map_err(error)?;
        let lease = Lease { prefix: prefix.to_owned(), owner };
        Ok(Self(Arc::new(Inner { client, journal, head, lease, own, leased: Mutex::default() })))
    }

    /// The client: what is done with it directly is not set back by anybody, and what it makes under a name of the session's
    /// is told as a leak.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// What is special where the portal is our own.
    pub(super) fn own(&self) -> Option<&Own> {
        self.0.own.as_ref()
    }

    /// Where the portal is, for people.
    pub(super) fn nodes(&self) -> String {
        self.0.head.nodes.join(", ")
    }

    /// The name the session's thing called `name` has at the portal.
    #[must_use]
    pub fn named(&self, name: &str) -> String {
        format!("{}{name}", self.0.head.prefix)
    }

    /// A configlet of the session's own, to be made or updated, and put on devices and containers.
    pub fn configlet(&self, name: &str) -> Draft<'_> {
        Draft::own(self, self.named(name))
    }

    /// A configlet that is there already and not the session's own, to be updated, put on and taken off: its text is set back
    /// when the session closes. Nobody else's session may change it meanwhile, nor the devices that hold it.
    pub fn existing_configlet(&self, name: &str) -> Draft<'_> {
        Draft::existing(self, name.to_owned())
    }

    /// The device of this host name, fqdn, serial number, MAC or address.
    ///
    /// # Errors
    /// There is none, or more than one; the portal cannot be asked.
    pub async fn device(&self, name: &str) -> Result<Device, CvpError> {
        Ok(self.client().inventory().await?.device(name)?.clone())
    }

    /// What the device of this name runs, as the portal knows it when it has asked.
    ///
    /// # Errors
    /// As [`device`](Self::device).
    pub async fn running_config(&self, device: impl ToString) -> Result<String, CvpError> {
        let device = self.device(&device.to_string()).await?;
        self.client().running_config(&device.mac).await
    }

    /// Has the portal compare what the device of this name runs with what is designed for it.
    ///
    /// # Errors
    /// As [`device`](Self::device).
    pub async fn compliance(&self, device: impl ToString) -> Result<ComplianceCode, CvpError> {
        let device = self.device(&device.to_string()).await?;
        self.client().compliance(&device.mac).await
    }

    /// Makes a container below the one called `parent`.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn add_container(&self, name: &str, parent: &str) -> Result<Container, CvpError> {
        let name = self.named(name);
        let parent = self.client().inventory().await?.container(parent)?.clone();
        self.about(Undo::DeleteContainer { name: name.clone() })?;
        self.client().add_container(&name, &parent).await
    }

    /// Moves a device into a container, and executes the task of it.
    ///
    /// # Errors
    /// Somebody else has the device or the container; its task fails; the portal cannot be asked, or refuses.
    pub async fn move_device(&self, device: &str, container: &str) -> Result<(), CvpError> {
        let inventory = self.client().inventory().await?;
        let (device, container) = (inventory.device(device)?, inventory.container(container)?);
        self.lease_container(container).await?;
        self.lease(&device.mac, device.name()).await?;
        self.about(Undo::MoveBack { device: device.mac.clone(), container: device.container.clone() })?;
        let move_it = || self.client().move_device(device, container);
        let tasks = self.surely(&[&device.mac], move_it).await?;
        self.client().run_tasks(&tasks, RUN, |_| {}).await.map(drop)
    }

    /// Makes a change control of the session's own for these tasks, approves it, starts it and waits for its end.
    ///
    /// # Errors
    /// A stage fails; the portal cannot be asked, or refuses.
    pub async fn run_change(&self, change: Change, limit: Duration) -> Result<ChangeControl, CvpError> {
        let change = Change { name: self.named(&change.name), ..change };
        self.run_named(change, limit).await
    }

    pub(super) async fn run_named(&self, change: Change, limit: Duration) -> Result<ChangeControl, CvpError> {
        self.about(Undo::DeleteChange { id: change.id.clone() })?;
        let id = self.client().create_change(&change).await?;
        if id != change.id {
            self.about(Undo::DeleteChange { id: id.clone() })?;
        }
        self.client().run_change(&id, limit, progress).await
    }

    /// Ends the session, also for its clones: what it did is set back, newest first, and what then still has its names at the
    /// portal is looked for.
    ///
    /// # Errors
    /// [`SessionError::Left`] with what could not be set back: it stays in the journal, and `polder gc` tries again.
    pub async fn close(self) -> Result<Undone, SessionError> {
        // Whoever still uses the client, or blocks the runtime it was used in, does not keep us.
        close(&self.0.client.on_new_connections(), &self.0.journal, &self.0.head).await
    }

    /// Leaves everything as it is, also for its clones: the journal stays, for whoever sets it back.
    pub(super) async fn leave(self) {
        self.0.journal.end();
        self.0.client.on_new_connections().log_out().await;
    }

    /// Sets back what a session left that is over, with `client`.
    ///
    /// # Errors
    /// As for [`close`](Self::close).
    pub async fn recover(client: &Client, found: &Found) -> Result<Undone, SessionError> {
        let journal = Journal::resume(found)
            .map_err(|source| SessionError::Journal { folder: found.path.clone(), source })?;
        close(client, &journal, &found.head).await
    }

    /// What another session needs to go on as this one; without machines, which it does not know.
    pub(super) async fn saved(&self) -> SavedSession {
        let standing = self.0.journal.standing().into_iter().rev().map(|(_, undo)| undo).collect();
        let (prefix, leased) = (self.0.head.prefix.clone(), self.leased().await);
        SavedSession { prefix, leased, standing, machines: BTreeMap::new() }
    }

    /// Goes on as another session that had the same prefix: what that one did is undone when this one closes.
    pub(super) async fn go_on_as(&self, saved: SavedSession) -> Result<(), CvpError> {
        saved.standing.into_iter().try_for_each(|undo| self.about(undo))?;
        self.set_leased(saved.leased).await;
        Ok(())
    }

    /// What is leased.
    pub(super) async fn leased(&self) -> HashSet<String> {
        self.0.leased.lock().await.clone()
    }

    /// Says what is leased, after the portal went back.
    pub(super) async fn set_leased(&self, leased: HashSet<String>) {
        *self.0.leased.lock().await = leased;
    }

    pub(super) fn about(&self, undo: Undo) -> Result<(), CvpError> {
        self.0.journal.about(undo).map(drop).map_err(|error| CvpError::Journal(Arc::new(error)))
    }

    /// What an assignment came to that makes tasks for these devices, which are leased. Where its answer was lost, that is
    /// looked up: it is asked for again, which does nothing where it was done, and its tasks are those that nobody else can
    /// have made.
    pub(super) async fn surely<F>(
        &self,
        devices: &[&str],
        assign: impl Fn() -> F,
    ) -> Result<Vec<TaskId>, CvpError>
    where
        F: Future<Output = Result<Vec<TaskId>, CvpError>>,
    {
        match assign().await {
            Err(lost) if lost.may_have_happened() => {
                tracing::info!(target: "polder", "{lost}; it is looked up");
                let mut tasks = assign().await?;
                let mut ours = lease::tasks(self.client(), devices).await?;
                ours.retain(|task| task.state == TaskState::Pending && !tasks.contains(&task.id));
                tasks.extend(ours.into_iter().map(|task| task.id));
                Ok(tasks)
            }
            other => other,
        }
    }

    /// Makes sure that nobody else changes these devices.
    pub(super) async fn lease_devices(&self, devices: &[Device]) -> Result<(), CvpError> {
        // In one order for everybody: nobody waits for one who waits for him.
        let mut devices: Vec<&Device> = devices.iter().collect();
        devices.sort_by_key(|device| &device.mac);
        for device in devices {
            self.lease(&device.mac, device.name()).await?;
        }
        Ok(())
    }

    /// The same for a container, unless it is the session's own, which nobody else knows.
    pub(super) async fn lease_container(&self, container: &Container) -> Result<(), CvpError> {
        if container.name.starts_with(&self.0.head.prefix) {
            return Ok(());
        }
        self.lease(&container.key, &format!("the container `{}`", container.name)).await
    }

    /// Makes sure that nobody else changes a device, by its MAC address, or a container or configlet, by its key.
    pub(super) async fn lease(&self, of: &str, shown: &str) -> Result<(), CvpError> {
        let Inner { client, journal, lease, leased, .. } = &*self.0;
        let mut leased = leased.lock().await;
        if leased.contains(of) {
            return Ok(());
        }
        // Written before it is taken: one that was not taken is another session's, and is looked at before it goes.
        let number = journal
            .about(Undo::EndLease { of: of.to_owned(), by: lease.clone() })
            .map_err(|error| CvpError::Journal(Arc::new(error)))?;
        if let Err(error) = lease::take(client, of, shown, lease, LEASE).await {
            if !error.may_have_happened() {
                let _ = journal.undone(number);
            }
            return Err(error);
        }
        leased.insert(of.to_owned());
        Ok(())
    }
}

async fn close(client: &Client, journal: &Journal, head: &Head) -> Result<Undone, SessionError> {
    let error = |source| SessionError::Journal { folder: journal.path().to_owned(), source };
    journal.end();
    let mut undone = undo::undo(client, journal, RUN).await.map_err(error)?;
    let leaked = undo::leaks(client, head, &undone.left).await;
    client.log_out().await;
    if undone.left.is_empty() || head.is_embedded {
        journal.remove().map_err(error)?;
    } else {
        undone.hint = "; `polder gc` tries again";
    }
    match leaked {
        Ok(leaked) => undone.leaked = leaked,
        // That it cannot be looked for any more is no news then.
        Err(_) if !undone.left.is_empty() => {}
        Err(error) => return Err(error.into()),
    }
    if undone.is_whole() { Ok(undone) } else { Err(SessionError::Left(undone)) }
}

fn progress(change: &ChangeControl) {
    tracing::info!(target: "polder", "change control {}: {}", change.name, change.progress());
}
