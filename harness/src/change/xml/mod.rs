//! ModiPy's XML as the same tree that YAML is read to, with the places of the XML: `element` reads the document, `config` and
//! `change` say what its elements are in our words.

mod change;
mod config;
mod element;

pub(super) use config::tree;
