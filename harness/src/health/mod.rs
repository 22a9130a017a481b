//! What goes wrong in machines while nobody looks: how a journal tells it, and whom it is blamed on. The kernel's own words
//! are [`Trouble`](crate::event::Trouble)'s.
//!
//! Command lines out, answers in, as services are managed: who runs them and who is told is not known here.

pub mod journal;
mod model;

pub use model::Sighting;
pub use model::Tolerance;
pub use model::blame;
