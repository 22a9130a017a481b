//! Tools that come with Rust or through cargo, not through the distribution.

use std::path::PathBuf;

use anyhow::Result;

use super::packages::has_program;
use crate::{
    command::{self, Refused},
    phases::Skip,
};

/// Has clippy and rustfmt beside the cargo in use; fetches them with rustup where they are not.
pub(crate) fn components() -> Result<()> {
    let beside = std::env::var_os("CARGO").map(PathBuf::from);
    let Some(folder) = beside.as_deref().and_then(|cargo| cargo.parent()) else {
        return Ok(());
    };
    let absent: Vec<_> = [("cargo-clippy", "clippy"), ("cargo-fmt", "rustfmt")]
        .into_iter()
        .filter(|(program, _)| !folder.join(program).is_file())
        .map(|(_, component)| component)
        .collect();
    if absent.is_empty() {
        return Ok(());
    }
    println!("missing of the Rust toolchain: {}", absent.join(", "));
    if !has_program("rustup") {
        let wanted = absent.join(" and ");
        return Err(Refused(format!(
            "the Rust toolchain in {} lacks {wanted}; install them the way it was installed",
            folder.display()
        ))
        .into());
    }
    command::run(command::command(&["rustup", "component", "add"]).args(absent))
}

/// Has cargo-nextest, under which some tests run suites; it is built when there is none.
pub(crate) fn nextest() -> Option<Skip> {
    let name = "cargo-nextest";
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    if has_program(name) || cargo_home.is_some_and(|home| home.join("bin").join(name).is_file()) {
        return None;
    }
    println!("missing: {name} (suites are run under it); building it takes some minutes, once");
    // Unoptimised: it builds in a fraction of the time, and our suites do not notice.
    let built = command::run(&mut command::cargo(&[
        "install", "--quiet", "--locked", "--debug", name,
    ]));
    built
        .err()
        .map(|error| Skip::announce(name, format!("needed for running suites under it: {error:#}")))
}
