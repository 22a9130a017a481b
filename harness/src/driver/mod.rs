//! What carries the commands of changes: a driver for each that a file names ([`drivers`]), by its kind. Programs of this
//! machine (`programs`, and `session` in a terminal), hosts and machines over ssh (`ssh`), servers over HTTP (`http`), a
//! CloudVision portal (`cvp`). What they need of the world is put together in `outside`; variables that only an open session
//! knows are in `known`. Drivers know nothing of changes: they do what a session is asked for, in time, and close it.

mod cvp;
mod http;
mod known;
mod login;
mod outside;
mod programs;
mod session;
mod ssh;
#[cfg(test)]
mod tests;

pub use outside::BadDrivers;
pub use outside::Outside;
pub use outside::drivers;
