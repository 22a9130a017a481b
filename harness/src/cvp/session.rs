//! A suite's session at a portal: everything it makes has the suite's prefix, everything it changes is written down before
//! and set back when it closes, and what cannot have a prefix is leased.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::Mutex;

use super::{
    change_control::{Change, ChangeControl},
    client::Client,
    configlet::Configlet,
    error::CvpError,
    inventory::{Container, Device},
    journal::{Found, Head, Journal, Undo},
    lease::{self, Lease},
    task::TaskId,
    undo::{Undone, undo},
};
use crate::base::owner::Owner;

/// How long a device's task or a change control may take, where nothing else is said.
pub const RUN: Duration = Duration::from_secs(600);
/// How long somebody else's lease is waited for.
const LEASE: Duration = Duration::from_secs(120);

/// A suite's session.
#[derive(Debug)]
pub struct Cvp {
    client: Client,
    journal: Journal,
    lease: Lease,
    /// Devices and containers that are leased; held while one is taken.
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
    /// Something could not be set back; [`Cvp::recover`] tries again.
    #[error("cannot set back everything at the portal: {}", left(.0))]
    Left(Undone),
}

fn left(undone: &Undone) -> String {
    undone.left.iter().map(|(undo, why)| format!("cannot {undo}: {why}")).collect::<Vec<_>>().join("; ")
}

impl Cvp {
    /// Begins a session: logs in, and opens its journal in `folder`. `prefix` begins the names of everything it makes.
    ///
    /// # Errors
    /// [`SessionError::Journal`]; no node lets us in.
    pub async fn begin(
        client: Client,
        prefix: &str,
        folder: &Path,
        is_embedded: bool,
    ) -> Result<Self, SessionError> {
        let error = |source| SessionError::Journal { folder: folder.to_owned(), source };
        client.log_in().await?;
        let owner = Owner::current().map_err(error)?;
        let head = Head {
            nodes: client.spec().nodes.iter().map(ToString::to_string).collect(),
            user: client.spec().login.user().map(str::to_owned),
            prefix: prefix.to_owned(),
            owner: owner.clone(),
            is_embedded,
        };
        let journal = Journal::create(folder, head).map_err(error)?;
        let lease = Lease { prefix: prefix.to_owned(), owner };
        Ok(Self { client, journal, lease, leased: Mutex::default() })
    }

    /// The client: what is done with it directly is not set back by anybody.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The name the session's thing called `name` has at the portal.
    #[must_use]
    pub fn named(&self, name: &str) -> String {
        format!("{}{name}", self.lease.prefix)
    }

    /// A configlet of the session's own, to be made or updated, and put on devices.
    pub fn configlet(&self, name: &str) -> Draft<'_> {
        Draft { cvp: self, name: self.named(name), text: None, devices: Vec::new(), limit: RUN }
    }

    /// The device of this host name, fqdn, serial number, MAC or address.
    ///
    /// # Errors
    /// There is none, or more than one; the portal cannot be asked.
    pub async fn device(&self, name: &str) -> Result<Device, CvpError> {
        Ok(self.client.inventory().await?.device(name)?.clone())
    }

    /// Makes a container below the one called `parent`.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn add_container(&self, name: &str, parent: &str) -> Result<Container, CvpError> {
        let name = self.named(name);
        let parent = self.client.inventory().await?.container(parent)?.clone();
        self.about(Undo::DeleteContainer { name: name.clone() })?;
        self.client.add_container(&name, &parent).await
    }

    /// Moves a device into a container, and executes the task of it.
    ///
    /// # Errors
    /// Somebody else has the device; its task fails; the portal cannot be asked, or refuses.
    pub async fn move_device(&self, device: &str, container: &str) -> Result<(), CvpError> {
        let inventory = self.client.inventory().await?;
        let (device, container) = (inventory.device(device)?, inventory.container(container)?);
        self.lease(&device.mac, device.name()).await?;
        self.about(Undo::MoveBack { device: device.mac.clone(), container: device.container.clone() })?;
        let tasks = self.client.move_device(device, container).await?;
        self.client.run_tasks(&tasks, RUN, |_| {}).await.map(drop)
    }

    /// Makes a change control of the session's own for these tasks, approves it, starts it and waits for its end.
    ///
    /// # Errors
    /// A stage fails; the portal cannot be asked, or refuses.
    pub async fn run_change(&self, change: Change, limit: Duration) -> Result<ChangeControl, CvpError> {
        let change = Change { name: self.named(&change.name), ..change };
        self.run_named(change, limit).await
    }

    async fn run_named(&self, change: Change, limit: Duration) -> Result<ChangeControl, CvpError> {
        self.about(Undo::DeleteChange { id: change.id.clone() })?;
        let id = self.client.create_change(&change).await?;
        if id != change.id {
            self.about(Undo::DeleteChange { id: id.clone() })?;
        }
        self.client.run_change(&id, limit, progress).await
    }

    /// Ends the session: what it did is set back, newest first.
    ///
    /// # Errors
    /// [`SessionError::Left`] with what could not be set back: it stays in the journal, and
    /// [`recover`](Self::recover) tries again.
    pub async fn close(self) -> Result<Undone, SessionError> {
        let Self { client, journal, .. } = self;
        close(&client, journal).await
    }

    /// Sets back what a session left that is over, with `client`.
    ///
    /// # Errors
    /// As for [`close`](Self::close).
    pub async fn recover(client: &Client, found: &Found) -> Result<Undone, SessionError> {
        let journal = Journal::resume(found)
            .map_err(|source| SessionError::Journal { folder: found.path.clone(), source })?;
        close(client, journal).await
    }

    fn about(&self, undo: Undo) -> Result<(), CvpError> {
        self.journal.about(undo).map(drop).map_err(|error| CvpError::Journal(std::sync::Arc::new(error)))
    }

    /// Makes sure that nobody else changes a device, by its MAC address, or a container, by its key.
    async fn lease(&self, of: &str, shown: &str) -> Result<(), CvpError> {
        let mut leased = self.leased.lock().await;
        if leased.contains(of) {
            return Ok(());
        }
        // Written before it is taken: one that was not taken is another session's, and is looked at before it goes.
        let number = self
            .journal
            .about(Undo::EndLease { of: of.to_owned(), since: lease::now(), by: self.lease.clone() })
            .map_err(|error| CvpError::Journal(std::sync::Arc::new(error)))?;
        if let Err(error) = lease::take(&self.client, of, shown, &self.lease, LEASE).await {
            if !error.may_have_happened() {
                let _ = self.journal.undone(number);
            }
            return Err(error);
        }
        leased.insert(of.to_owned());
        Ok(())
    }
}

