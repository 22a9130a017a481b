//! What goes over the wire, as portals and their clients write it: field names and shapes, no meaning.

pub(crate) mod classic;
pub(crate) mod legacy;
pub(crate) mod resource;
