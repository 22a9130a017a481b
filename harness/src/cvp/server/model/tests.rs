//! The model, without HTTP.
