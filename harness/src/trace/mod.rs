//! The `trace` module.
