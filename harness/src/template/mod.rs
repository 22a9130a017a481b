//! Templates: versioned base images. Repositories list them, sources have them, the store keeps them ready for use.
//!
//! ```text
//! manifest (file or URL) --find--> source + handle --fetch--> download --unpack, hash--> image --convert--> store
//! ```
//!
//! Also the images on the way from there to a machine: chains of overlays, and archives other programs exported. Knows
//! no environments, and nothing of the guest images made from recipes.

mod error;
mod manifest;
mod progress;
mod source;
mod spec;

mod chain;
mod fetch;
mod files;
mod ova;
mod publish;
mod record;
mod repos;
mod store;
mod templates;
mod upkeep;

pub use chain::{Backing, ImageInfo, Link};
pub use error::{Fault, TemplateError};
pub(crate) use fetch::{Answer, Http};
pub(crate) use files::FileLock;
pub use manifest::{Manifest, SourceSpec, TemplateSpec, VersionSpec};
pub use ova::{Ova, OvaDisk};
pub use progress::{Meter, Progress, TemplateEvent, Transfer};
pub(crate) use publish::{Publication, beside, hash_beside};
pub use repos::{NewImage, RepoListed, Updated};
pub use source::{FetchCx, Lookup, SourceArgs, SourceFactory, TemplateSource};
pub use spec::{Limits, Metadata, Repo, TemplateDisk, TemplateId, User};
pub use templates::{Templates, TemplatesConfig};
pub use upkeep::{Listed, Pruned, Verdict, Verified};

#[cfg(test)]
pub(crate) mod tests;
