mod bodies;
mod portal;
mod rig;
mod transport;
