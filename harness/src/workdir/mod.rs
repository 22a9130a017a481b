//! Workdirs, the prefixes in them, and what lies in a prefix: where things are, who holds them, what was made.
//! Not what the documents in a prefix mean, and nothing that runs.
//!
//! A [`Workdir`] holds prefixes; a [`Prefix`] is one environment's folder; a [`LockedPrefix`] is the same while its
//! lock is held, and what needs the lock is a method of it. Prefixes made by Lago are read, too ([`lago`]).

mod error;
mod folder;
mod journal;
mod judge;
pub mod lago;
mod lock;
mod lookup;
pub mod paths;
mod prefix;
#[cfg(test)]
mod tests;

pub use error::WorkdirError;
pub use folder::Workdir;
pub use journal::Entry;
pub use journal::Journal;
pub use journal::Kind;
pub use journal::Record;
pub use journal::Step;
pub use journal::Thing;
pub use lock::Holder;
pub use lookup::Choice;
pub use prefix::LockedPrefix;
pub use prefix::Maker;
pub use prefix::Prefix;
pub use prefix::Protection;

/// Reads `bytes` as every kind of file a prefix has; nothing may come of it but values and errors.
#[doc(hidden)]
pub fn fuzz_state(bytes: &[u8]) {
    let _ = journal::parse(bytes);
    let _ = lock::parse(bytes);
    let _ = prefix::parse_protection(bytes);
    let _ = prefix::parse_uuid(bytes);
    lago::fuzz(bytes);
}
