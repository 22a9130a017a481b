//! `polder schema`.

use crate::initfile;

/// The JSON Schema of init files.
pub(in crate::cli) fn run() -> String {
    format!("{:#}", initfile::schema())
}
