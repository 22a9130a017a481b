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

/// Tests that are the same whoever started them: of what happens inside guests, libguestfs's own among them, and of our end of
/// channels to them. Each takes a while; where all tests run twice, these run once: as the ordinary user, who may do less.
const ONCE_AS_USER: &[&str] = &[
    "a_foreign_image_becomes_the_machine_it_is_asked_to_be",
    "a_suite_whose_daemon_hangs_ends",
    "a_machine_has_the_devices_its_init_file_asks_for",
    "an_environment_is_deployed_and_its_services_are_managed",
    "checkpoints::",
    "debugging::",
    "an_image_becomes_a_template_an_environment_and_an_export",
    "disks_are_prepared_once_and_never_half",
    "disks_we_cannot_read_are_prepared_and_collected_from",
    "every_attribute_on_a_machine_is_told_as_it_went",
    "every_function_on_debian12",
    "every_function_on_minimal",
    "files_come_and_go_and_are_collected_whatever_happens",
    "four_machines_are_changed_or_none_of_them",
    "guest::tests::",
    "keeping::",
    "layered_exports_lie_on_their_templates",
    "machines_are_controlled_and_their_health_is_blamed_on_who_is_at_work",
    "machines_are_reached_from_others",
    "machines_kept_in_a_lab_go_on_on_a_daemon_and_back",
    "machines_of_other_providers_live_without_a_lab",
    "networks_change_while_machines_run",
    "real_trouble_is_blamed_on_who_is_at_work_unless_it_is_allowed",
    "returning::",
    "services_are_managed_by_a_verb_and_a_manager_of_somebody_elses",
    "shells_and_consoles_have_the_terminal_of_who_is_at_it",
    "two_builds_of_a_recipe_have_the_same_files",
    "types_and_machines_that_are_there_anyway",
    "walkthrough::",
    "what_a_killed_command_was_at_is_never_taken_for_whole",
    "what_is_done_to_machines_is_set_back_whoever_is_killed",
    "what_is_typed_arrives_although_nothing_is_printed",
    "what_was_written_is_in_an_export_and_comes_back",
    "who_knows_a_password_gets_in",
    "whoever_is_killed_amid_a_scenario_is_told_of",
];

/// Tests of portals, and of changes before anything is done: HTTP and arithmetic; those of the book, which read and compile; what
/// others say of files of ours; and new suites, whose files lie where they were compiled. Where all tests run twice, these run once:
/// as root, because it is they who hold up the others least, and who may change its root folder.
pub(crate) const ONCE_AS_ROOT: &[&str] = &[
    "book::",
    "change::",
    "cvp::",
    "cvprac::",
    "in_a_plain_chroot_the_doctor_says_what_is_lacking",
    "portals::",
    "recipes::",
    "new_suites_pass_at_once",
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
            named(ONCE_AS_USER, ONCE_AS_ROOT, &listed()?)?;
            if twice {
                println!("Tested once, below, as an ordinary user: {ONCE_AS_USER:?}");
                println!("Tested once, here: {ONCE_AS_ROOT:?}");
            }
            everything(if twice { ONCE_AS_USER } else { &[] }, tally)
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

/// What the test binaries say they have: a line for each test. Of the whole workspace: one package alone has other features of
/// what it needs, and nearly all of that would be compiled once more.
fn listed() -> Result<String> {
    let mut list = cargo(&["test", "--workspace", "--lib", "--test", "it", "--quiet", "--", "--list"]);
    command::output(at_root(&mut list))
}

/// A name that is no test's would leave nothing out, and one that is a part of several too much, unless it is a module's; what
/// is in both lists would not run at all.
fn named(as_user: &[&str], as_root: &[&str], list: &str) -> Result<()> {
    let tests: Vec<&str> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let has = |test: &str, names: &[&str]| names.iter().any(|name| test.contains(name));
    let is_right = |name: &str| match tests.iter().filter(|test| test.contains(name)).count() {
        0 => false,
        number => number == 1 || name.ends_with("::"),
    };
    let wrong: Vec<_> = as_user.iter().chain(as_root).filter(|name| !is_right(name)).collect();
    let never: Vec<_> = tests.iter().filter(|test| has(test, as_user) && has(test, as_root)).collect();
    if !wrong.is_empty() || !never.is_empty() {
        bail!(
            "in ONCE_AS_USER and ONCE_AS_ROOT of {}, these are not one test or module: {wrong:?}; these would never run: {never:?}",
            file!()
        );
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
        let list =
            "a::walks: test\na::walks_on: test\nb::runs: test\nb::a::rests: test\n\n4 tests, 0 benchmarks\n";
        assert!(named(&["b::runs", "walks_on"], &[], list).is_ok());
        assert!(named(&["a::"], &["runs"], list).is_ok());
        let error = named(&["runs", "walked", "walks"], &["c::"], list).unwrap_err().to_string();
        assert!(error.contains("gate.rs") && error.contains("[\"walked\", \"walks\", \"c::\"]"), "{error}");
        let error = named(&["a::"], &["rests"], list).unwrap_err().to_string();
        assert!(error.ends_with("[\"b::a::rests\"]"), "{error}");
    }
}
