//! What a run leaves and shows: events folded into counts, lines for people, lines for programs, files.
//! Does not know what runs; events are all it sees.

pub(crate) mod bundle;
pub(crate) mod changes;
pub(crate) mod ci;
pub(crate) mod digest;
mod frame;
pub(crate) mod json;
mod junit;
pub(crate) mod live;
pub(crate) mod model;
pub(crate) mod paint;
pub(crate) mod retention;
pub(crate) mod run;
pub(crate) mod sink;
mod tag;
pub(crate) mod term;
mod verbose;

pub use sink::output_root;
