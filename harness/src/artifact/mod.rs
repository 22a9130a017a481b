//! Collects what a failure leaves, best effort, and says in a manifest what could not be had.
//! Gets what to fetch as values; knows no guests, labs or suites.

mod collect;
mod defaults;
mod item;
pub mod offline;

pub use collect::collect;
pub use defaults::Defaults;
pub use item::Entry;
pub use item::Fetch;
pub use item::Fetched;
pub use item::Fetching;
pub use item::Item;
pub use item::Manifest;
pub use item::Part;
