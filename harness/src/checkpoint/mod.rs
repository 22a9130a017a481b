//! Checkpoints: states of whole environments that outlast the process that made them. `key` says what a state came from,
//! `store` keeps files under such keys, `damage` finds out what became of them. Knows no plans and no labs: `env` hands over
//! finished values.

mod damage;
pub mod key;
mod store;
#[cfg(test)]
mod tests;

pub use damage::Damage;
pub use damage::Manifest;
pub use damage::Sum;
pub use damage::sum;
pub use key::Ingredients;
pub use key::Key;
pub use key::Level;
pub use store::CheckpointError;
pub use store::Draft;
pub use store::Entry;
pub use store::Found;
pub use store::Listed;
pub use store::Pruned;
pub use store::Store;
