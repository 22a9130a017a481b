//! The keys of jobs: what each kind of job may and has to say.

use crate::initfile::{Key, Kind, Mapping};

const NAME: Key = Key::new("name", Kind::Text, "What reports call it.");
const TYPE: Key = Key::new("type", Kind::Text, "`configlet`, `change-control` or `container`.").required();
const ACTION: Key = Key::new("action", Kind::Text, "What is done.").required();
const APPLY: Key = Key::new("apply", Kind::Bool, "Whether the tasks are executed now.");
const FILE: Key =
    Key::new("configlet", Kind::Text, "The file with the text; its name is the configlet's.").required();
const CONFIGLET: Key = Key::new("configlet", Kind::Text, "The configlet's name.").required();
const DEVICES: Key = Key::new("devices", Kind::Each(&Kind::Text), "Host names.");
const CONTAINER: Key = Key::new("container", Kind::Text, "The container's name.").required();

const fn job(of: &'static str, keys: &'static [Key]) -> Mapping {
    Mapping { name: "job", of, keys }
}

/// The types, each with its actions.
pub(super) const TYPES: &[(&str, &[(&str, &Mapping)])] = &[
    (
        "configlet",
        &[
            ("add", &ADD),
            ("update", &UPDATE),
            ("delete", &DELETE),
            ("add-devices", &ADD_DEVICES),
            ("remove-devices", &REMOVE_DEVICES),
        ],
    ),
    ("change-control", &[]),
    ("container", &[("create", &CREATE), ("destroy", &DESTROY), ("attach-device", &ATTACH)]),
];

static ADD: Mapping =
    job("a job that adds a configlet", &[NAME, TYPE, ACTION, FILE, DEVICES.required(), APPLY]);
static UPDATE: Mapping = job("a job that updates a configlet", &[NAME, TYPE, ACTION, FILE, DEVICES, APPLY]);
static DELETE: Mapping = job("a job that deletes a configlet", &[NAME, TYPE, ACTION, FILE, APPLY]);
static ADD_DEVICES: Mapping =
    job("a job that adds devices", &[NAME, TYPE, ACTION, CONFIGLET, DEVICES.required(), APPLY]);
static REMOVE_DEVICES: Mapping =
    job("a job that removes devices", &[NAME, TYPE, ACTION, CONFIGLET, DEVICES.required(), APPLY]);
static CREATE: Mapping = job(
    "a job that creates a container",
    &[NAME, TYPE, ACTION, CONTAINER, Key::new("parent", Kind::Text, "The container it is made in."), APPLY],
);
static DESTROY: Mapping = job("a job that destroys a container", &[NAME, TYPE, ACTION, CONTAINER, APPLY]);
static ATTACH: Mapping =
    job("a job that attaches devices", &[NAME, TYPE, ACTION, CONTAINER, DEVICES.required(), APPLY]);

/// How tasks are ordered: our words, and those of the uploader.
pub(super) const MODES: &[&str] = &["parallel", "serial", "linear", "incremental"];
/// Which tasks a change control executes.
pub(super) const TASKS: &[&str] = &["run", "pending"];

pub(super) static CHANGE: Mapping = job(
    "a change-control job",
    &[
        NAME,
        TYPE,
        APPLY,
        Key::new("schedule", Kind::Text, "When it starts by itself."),
        Key::new("schedule_at", Kind::Text, "The same."),
        Key::new("timezone", Kind::Text, "On whose clock."),
        Key::new("country", Kind::Text, "The country, as the oldest portals' page calls it."),
        Key::new("snapid", Kind::Default, "Key or name of a snapshot's template."),
        Key::new("mode", Kind::Word(MODES), "The order of the tasks."),
        Key::new("tasks", Kind::Word(TASKS), "Which tasks."),
        Key::new("stop_on_error", Kind::Bool, "Whether nothing more is begun after a task failed."),
    ],
);
