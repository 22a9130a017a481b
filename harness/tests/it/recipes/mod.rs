//! The recipes for CI services, as `polder new` writes them. A service's schema takes them; and what they say is done, in
//! clones of a repository, with what the service would give: steps of shells for real, its own by ours, which hold them to what is
//! known of them. The host is not changed: what that takes is a program that only notes its arguments.

mod github;
mod gitlab;
mod jenkins;
mod machine;
mod repository;
mod schemas;
mod tests;
