//! The init file: from text with spans to [`EnvSpec`], every problem at once.
//! Knows no addresses, paths of a lab, or libvirt words.

pub mod spec;

pub use spec::EnvSpec;
