//! Tests of the store: whole or not at all, whoever is killed; damage is found; what is known is not read again; what is the
//! same is there once; what nobody uses makes room.

mod damage;
mod known;
mod processes;
mod shared;
mod shelf;
mod store;
