//! Job files: lists of what is to be done at a portal, as people write them for Arista's configlet uploader, done in order
//! and with an honest end. [`JobFile::load`] reads one, [`JobFile::plan`] holds it against a portal without changing
//! anything, [`Run::jobs`] does it.
//!
//! A text becomes jobs with places (`parse`, by the keys of `table`), jobs become a plan against what the portal has (`plan`,
//! `view`), a plan is shown (`show`) or done (`exec`, `pace`). Beside it, what people do without a file: `pending` tasks are
//! executed, configlets are kept in a folder (`backup`).

mod backup;
mod clock;
mod exec;
mod file;
mod pace;
mod parse;
mod pending;
mod plan;
mod report;
mod show;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub use backup::{BackedUp, BackupError, backup};
pub use clock::zone;
pub use exec::Run;
pub use file::{JobFile, JobsError};
pub use parse::Defaults;
pub use plan::Plan;
pub use report::{DeviceReport, DeviceResult, JobEvent, JobReport, Outcome, Report};
