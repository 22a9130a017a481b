//! A configlet on its way to devices and containers, or off them: leases, journal, tasks, change control and proof, in the
//! order in which each can be undone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    change_control::{Change, ChangeControl},
    configlet::Configlet,
    error::CvpError,
    inventory::{Container, Device, Inventory},
    journal::Undo,
    provisioning::Held,
    session::{Cvp, RUN},
    task::TaskId,
};

/// A configlet on its way to devices and containers, or off them.
#[derive(Debug)]
#[must_use = "nothing is done before `make`, `deploy` or `remove`"]
pub struct Draft<'a> {
    cvp: &'a Cvp,
    name: String,
    /// Whether the session makes it.
    is_own: bool,
    text: Option<String>,
    devices: Vec<String>,
    containers: Vec<String>,
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

/// Where it goes, or from where.
struct Targets {
    devices: Vec<Device>,
    /// With the devices in them and below.
    containers: Vec<(Container, Vec<Device>)>,
}

impl Targets {
    /// Every device that is concerned, each once.
    fn all(&self) -> Vec<Device> {
        let below = self.containers.iter().flat_map(|(_, below)| below);
        let by_mac: BTreeMap<&str, &Device> =
            self.devices.iter().chain(below).map(|device| (device.mac.as_str(), device)).collect();
        by_mac.into_values().cloned().collect()
    }
}

/// What is done to each target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    PutOn,
    TakeOff,
}

impl<'a> Draft<'a> {
    pub(super) fn own(cvp: &'a Cvp, name: String) -> Self {
        let (devices, containers) = (Vec::new(), Vec::new());
        Self { cvp, name, is_own: true, text: None, devices, containers, limit: RUN }
    }

    pub(super) fn existing(cvp: &'a Cvp, name: String) -> Self {
        Self { is_own: false, ..Self::own(cvp, name) }
    }

