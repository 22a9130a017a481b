//! Names for code the macros generate; not for people, no promise of stability.
pub use linkme;
