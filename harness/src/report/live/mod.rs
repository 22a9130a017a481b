//! What people at a terminal see of a run that goes on: below the lines that stay, a tree of what is under way.
//! `model` knows what that is, `usual` how long things take as a rule, `screen` draws, `view` says when.

pub(crate) mod model;
pub(crate) mod screen;
pub(crate) mod usual;
pub(crate) mod view;

pub(crate) use model::UnderWay;
pub(crate) use screen::{Above, Screen};
pub(crate) use usual::Usual;
pub(crate) use view::View;
