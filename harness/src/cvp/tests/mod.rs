//! The client: against a server that answers as it is told, and against the portal of our own.

mod basics;
mod bodies;
mod cloud;
mod portal;
mod resources;
mod rig;
mod shapes;
mod transport;
