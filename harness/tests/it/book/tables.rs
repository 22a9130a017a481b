//! What attributes take, as the macros know it.

#[path = "../../../../macros/src/arguments.rs"]
pub(super) mod arguments;
