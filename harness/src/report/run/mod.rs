//! What became of a run of suites, in two files that are made from its events and what else is in its folder: `junit.xml`
//! (`junit`) and a page (`page`, filled by `page.js` from what `data` puts in it). Events are folded (`fold`) into one value
//! (`model`); `left` reads what lies beside them; `write` is the only one that writes. Does not know how suites are run.

mod data;
mod fold;
mod junit;
mod left;
#[cfg(test)]
mod made_up;
mod model;
mod packets;
mod page;
#[cfg(test)]
mod tests;
mod words;
mod write;

pub(crate) use write::{ReportError, Written, write};
