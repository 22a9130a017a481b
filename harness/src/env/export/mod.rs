//! Export: disks of machines that are off, as images that stand alone or on their templates, and an init file that
//! makes them machines again.

mod document;
mod exec;
mod plan;

pub use exec::{ExportOptions, Exported};
pub(super) use plan::IMAGE_KEY;