async fn close(client: &Client, journal: Journal) -> Result<Undone, SessionError> {
    let folder = journal.path().to_owned();
    let error = |source| SessionError::Journal { folder: folder.clone(), source };
    let undone = undo(client, &journal, RUN).await.map_err(error)?;
    client.log_out().await;
    if !undone.left.is_empty() {
        return Err(SessionError::Left(undone));
    }
    journal.close().map_err(error)?;
    Ok(undone)
}

fn progress(change: &ChangeControl) {
    tracing::info!(target: "polder", "change control {}: {}", change.name, change.progress());
}

/// A configlet on its way to devices.
#[derive(Debug)]
#[must_use = "nothing is done before `make` or `deploy`"]
pub struct Draft<'a> {
    cvp: &'a Cvp,
    name: String,
    text: Option<String>,
    devices: Vec<String>,
    limit: Duration,
}

/// What a deployment came to.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The configlet.
    pub configlet: Configlet,
    /// The tasks that were executed; none where everything ran already.
    pub tasks: Vec<TaskId>,
    /// The change control they were executed by.
    pub change: Option<ChangeControl>,
}

impl Draft<'_> {
    /// Its text.
    pub fn content(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Devices that shall hold it, further ones with each call: by host name, fqdn, serial number, MAC or address.
    pub fn on<S: ToString>(mut self, devices: impl IntoIterator<Item = S>) -> Self {
        self.devices.extend(devices.into_iter().map(|device| device.to_string()));
        self
    }

    /// How long its change control may take.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes it, or gives it the text; the devices that hold it get tasks, which nobody executes yet.
    ///
    /// # Errors
    /// The portal cannot be asked, or refuses.
    pub async fn make(&self) -> Result<(Configlet, Vec<TaskId>), CvpError> {
        let client = &self.cvp.client;
        match (client.configlet(&self.name).await?, &self.text) {
            (None, text) => {
                self.cvp.about(Undo::DeleteConfiglet { name: self.name.clone() })?;
                let text = text.as_deref().unwrap_or_default();
                Ok((client.add_configlet(&self.name, text).await?, Vec::new()))
            }
            (Some(there), Some(text)) if there.text != *text => {
                let tasks = client.update_configlet(&there.key, &self.name, text).await?;
                Ok((Configlet { text: text.clone(), ..there }, tasks))
            }
            (Some(there), _) => Ok((there, Vec::new())),
        }
    }

    /// Makes it or gives it the text, puts it on the devices, makes a change control of the tasks, approves it, runs it, and
    /// checks that the devices are in sync afterwards.
    ///
    /// # Errors
    /// A name is of no device, all of them at once and before anything is changed; somebody else has a device; a task fails; a
    /// device is not in sync; the portal cannot be asked, or refuses.
    pub async fn deploy(self) -> Result<Deployed, CvpError> {
        let (cvp, client) = (self.cvp, &self.cvp.client);
        let devices = client.inventory().await?.named(&self.devices)?;
        for device in &devices {
            cvp.lease(&device.mac, device.name()).await?;
        }
        let (configlet, mut tasks) = self.make().await?;
        for device in &devices {
            let held = client.held_by_device(&device.mac).await?;
            let before = held.own().map(|one| one.name.clone()).collect();
            cvp.about(Undo::RestoreDevice { device: device.mac.clone(), configlets: before })?;
            tasks.extend(client.put_on_device(device, std::slice::from_ref(&configlet)).await?);
        }
        let change = if tasks.is_empty() {
            None
        } else {
            let change = Change::new(&configlet.name).parallel(tasks.iter().cloned());
            Some(cvp.run_named(change, self.limit).await?)
        };
        let mut bad = Vec::new();
        for device in &devices {
            let code = client.compliance(&device.mac).await?;
            if !code.is_in_sync() {
                bad.push(CvpError::NotInSync { device: device.name().to_owned(), code });
            }
        }
        match bad.len() {
            0 => Ok(Deployed { configlet, tasks, change }),
            1 => Err(bad.remove(0)),
            _ => Err(CvpError::Many(bad)),
        }
    }
}
