//! Attribute macros of polder: entry points, dispatch only.
