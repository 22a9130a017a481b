//! The `env` module.
