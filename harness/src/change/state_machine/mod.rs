//! What is to be done next, decided from what has happened and nothing else. What happens is a [`Record`]; records fold into
//! a view of every change, device and row (`view`), over the plan laid out by numbers (`layout`). [`Machine::next`] tells what
//! may begin now: phases of devices (`device`), devices of changes (`step`), members of scenarios, and what is undone when
//! something fails (`set`). The same records always lead to the same decisions, so a journal is all that a run needs to go
//! on after a crash. [`Report`] is what became of it all. Pure.

mod device;
mod layout;
mod record;
mod report;
mod set;
mod step;
mod view;
mod way;

pub use layout::Place;
pub use record::{Entry, Failure, Key, Kind, Outcome, Record, Way};
pub use report::{DeviceReport, Report, StepReport};
pub use set::{Act, Machine};
pub(super) use way::way;
