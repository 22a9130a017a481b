//! The init file: from text with spans to [`EnvSpec`], every problem at once.
//! Knows no addresses, paths of a lab, or libvirt words.
//!
//! A text becomes a tree (`parse`), trees of included files are laid under it (`include`, `merge`), the file's own
//! variables are replaced (`variables`), the tree is held against the table of keys (`keys`, `shape`), machines get what
//! their prototypes have (`prototype`), entries become values (`domain`, `nic`, `disk`, `network`), and these are held
//! against one another (`check`). [`schema`] shows the table to editors.

mod check;
mod diagnostic;
mod disk;
mod domain;
mod expand;
mod files;
mod fuzz;
mod include;
mod keys;
mod load;
mod merge;
mod network;
mod nic;
mod options;
mod parse;
mod problems;
mod prototype;
mod reader;
mod schema;
mod shape;
pub mod spec;
mod subnet;
mod table;
#[cfg(test)]
mod tests;
mod variables;

pub use diagnostic::{Diagnostic, InitFileError, Severity, render};
pub(crate) use expand::size;
pub use fuzz::fuzz_text;
pub use load::{load, load_text, parse};
pub use options::{Loaded, Options, Surroundings};
pub(crate) use parse::{Node, Value, tree};
pub(crate) use problems::{Problems, Span};
pub(crate) use reader::{Fields, entries, items, text};
pub use schema::schema;
pub(crate) use shape::{listed, object, shown, suggest};
pub use spec::EnvSpec;
pub(crate) use table::{Key, Kind, Mapping};
