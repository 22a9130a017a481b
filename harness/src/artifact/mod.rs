//! Collects what a failure leaves, best effort, and says in a manifest what could not be had.
//! Gets what to fetch as values; knows no guests, labs or suites.

mod collect;
mod item;

pub use collect::collect;
pub use item::Entry;
pub use item::Fetch;
pub use item::Fetched;
pub use item::Item;
pub use item::Manifest;
