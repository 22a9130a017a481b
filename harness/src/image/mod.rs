//! Guest images: recipes, their builder and the cache. Knows no labs, nets or libvirt.

mod file;
pub mod info;
mod recipe;
mod recipes;

pub mod identity;
pub mod seed;

mod build;
mod error;
mod layer;
mod sources;
mod store;

#[cfg(test)]
mod tests;

pub use build::Progress;
pub use error::ImageError;
pub(crate) use identity::again;
pub use identity::{Address6, Identity, NicAddress, NicIdentity, User};
pub use info::{Abilities, Ability, ImageInfo, Unsupported};
pub use layer::layer_disk;
pub use recipe::{Content, GuestFile, Recipe, Userland};
pub use recipes::{recipe, recipes};
pub use seed::Seed;
pub use store::{ImageStore, Listed, Pruned, State};
