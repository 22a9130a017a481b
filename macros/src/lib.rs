//! Attribute macros of polder: entry points, dispatch only.
//!
//! `#[suite]` goes through `args` (what stands in the attributes; `cases`, `needs` and `text` read parts of them), `model`
//! (what the module means, and every mistake in it; `signature` those of a function) and `expand` (tokens). Behaviour lives in the library the tokens call.

mod args;
mod arguments;
mod cases;
mod envfile;
mod errors;
mod expand;
mod model;
mod needs;
mod roles;
mod signature;
mod text;

use proc_macro::TokenStream;

/// Marks a module as a suite of ordered scenarios.
///
/// Arguments, each of them optional:
/// - `env = "file.yaml"`: an init file, relative to this source file; without it the suite has no machines.
/// - `cvp`: a session at a CloudVision Portal (below).
/// - `changes = "changes.yaml"`: a file of changes, relative to this source file, whose changes scenarios may make (below).
/// - `timeout = "10m"`: for the whole suite.
/// - `stop_on_failure`: nothing but what `always` runs is begun after a failure.
/// - `tags(..)` and `needs(..)`: as if each scenario had them, too.
/// - `if_var = "NAME"`: the suite is there only when that environment variable is set.
/// - `crate = path::to::polder`: where the library is, as seen from inside the module, if not at `::polder`.
///
/// Inside, `#[test]` marks a scenario, `#[setup]` and `#[teardown]` what runs before and after them. They are async or
/// plain functions returning nothing or a `Result`; each parameter is written `name: &Type` and names what it needs.
/// Arguments of `#[test(..)]`, of which `#[setup]` takes `cached` and `timeout`, and `#[teardown]` `timeout`:
/// - `after(x, ..)`: it runs only if `x`, which stands above it, passed; of an `x` with cases, all of its cases.
/// - `always`: it runs whatever became of those, also when the suite stopped at a failure.
/// - `timeout = "30s"`: for each attempt.
/// - `retries = 2`: how often it is tried again when it fails; each attempt is reported.
/// - `cached`: the state it leaves is kept for later runs of the same test executable, which begin there where they can.
/// - `case(small = 512, large = 9000)` or `values(512, 9000)`: one scenario for each, called `name[small]` or
///   `name[512]`; the parameter marked `#[case]` is given the value.
/// - `tags("slow")`: words for `--tag` and `--skip-tag`.
/// - `needs(kvm, cvp, memory = "4G", tool = "xmllint", role = "router", capability = "ipv6", router("bgp"))`: what has to
///   be there, with which machines of a role or any have to be capable of something; else it is not run, with the reason.
/// - `expect_fail(until = "2027-01-31", reason = "..")`: until then a failure is expected, and a pass is a failure.
///
/// `#[ignore]` is libtest's.
///
/// With `changes`, steps may ask for a change of the file by its name, `name: &NamedChange`, and do it: `name.apply().await?`. What
/// a suite has changed is undone when it ends.
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
