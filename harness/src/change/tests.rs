//! What many parts do together.

mod files;
mod orders;
mod problems;
