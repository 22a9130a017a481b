//! Ordered, nestable, reversible changes of many devices: what they are, before anything is done.
//!
//! Changes ([`Changes`]) are put together in code or come from a file, name one another and devices, and are made a [`Plan`]
//! by [`plan`]: who runs when (`order`), on which devices, with which values of variables (`scope`). Conditions are in
//! [`cond`]. Nothing in this module changes a device.

pub mod cond;
pub mod model;
mod order;
pub mod plan;
mod scope;
#[cfg(test)]
mod tests;
mod text;

pub use model::Changes;
pub use plan::{Plan, PlanError, plan};
pub use text::{BadPercent, Text, Unresolved, Values, Vars};
