//! What a test does inside a machine: one front, [`Guest`], over one transport each for ssh, agent and console.
//!
//! Gets finished values (an address, a way to dial it, an agent port, a console file) and knows no labs, init files
//! or libvirt. Every call has a deadline, is a `tracing` span with the machine's name (target `polder`), and fails
//! with an error that names the machine, what was tried and what its console said last.

mod agent;
mod command;
mod console;
mod crash;
mod error;
mod evidence;
mod files;
mod follow;
mod gather;
mod handle;
mod host;
mod job;
mod jump;
pub mod limits;
mod link;
mod machine;
mod notes;
mod output;
mod pattern;
mod ping;
mod pipe;
mod power;
mod run;
mod serial;
mod spec;
mod ssh;
mod sync;
mod tarball;
mod terminal;
mod upload;
mod wait_held;
mod wait_http;
mod wait_inside;
mod wait_log;
mod waiting;
mod wake;
mod ways;

#[cfg(test)]
pub(crate) mod tests;

pub use agent::Agent;
pub use agent::AgentError;
pub use agent::Interface;
pub use command::Command;
pub use command::CommandError;
pub use error::ConsoleTail;
pub use error::GuestError;
pub use error::Ran;
pub use error::TransportError;
pub use evidence::CommandOutput;
pub use gather::Caps;
pub use gather::Gathered;
pub use handle::Guest;
pub(crate) use host::Ended;
pub(crate) use host::Host;
pub(crate) use host::known_key;
pub use job::Job;
pub use jump::SshJump;
pub use link::SshError;
pub use machine::MachinePort;
pub use machine::Standstill;
pub use output::Captured;
pub use output::Output;
pub use output::Status;
pub use pattern::Pattern;
pub use pattern::PatternError;
pub use ping::Pings;
pub use serial::ConsoleError;
pub use spec::AgentPort;
pub use spec::AgentPortError;
pub use spec::Channel;
pub use spec::GuestSpec;
pub use spec::Login;
pub use spec::SshSpec;
pub use sync::SyncOptions;
pub use sync::Synced;
pub use wait_http::Http;
pub use wait_http::HttpAnswer;
pub use wait_log::Log;
pub use waiting::Until;
