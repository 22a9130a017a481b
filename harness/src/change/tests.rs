//! What many parts do together.

mod decisions;
mod engine;
mod files;
mod orders;
mod problems;
