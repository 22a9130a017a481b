//! `cargo ci gate`: what must be green before a push. Installs nothing; `test` is set-up and this.

use std::{
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};

use crate::{
    binaries,
    command::{self, cargo},
    layers,
    phases::{Phases, Skip, Tally},
    rootless, setup, tidy, workspace,
};

/// For all tests as one user; whoever needs longer hangs.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// Tests of what happens inside guests, libguestfs's own among them, which is the same whoever started them. Each takes a
/// minute or two; where all tests run twice, these run once: as the ordinary user, who may do less.
const INSIDE_GUESTS: &[&str] = &[
    "every_function_on_minimal",
    "every_function_on_debian12",
    "a_foreign_image_becomes_the_machine_it_is_asked_to_be",
    "machines_of_other_providers_live_without_a_lab",
    "services_are_managed_by_a_verb_and_a_manager_of_somebody_elses",
    "disks_we_cannot_read_are_prepared_and_collected_from",
    "real_trouble_is_blamed_on_who_is_at_work_unless_it_is_allowed",
    "what_is_done_to_machines_is_set_back_whoever_is_killed",
    "what_a_killed_command_was_at_is_never_taken_for_whole",
    "disks_are_prepared_once_and_never_half",
    "files_come_and_go_and_are_collected_whatever_happens",
    "machines_are_controlled_and_their_health_is_blamed_on_who_is_at_work",
    "an_environment_is_deployed_and_its_services_are_managed",
    "types_and_machines_that_are_there_anyway",
    "who_knows_a_password_gets_in",
];

/// The verb; `skips` is what set-up could not get.
pub(crate) fn run(skips: Vec<Skip>) -> Result<ExitCode> {
    let no_namespaces = skips.iter().any(|skip| skip.name.contains("ordinary users"));
    let mut phases = Phases::new(skips);
    phases.run("format", |_| command::run(at_root(&mut cargo(&["fmt", "--all", "--check", "--", "-l"]))));
    phases.run("tidy", |_| tidy::check());
    phases.run("layers", |_| layers::check());
    phases.run("lints", |_| {
        command::run(at_root(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ])))
    });
    phases.run("documentation", |_| {
        let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
        command::run(at_root(&mut doc).env("RUSTDOCFLAGS", "-D warnings"))
    });
    let built = phases.run("build the tests", |_| {
        command::run(at_root(&mut cargo(&["test", "--workspace", "--quiet", "--no-run"])))
    });
    if built {
        let twice = setup::is_root() && !no_namespaces;
        phases.run("tests", |tally| {
            named(INSIDE_GUESTS, &listed()?)?;
            if twice {
                println!(
                    "What happens inside guests is tested below, as an ordinary user: {INSIDE_GUESTS:?}"
                );
            }
            everything(if twice { INSIDE_GUESTS } else { &[] }, tally)
        });
        if !setup::is_root() {
            println!("\nThis was an ordinary user: there is nobody else to run the tests as.");
        } else if no_namespaces {
            phases.skip("tests as an ordinary user", "this host forbids user namespaces, see above");
        } else {
            phases.run("tests as an ordinary user", rootless::run);
        }
    } else {
        phases.skip("tests", "they do not build");
    }
    Ok(phases.finish())
}

/// Runs all tests but those named: what waits for guests together with what compiles, whose output is shown at the end.
fn everything(but: &[&str], tally: &mut Tally) -> Result<()> {
    let (name, threads) = side_by_side();
    let tests = |which: &[&str]| {
        let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
        tests.args(which).arg("--").args(but.iter().flat_map(|name| ["--skip", name]));
        at_root(&mut tests).env(name, &threads);
        tests
    };
    let binaries = binaries::built()?;
    let (mut beside, mut others) =
        (tests(&binaries::chosen(&binaries, true)), tests(&binaries::chosen(&binaries, false)));
    let mut said = vec![];
    let passed = std::thread::scope(|scope| {
        let beside = scope.spawn(|| tests_passed(&mut beside, LIMIT, |line| said.push(line.to_owned())));
        let others = test(&mut others, tally);
        [others, beside.join().unwrap_or_else(|_| Err(anyhow!("the thread of those beside it panicked")))]
    });
    for line in said {
        show(&line, tally);
    }
    let documented = test(&mut tests(&["--doc"]), tally);
    let failed: Vec<String> =
        passed.into_iter().chain([documented]).filter_map(Result::err).map(|e| format!("{e:#}")).collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}

/// What the test binary of machines says it has: a line for each test.
fn listed() -> Result<String> {
    let mut list = cargo(&["test", "--package", "polder", "--test", "it", "--quiet", "--", "--list"]);
    command::output(at_root(&mut list))
}

/// A name that is no test's would leave nothing out, and a part of several too much.
fn named(names: &[&str], list: &str) -> Result<()> {
    let tests: Vec<&str> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let is_one = |name: &&&str| tests.iter().filter(|test| test.contains(**name)).count() == 1;
    let wrong: Vec<_> = names.iter().filter(|name| !is_one(name)).collect();
    if !wrong.is_empty() {
        bail!("INSIDE_GUESTS in {} has names that are not one test of `it`: {wrong:?}", file!());
    }
    Ok(())
}

/// How many tests run at once: more than there are processors, because most of them wait most of the time, for guests,
/// deadlines and what must not happen; not many more, because some measure time. Who has decided otherwise is not contradicted.
pub(crate) fn side_by_side() -> (&'static str, String) {
    let name = "RUST_TEST_THREADS";
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (name, std::env::var(name).unwrap_or_else(|_| (processors + 1).to_string()))
}

/// Runs something that ends like a test binary, counting its tests.
pub(crate) fn test(command: &mut Command, tally: &mut Tally) -> Result<()> {
    tests_passed(command, LIMIT, |line| show(line, tally))
}

fn show(line: &str, tally: &mut Tally) {
    println!("{line}");
    tally.look(line);
}

/// Runs something that ends like a test binary, showing each of its lines to `look`.
pub(crate) fn tests_passed(command: &mut Command, limit: Duration, look: impl FnMut(&str)) -> Result<()> {
    match command::watched(command, limit, look)? {
        Some(0) => Ok(()),
        Some(code) => bail!("`{}` ended with exit code {code}", command::shown(command)),
        None => bail!("`{}` was ended by a signal", command::shown(command)),
    }
}

fn at_root(command: &mut Command) -> &mut Command {
    command.current_dir(workspace::root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_one_test_is_told() {
        let list = "a::walks: test\na::walks_on: test\nb::runs: test\n\n3 tests, 0 benchmarks\n";
        assert!(named(&["b::runs", "walks_on"], list).is_ok());
        let error = named(&["runs", "walked", "walks"], list).unwrap_err().to_string();
        assert!(error.contains("gate.rs") && error.ends_with("[\"walked\", \"walks\"]"), "{error}");
    }
}
