//! Attribute macros of polder: entry points, dispatch only.
//!
//! `#[suite]` goes through `args` (what stands in the attributes), `model` (what the module means, and every
//! mistake in it) and `expand` (tokens). Behaviour lives in the library the tokens call.

mod args;
mod envfile;
mod errors;
mod expand;
mod model;

use proc_macro::TokenStream;

/// Marks a module as a suite of ordered scenarios.
///
/// Arguments: `env = "file.yaml"` (an init file, relative to this source file; without it the suite has no machines),
/// `cvp` (a session at a CloudVision Portal) and `timeout = "10m"` (for the whole suite). With `if_var = "NAME"` the suite is there only when that environment
/// variable is set.
///
/// Inside, `#[test]` marks a scenario, `#[setup]` and `#[teardown]` what runs before and after them. They are async or
/// plain functions returning nothing or a `Result`; each parameter is written `name: &Type` and names what it needs.
/// `#[test(after(x, ..))]` runs a scenario only if `x` passed, `#[test(timeout = "30s")]` bounds it, `#[ignore]` is
/// libtest's.
///
/// With `cvp`, steps may ask for `&Cvp`: the suite's session, at the portal that `POLDER_CVP_URL` and the variables beside
/// it name, else at one of our own in this process, which has devices to play with, or what a file says: `cvp =
/// "portal.json"`, the state as `polder cvp serve --state` reads it, relative to this source file. The session is closed
/// after the teardown; what could not be set back then fails the suite.
#[proc_macro_attribute]
pub fn suite(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = errors::Errors::default();
    let args = args::suite(args.into(), &mut errors);
    let item = proc_macro2::TokenStream::from(item);
    match model::Suite::new(args, item.clone(), &mut errors) {
        Some(suite) => expand::suite(suite, errors),
        None => expand::unchanged(&item, errors),
    }
    .into()
}
