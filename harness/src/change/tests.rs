//! What many parts do together.

mod contract;
mod decisions;
mod engine;
mod files;
mod interrupted;
mod lab;
mod machines;
mod orders;
mod problems;
mod sessions;
