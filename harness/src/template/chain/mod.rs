//! Chains of images: what an image is and lies on, down to the last file.

pub(super) mod qemu;

mod ensure;
mod model;

pub use model::{Backing, ImageInfo, Link};
