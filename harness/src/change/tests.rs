//! What many parts do together.

mod decisions;
mod engine;
mod files;
mod lab;
mod machines;
mod orders;
mod problems;
