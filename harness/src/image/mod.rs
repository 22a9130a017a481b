//! Guest images: recipes, their builder and the cache. Knows no labs, nets or libvirt.

pub mod info;

pub use info::{Abilities, Ability, ImageInfo};
