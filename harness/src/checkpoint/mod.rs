//! Checkpoints: states of whole environments that outlast the process that made them. `key` says what a state came from,
//! `store` keeps files under such keys, which `draft` puts there; `damage` finds out what became of entries, `content` of
//! what is in their files. Knows no plans and no labs: `env` hands over finished values.

mod content;
mod damage;
mod draft;
pub mod key;
mod store;
#[cfg(test)]
mod tests;

pub use content::sum;
pub use damage::Damage;
pub use damage::Manifest;
pub use damage::Sum;
pub use draft::Draft;
pub use key::Ingredients;
pub use key::Key;
pub use key::Level;
pub use store::CheckpointError;
pub use store::Entry;
pub use store::Found;
pub use store::Listed;
pub use store::Pruned;
pub use store::Store;
