//! Ground everything stands on: names, deadlines, work side by side, child processes, versioned and growing files, the dial and sandbox
//! traits, talks and terminals, credentials, passwords as hashes, lines of other people's source, numbers that look like chance, exit codes. Knows no more of the domain than
//! names.

pub mod credentials;
pub mod dial;
pub(crate) mod dialogue;
pub mod exit;
pub mod follow;
pub mod guestfs;
pub mod id;
pub mod lines;
pub mod owner;
pub(crate) mod parallel;
pub mod password;
pub mod place;
pub mod process;
pub mod random;
pub mod sandbox;
pub mod store;
pub mod sys;
pub(crate) mod take;
pub(crate) mod terminal;
pub mod text;
pub mod time;
pub mod wait;
pub mod within;
