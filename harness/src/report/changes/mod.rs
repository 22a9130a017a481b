//! What became of changes, in a file: everything that a run's journal and transcript tell, folded into one value (`model`, with
//! `transcript`), which is written as JSON as it is, as JUnit's XML (`junit`) or as a page (`page`, whose look is `page.css` beside what all pages have).
//! The ending of the file's name says which (`file`). Does not know how changes are made.

mod file;
mod junit;
mod model;
mod page;
#[cfg(test)]
mod tests;
mod transcript;

pub(crate) use file::{ReportError, ReportFile, keep};
pub(crate) use model::Alerted;
