//! What a run leaves and shows: events folded into counts, lines for people, lines for programs, files.
//! Does not know what runs; events are all it sees.

pub(crate) mod changes;
pub(crate) mod json;
pub(crate) mod model;
pub(crate) mod retention;
pub(crate) mod sink;
pub(crate) mod term;

pub use sink::output_root;
