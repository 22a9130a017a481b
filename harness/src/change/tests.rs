//! What many parts do together.

mod files;
mod order;
mod problems;
