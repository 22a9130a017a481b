//! From a checked init file, images and a lab's fixed places to everything that will be made. Pure.

mod check;
mod decide;
mod disk;
mod error;
mod files;
mod identity;
mod machine;
mod model;
mod moved;
mod show;
#[cfg(test)]
mod tests;
mod told;

pub use check::{Known, check};
pub(super) use decide::net_asks;
pub use decide::plan;
pub(in crate::env) use disk::unknown_image;
pub use error::{PlanError, PlanErrors};
pub use model::{
    Backing, Bootstrap, DiskPlan, EnvPlan, IdentityFrom, ImagePlan, LOCAL, LayerPlan, Login, MachinePlan,
    Made, PlanInputs, ROOT, SSH, TYPE, Warning,
};
