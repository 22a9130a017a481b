//! Packages for guests without internet: found in folders, files and mirrors, merged by priority, indexed, and served
//! over HTTP. Knows no environments: which address it is served at is said by whoever asks.
//!
//! ```text
//! source --read / mirror--> packages --merge--> one of each name --build--> <prefix>/repo/<name> with its index
//! ```

mod build;
mod deb;
mod error;
mod index;
mod merge;
mod mirror;
mod read;
mod rpm;
mod server;
mod spec;

pub use build::{Builder, Built};
pub use error::RepoError;
pub use server::Server;
pub use spec::{At, Format, Order, Package, Source};
