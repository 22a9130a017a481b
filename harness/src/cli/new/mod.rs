//! New suites: what `polder new` makes. From where one stands (`place`) and what is wanted comes a list of files (`plan`, with
//! texts from `suite` and `manifest` and the files beside them), and that is written at once or not at all (`write`).
//!
//! The recipes for CI services are those of `ci/recipes`, by links.

mod ci;
mod error;
mod manifest;
mod name;
mod place;
mod plan;
mod suite;
mod write;

pub(super) use ci::Ci;
pub(super) use error::NewError;
pub(super) use name::Name;
pub(super) use place::{Ground, Library, relative};
pub(super) use plan::{Wanted, plan};
pub(super) use suite::Described;
pub(super) use write::{Made, write};
