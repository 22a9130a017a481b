//! Ordered, nestable, reversible changes of many devices: what they are, before anything is done.
//!
//! A file (`docs/changes.md`) becomes a tree with places, YAML and JSON as they are and ModiPy's XML put into the same words
//! (`xml`; `yaml` writes that out). A tree becomes [`Changes`] (`table`, `read`, `phases`, `csv`), which are held against one
//! another (`check`) and made a [`Plan`] by [`plan`](plan::plan()): who runs when (`order`), on which devices, with which
//! values of variables (`scope`); `select`, `seed` and `strict` take a part of it, another order, or nothing that looks like
//! success without work. What becomes of one when it runs is a [`State`]. Conditions are in [`cond`]. Nothing in
//! this module changes a device.

mod check;
pub mod cond;
mod csv;
mod desk;
mod drive;
pub mod driver;
mod exec;
mod file;
mod gate;
mod heard;
mod journal;
mod kind;
mod mock;
pub mod model;
mod null;
mod operator;
mod options;
mod order;
mod phases;
pub mod plan;
mod read;
mod run;
mod scope;
mod secret;
mod seed;
mod select;
mod state;
mod state_machine;
mod strict;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod xml;
mod yaml;

pub use driver::{Driver, DriverError, Drivers, Request, Said, Session, Target};
pub use exec::{RunError, Runner, Settings};
pub use file::{ChangeFileError, Given, Loaded, load, parse, to_yaml};
pub(crate) use heard::Heard;
pub(crate) use journal::TRANSCRIPT;
pub use journal::{Head, Journal, JournalError, Recorded, run_folder, run_folders};
pub use mock::{Mock, Seen};
pub use model::Changes;
pub use null::Null;
pub use operator::{
    Alert, Alerts, Answer, Ask, Authorizer, Clock, Heed, LogAlerts, NoProgress, Operator, Progress, Question,
    SystemClock,
};
pub use plan::{Plan, PlanError, plan};
pub(crate) use scope::is_reserved;
pub use secret::Secrets;
pub use state::State;
pub use state_machine::{
    Act, DeviceReport, Entry, Failure, Key, Kind, Machine, Outcome, Place, Record, Report, StepReport, Way,
};
pub use text::{BadPercent, Text, Unresolved, Values, Vars};