    /// Its text.
    pub fn content(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Devices, further ones with each call: by host name, fqdn, serial number, MAC or address.
    pub fn on<S: ToString>(mut self, devices: impl IntoIterator<Item = S>) -> Self {
        self.devices.extend(devices.into_iter().map(|device| device.to_string()));
        self
    }

    /// Containers, further ones with each call, by name; all devices in them and below hold it then. While the session has
    /// it there, it leases the containers and these devices.
    pub fn on_containers<S: ToString>(mut self, containers: impl IntoIterator<Item = S>) -> Self {
        self.containers.extend(containers.into_iter().map(|container| container.to_string()));
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
    /// An existing one is not there; somebody else has it or one of its devices; the portal cannot be asked, or refuses.
    pub async fn make(&self) -> Result<(Configlet, Vec<TaskId>), CvpError> {
        let (cvp, client) = (self.cvp, self.cvp.client());
        let there = match self.is_own {
            true => client.configlet(&self.name).await?,
            false => Some(self.borrow().await?),
        };
        match (there, &self.text) {
            (None, text) => {
                cvp.about(Undo::DeleteConfiglet { name: self.name.clone() })?;
                let text = text.as_deref().unwrap_or_default();
                Ok((client.add_configlet(&self.name, text).await?, Vec::new()))
            }
            (Some(there), Some(text)) if there.text != *text => {
                let devices = client.devices_with(&there).await?;
                if !self.is_own {
                    cvp.lease_devices(&devices).await?;
                    let (name, text) = (self.name.clone(), there.text.clone());
                    cvp.about(Undo::RestoreConfiglet { name, text })?;
                }
                let macs: Vec<&str> = devices.iter().map(|device| device.mac.as_str()).collect();
                let update = || client.update_configlet(&there.key, &self.name, text);
                let tasks = cvp.surely(&macs, update).await?;
                Ok((Configlet { text: text.clone(), ..there }, tasks))
            }
            (Some(there), _) => Ok((there, Vec::new())),
        }
    }

    /// An existing one, as it is when nobody else changes it any more, where it is to get a text.
    async fn borrow(&self) -> Result<Configlet, CvpError> {
        let client = self.cvp.client();
        let there = client.existing_configlet(&self.name).await?;
        if self.text.is_none() {
            return Ok(there);
        }
        self.cvp.lease(&there.key, &format!("the configlet `{there}`")).await?;
        client.existing_configlet(&self.name).await
    }

    /// Makes it or gives it the text, puts it on the devices and containers, makes a change control of the tasks, approves it,
    /// runs it, and checks that the devices are in sync afterwards.
    ///
    /// # Errors
    /// A name is of no device or container, all of them at once and before anything is changed; somebody else has one; a task
    /// fails; a device is not in sync; the portal cannot be asked, or refuses.
    pub async fn deploy(self) -> Result<Deployed, CvpError> {
        let targets = self.targets().await?;
        self.lease(&targets).await?;
        let (configlet, tasks) = self.make().await?;
        let tasks = self.assign(Way::PutOn, &targets, &configlet, tasks).await?;
        self.run(&targets.all(), configlet, tasks).await
    }

    /// Takes it off the devices and containers, executes the tasks as [`deploy`](Self::deploy) does, and checks that the
    /// devices are in sync afterwards. What does not hold it stays as it is; its text does not matter.
    ///
    /// # Errors
    /// It is not there; otherwise as for [`deploy`](Self::deploy).
    pub async fn remove(self) -> Result<Deployed, CvpError> {
        let targets = self.targets().await?;
        let configlet = self.cvp.client().existing_configlet(&self.name).await?;
        self.lease(&targets).await?;
        let tasks = self.assign(Way::TakeOff, &targets, &configlet, Vec::new()).await?;
        self.run(&targets.all(), configlet, tasks).await
    }

    async fn targets(&self) -> Result<Targets, CvpError> {
        let inventory: Inventory = self.cvp.client().inventory().await?;
        let mut wrong = Vec::new();
        let devices = inventory.named(&self.devices).map_err(|error| wrong.push(error)).unwrap_or_default();
        let mut containers = Vec::new();
        for name in &self.containers {
            match inventory.container(name) {
                Ok(one) => containers.push((one.clone(), inventory.below(&one.key).cloned().collect())),
                Err(error) => wrong.push(error),
            }
        }
        match wrong.len() {
            0 => Ok(Targets { devices, containers }),
            1 => Err(wrong.remove(0)),
            _ => Err(CvpError::Several(wrong)),
        }
    }

    async fn lease(&self, targets: &Targets) -> Result<(), CvpError> {
        for (container, _) in &targets.containers {
            self.cvp.lease_container(container).await?;
        }
        self.cvp.lease_devices(&targets.all()).await
    }

    /// Puts it there, or takes it off; returns the tasks that wait for execution then, each once.
    async fn assign(
        &self,
        way: Way,
        targets: &Targets,
        configlet: &Configlet,
        mut tasks: Vec<TaskId>,
    ) -> Result<Vec<TaskId>, CvpError> {
        let (cvp, client) = (self.cvp, self.cvp.client());
        let one = std::slice::from_ref(configlet);
        let before = |held: &Held| held.own().map(|one| one.name.clone()).collect();
        for device in &targets.devices {
            let configlets = before(&client.held_by_device(&device.mac).await?);
            cvp.about(Undo::RestoreDevice { device: device.mac.clone(), configlets })?;
            let assign = async || match way {
                Way::PutOn => client.put_on_device(device, one).await,
                Way::TakeOff => client.take_off_device(device, one).await,
            };
            tasks.extend(cvp.surely(&[&device.mac], assign).await?);
        }
        for (container, below) in &targets.containers {
            let configlets = before(&client.held_by_container(&container.key).await?);
            cvp.about(Undo::RestoreContainer { container: container.name.clone(), configlets })?;
            let macs: Vec<&str> = below.iter().map(|device| device.mac.as_str()).collect();
            let assign = async || match way {
                Way::PutOn => client.put_on_container(container, one).await,
                Way::TakeOff => client.take_off_container(container, one).await,
            };
            tasks.extend(cvp.surely(&macs, assign).await?);
        }
        tasks.sort();
        tasks.dedup();
        Ok(tasks)
    }

    async fn run(
        &self,
        devices: &[Device],
        configlet: Configlet,
        tasks: Vec<TaskId>,
    ) -> Result<Deployed, CvpError> {
        let name = if self.is_own { self.name.clone() } else { self.cvp.named(&self.name) };
        let change = self.cvp.run_tasks(name, &tasks, self.limit).await?;
        self.cvp.all_in_sync(devices).await?;
        Ok(Deployed { configlet, tasks, change })
    }
}

impl Cvp {
    /// Deploys several configlets by one change control, in which their devices are configured side by side. A device that gets
    /// several of them has a task for each. Otherwise as [`Draft::deploy`].
    ///
    /// # Errors
    /// As [`Draft::deploy`]; nothing is changed unless all names are of devices and containers.
    pub async fn deploy<'a>(
        &self,
        drafts: impl IntoIterator<Item = Draft<'a>>,
    ) -> Result<Option<ChangeControl>, CvpError> {
        let mut orders = Vec::new();
        for draft in drafts {
            orders.push((draft.targets().await?, draft));
        }
        for (targets, draft) in &orders {
            draft.lease(targets).await?;
        }
        let (mut tasks, mut devices) = (BTreeSet::new(), BTreeMap::new());
        let mut limit = Duration::ZERO;
        for (targets, draft) in &orders {
            let (configlet, made) = draft.make().await?;
            tasks.extend(draft.assign(Way::PutOn, targets, &configlet, made).await?);
            devices.extend(targets.all().into_iter().map(|device| (device.mac.clone(), device)));
            limit = limit.max(draft.limit);
        }
        let tasks: Vec<TaskId> = tasks.into_iter().collect();
        let change = self.run_tasks(self.named("deploy"), &tasks, limit).await?;
        let devices: Vec<Device> = devices.into_values().collect();
        self.all_in_sync(&devices).await?;
        Ok(change)
    }

    /// Executes tasks side by side in a change control; none where there are none.
    async fn run_tasks(
        &self,
        name: String,
        tasks: &[TaskId],
        limit: Duration,
    ) -> Result<Option<ChangeControl>, CvpError> {
        match tasks.is_empty() {
            true => Ok(None),
            false => {
                let change = Change::new(name).parallel(tasks.iter().cloned());
                Ok(Some(self.run_named(change, limit).await?))
            }
        }
    }

    async fn all_in_sync(&self, devices: &[Device]) -> Result<(), CvpError> {
        let codes =
            self.client().compliances(devices.iter().map(|device| device.mac.clone()).collect()).await?;
        let behind = devices.iter().zip(codes).filter(|(_, code)| !code.is_in_sync());
        let mut bad: Vec<CvpError> = behind
            .map(|(device, code)| CvpError::NotInSync { device: device.name().to_owned(), code })
            .collect();
        match bad.len() {
            0 => Ok(()),
            1 => Err(bad.remove(0)),
            _ => Err(CvpError::Many(bad)),
        }
    }
}
