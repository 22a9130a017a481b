//! The book in `docs/`, and the pages beside it: everything it says that can be checked is. `POLDER_BLESS=1` (`cargo ci docs --write`)
//! writes the pages and pictures that are made from code.

pub(crate) mod blocks;
pub(crate) mod crates;
mod lines;
pub(crate) mod markdown;
mod messages;
pub(crate) mod picture;
mod reference;
pub(crate) mod session;
mod structure;
mod tables;
