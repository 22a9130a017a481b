//! System tests on real machines, written in Rust and run by `cargo test`.
//!
//! ```no_run,standalone_crate
//! // Two routers learn each other's routes; their configuration arrives through CloudVision.
//! use polder::prelude::*;
//!
//! # /*
//! #[polder::suite(env = "routing.yaml", cvp, timeout = "10m")]
//! # */
//! # #[polder::suite(env = "../tests/data/routing.yaml", cvp, timeout = "10m")]
//! mod routing {
//!     use super::*;
//!
//!     const BGP: &str = "router bgp 65001\n neighbor core interface remote-as external\n";
//!
//!     #[setup]
//!     async fn onboard(env: &Env, cvp: &Cvp) -> Result {
//!         cvp.onboard(env.vms()).await?;
//!         Ok(())
//!     }
//!
//!     #[test]
//!     async fn sessions_establish(r1: &Vm, r2: &Vm, cvp: &Cvp) -> Result {
//!         cvp.configlet("bgp").content(BGP).on([r1, r2]).deploy().await?;
//!         r1.until("vtysh -c 'show bgp summary'", |out| out.contains("Estab")).within(secs(60)).await?;
//!         Ok(())
//!     }
//!
//!     #[test(after(sessions_establish))] // not run if it failed
//!     async fn survives_a_cut_link(r1: &Vm, h1: &Vm, h2: &Vm, core: &Net) -> Result {
//!         let cut = core.link(r1).context("r1 is on core")?.down().await?; // heals when it goes
//!         h1.wait_until_succeeds(format!("ping -c 1 {h2}"), secs(30)).await?;
//!         cut.heal().await?;
//!         Ok(())
//!     }
//! }
//!
//! # /*
//! polder::main!();
//! # */
//! # fn main() {}
//! ```
//!
//! A machine or a net is asked for by its name in the init file, everything else by its type; what is not there is said before
//! anything starts. [`suite`](macro@suite) has all that can stand in the attributes.
//!
//! The modules below stand in the order of the ladder: each uses only groups above its own (see `ARCHITECTURE.md`).
#![expect(clippy::test_attr_in_doctest, reason = "scenarios are marked like that")]

// -- base: more of the domain than names is not known here
pub mod base;
pub mod event;
pub mod trace;
// -- values: not one another
pub mod config;
pub mod image;
pub mod initfile;
pub mod net;
pub mod template;
pub mod workdir;
// -- what is done in order, and undone: uses values
pub mod change;
// -- where an environment lives
pub mod lab;
// -- adapters: not one another
pub mod artifact;
pub mod guest;
pub mod health;
pub mod provider;
pub mod repo;
pub mod service;
pub mod sysprep;
// -- assembly: not one another
pub mod checkpoint;

pub mod cvp;
pub mod env;
// -- what carries the commands of changes: uses all of these
pub mod driver;
// -- what was left behind
pub mod reap;
// -- running
pub mod report;
pub mod suite;
// -- wiring: the only place that knows everybody
pub mod cli;
pub mod front;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
pub mod prelude;

pub use event::Outcome;
/// # Example
///
/// A test target of its own, with `harness = false` in its `[[test]]`:
///
/// ```
/// #[polder::suite(timeout = "10m")]
/// mod demo {
///     use polder::prelude::*;
///
///     #[setup]
///     async fn prepare(artifacts: &Artifacts) -> Result {
///         artifacts.add("version.txt", "1.0")?;
///         Ok(())
///     }
///
///     #[test]
///     async fn starts() -> Result {
///         polder::log!("shown when it fails");
///         Ok(())
///     }
///
///     #[test(after(starts), timeout = "30s")]
///     fn stops() {
///         assert_eq!(1 + 1, 2);
///     }
/// }
///
/// polder::main!();
/// ```
pub use polder_macros::suite;
pub use suite::Chance;
pub use suite::Change;
pub use suite::Changes;
pub use suite::FromSuite;
pub use suite::NamedChange;
pub use suite::Need;
pub use suite::OnReturn;
pub use suite::Param;
pub use suite::Scope;
pub use suite::Skipped;
pub use suite::SuiteCx;
pub use suite::block_on;

/// What a scenario returns; any error fits through `?`.
pub type Result<T = (), E = anyhow::Error> = std::result::Result<T, E>;

/// Makes `main` of a test target whose `[[test]]` says `harness = false`: runs the suites of the binary.
///
/// What init files of the suites name beyond what ships, such as types of machines, is given as
/// [`Extensions`](cli::Extensions): `polder::main!(Extensions::default().machine_type(Router));`.
#[macro_export]
macro_rules! main {
    () => {
        $crate::main!($crate::cli::Extensions::default());
    };
    ($extensions:expr) => {
        fn main() -> ::std::process::ExitCode {
            $crate::cli::Extensions::suites($extensions)
        }
    };
}

/// Leaves a scenario that cannot be done here, which only it finds out; takes what `format!` takes.
///
/// It is reported as not run, with this reason, and what is `after` it is not run either. A set-up that is left so leaves
/// the whole suite. What is known before is better said with `needs(..)`: then nothing is started for it.
///
/// ```no_run
/// #[polder::suite]
/// mod demo {
///     use polder::prelude::*;
///
///     #[test]
///     async fn prints() -> Result {
///         let Some(printer) = std::env::var_os("PRINTER") else { polder::skip!("no printer is named") };
///         ensure!(printer != "lp0");
///         Ok(())
///     }
/// }
///
/// polder::main!();
/// ```
#[macro_export]
macro_rules! skip {
    ($($text:tt)+) => {
        return ::core::result::Result::Err(::core::convert::Into::into(
            $crate::Skipped::because(::std::format!($($text)+)),
        ))
    };
}

/// Writes a line to the log of the running scenario; takes what `println!` takes.
///
/// It is shown when the scenario fails, or at once with `--nocapture`, and is kept in `events.jsonl`. In a task that
/// the scenario spawned without `tracing`'s current span, it goes to the standard error.
#[macro_export]
macro_rules! log {
    ($($text:tt)+) => {
        $crate::__private::log(::core::format_args!($($text)+))
    };
}
