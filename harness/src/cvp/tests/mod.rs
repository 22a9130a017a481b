mod bodies;
mod rig;
mod transport;
