//! Everything a portal knows, as one value: what is saved and loaded again.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{
    account::{Account, Token},
    change::ChangeControl,
    clock::{Clock, Ms},
    configlet::Configlet,
    container::{Container, ROOT, UNDEFINED},
    decommission::Decommissioning,
    device::Device,
    enrolment::Enrolment,
    image::{Bundle, Image},
    imitated::Imitated,
    job::Job,
    snapshot::{Snapshot, Template},
    task::Task,
    user::{Role, Session, User},
    workspace::{Assignment, Tag, Workspace},
};

/// How the portal behaves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The version it says it has, and whose ways it has.
    pub(crate) imitate: Imitated,
    /// What becomes of lines that devices run and no configlet has.
    pub(crate) unmanaged: Unmanaged,
    /// Whether devices refuse lines whose first word begins no command.
    pub(crate) validate: bool,
    /// After how long without a request a session ends, in milliseconds.
    pub(crate) idle: Ms,
    /// After how long it ends anyway, in milliseconds.
    pub(crate) age: Ms,
    /// Whether those whose roles only read are refused to change anything.
    pub(crate) enforce_roles: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            imitate: Imitated::default(),
            unmanaged: Unmanaged::Keep,
            validate: true,
            idle: 12 * 3_600_000,
            age: 24 * 3_600_000,
            enforce_roles: false,
        }
    }
}

/// What becomes of lines that a device runs and no configlet has, when its configuration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmanaged {
    /// Those it had from the beginning stay: no test wipes its own way to a device.
    Keep,
    /// All go, as with a real portal.
    Replace,
}

/// A line of what happened, for people.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: Ms,
    pub(crate) user: String,
    /// What it is about: a change control or a task.
    pub(crate) object: String,
    /// A part of it: a stage.
    pub(crate) part: String,
    pub(crate) text: String,
}

/// All a portal knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Model {
    /// Of the format of the file; looked at before anything else is read.
    #[serde(skip_serializing)]
    version: IgnoredAny,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) accounts: BTreeMap<String, Account>,
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) containers: BTreeMap<String, Container>,
    /// By MAC address.
    pub(crate) devices: BTreeMap<String, Device>,
    /// Devices that were removed, by MAC address: they run on, and may be added again.
    pub(crate) removed: BTreeMap<String, Device>,
    /// By key; later ones have greater keys.
    pub(crate) configlets: BTreeMap<String, Configlet>,
    /// Keys of configlets by their names.
    #[serde(skip)]
    pub(super) configlet_names: HashMap<String, String>,
    pub(crate) tasks: BTreeMap<u64, Task>,
    pub(crate) next_task: u64,
    pub(crate) changes: BTreeMap<String, ChangeControl>,
    pub(crate) templates: BTreeMap<String, Template>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) bundles: BTreeMap<String, Bundle>,
    pub(crate) workspaces: BTreeMap<String, Workspace>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) decommissionings: BTreeMap<String, Decommissioning>,
    pub(super) enrolments: Vec<Enrolment>,
    pub(crate) log: Vec<Entry>,
    /// A restart ends them.
    #[serde(skip)]
    pub(crate) sessions: BTreeMap<String, Session>,
    /// What is to be done outside.
    #[serde(skip)]
    pub(super) jobs: Vec<Job>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            version: IgnoredAny,
            settings: Settings::default(),
            clock: Clock::new([0; 32]),
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            accounts: BTreeMap::new(),
            tokens: BTreeMap::new(),
            containers: BTreeMap::new(),
            devices: BTreeMap::new(),
            removed: BTreeMap::new(),
            configlets: BTreeMap::new(),
            configlet_names: HashMap::new(),
            tasks: BTreeMap::new(),
            next_task: 1,
            changes: BTreeMap::new(),
            templates: BTreeMap::new(),
            snapshots: vec![],
            images: BTreeMap::new(),
            bundles: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            tags: vec![],
            assignments: vec![],
            decommissionings: BTreeMap::new(),
            enrolments: vec![],
            log: vec![],
            sessions: BTreeMap::new(),
            jobs: vec![],
        }
    }
}

impl Model {
    /// A portal with nothing but what every portal has. `secret` is what ids are made of.
    pub(crate) fn new(settings: Settings, secret: [u8; 32], now: Ms) -> Self {
        let mut model = Self { settings, ..Self::default() };
        model.adopt(secret, now);
        model
    }

    /// Makes whole what was loaded: what every portal has, passwords as digests, and what was being done goes on.
    pub(crate) fn adopt(&mut self, secret: [u8; 32], now: Ms) {
        self.clock.reseed(secret);
        self.clock.set(now);
        for (key, name, parent) in [(ROOT, "Tenant", ""), (UNDEFINED, "Undefined", ROOT)] {
            let at = self.clock.stamp();
            self.containers.entry(key.to_owned()).or_insert_with(|| Container {
                name: name.to_owned(),
                parent: parent.to_owned(),
                created_by: "cvp system".to_owned(),
                created_at: at,
                ..Container::default()
            });
        }
        for role in Role::built_in() {
            self.roles.entry(role.key.clone()).or_insert(role);
        }
        let names: Vec<String> = self.users.keys().cloned().collect();
        for name in names {
            let salt = self.clock.secret();
            if let Some(user) = self.users.get_mut(&name) {
                user.seal(&salt);
            }
        }
        let name = |(key, known): (&String, &Configlet)| (known.name.clone(), key.clone());
        self.configlet_names = self.configlets.iter().map(name).collect();
        for (mac, device) in self.devices.iter_mut().chain(&mut self.removed) {
            device.adopt(mac);
        }
        self.resume();
    }

    /// Goes back to what was known when `kept` was this. Who is logged in stays so, time does not run backwards, and what was
    /// being done then is done again.
    pub(crate) fn go_back(&mut self, kept: &Self) {
        let mut back = kept.clone();
        std::mem::swap(&mut back.clock, &mut self.clock);
        std::mem::swap(&mut back.sessions, &mut self.sessions);
        back.jobs.clear();
        *self = back;
        self.resume();
    }

    /// Writes down what happened.
    pub(super) fn note(&mut self, user: &str, object: &str, part: &str, text: impl Into<String>) {
        let at = self.clock.stamp();
        self.log.push(Entry {
            at,
            user: user.to_owned(),
            object: object.to_owned(),
            part: part.to_owned(),
            text: text.into(),
        });
    }

    /// What is to be done outside since this was asked last.
    pub(crate) fn take_jobs(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.jobs)
    }
}
