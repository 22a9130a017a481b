//! Where in the source of whoever uses this crate a value was made, for errors that only come up where it is used.

use std::{fmt, panic::Location};

/// This file, as it is called in the source of this crate.
const HERE: &str = "base/place.rs";

/// A line of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(&'static Location<'static>);

impl Place {
    /// Where the caller was called from, if it is `#[track_caller]`.
    #[must_use]
    #[track_caller]
    pub fn of_caller() -> Self {
        Self(Location::caller())
    }

    /// Whether it is in this crate, and so of no help to anybody else.
    fn is_ours(self) -> bool {
        file!().strip_suffix(HERE).is_some_and(|root| self.0.file().starts_with(root))
    }
}

/// What follows an error: ` (FILE:LINE)`; nothing for places within this crate.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ours() { Ok(()) } else { write!(f, " ({}:{})", self.0.file(), self.0.line()) }
    }
}
