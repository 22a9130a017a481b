//! Ordered, nestable, reversible changes of many devices: what they are, before anything is done.

pub mod cond;
mod text;

pub use text::{BadPercent, Text, Unresolved, Values, Vars};
