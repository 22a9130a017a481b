//! What many parts do together.

mod asked;
mod contract;
mod decisions;
mod engine;
mod files;
mod interrupted;
mod journal;
mod lab;
mod machines;
mod orders;
mod problems;
mod secrets;
mod sessions;
mod time;
