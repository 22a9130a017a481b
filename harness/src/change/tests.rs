//! What many parts do together.

mod order;
