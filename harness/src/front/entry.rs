//! From the command line to an exit code: what is wrong before anything starts is said here.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    io::{self, IsTerminal, Write},
    num::NonZero,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::SystemTime,
};

use clap::Parser;

use crate::{
    base::{exit::Exit, random::LARGEST},
    change::Vars,
    config::{BudgetConfig, Config, ConfigError, Lab, Sources},
    cvp::{CvpSpec, server::check_state},
    env::{EnvError, Host, Names, rows_of},
    initfile,
    lab::accel::may_have_kvm,
    report::{
        output_root,
        sink::{Sink, SinkError},
    },
    suite::{
        self,
        budget::Budget,
        check,
        needs::{self, Available},
        order::Filter,
        registry::{self, Requirement, SUITES, Suite},
        runner::Keep,
    },
};

use super::{
    again,
    args::{CommandLine, Format},
    observe, pause, reporter,
    run::{self, Place},
    select::{self, Picked, Unit},
};

/// What kept a run from beginning.
#[derive(Debug, thiserror::Error)]
enum FrontError {
    /// Compiled so that a panic ends the process.
    #[error("suites cannot be run with `panic = \"abort\"`: a scenario that fails would end all of them")]
    PanicAborts,
    #[error("--test-threads and RUST_TEST_THREADS must be numbers above 0")]
    NoThreads,
    #[error("POLDER_KEEP is `{0}`; set it to `never`, `failed`, `always` or `state`")]
    Keeping(String),
    #[error("POLDER_PAUSE is `{0}`; set it to `never` or `failed`")]
    Pausing(String),
    #[error(
        "POLDER_PAUSE is set, and there is no terminal at which somebody could say to go on; in jobs, POLDER_KEEP=failed keeps machines"
    )]
    NobodyThere,
    #[error("POLDER_SEED is `{0}`; set it to a whole number from 0 to {LARGEST}, or to nothing")]
    Seed(String),
    #[error("POLDER_NEEDS is `{0}`; set it to `strict`, for what is lacking to be a failure, or to nothing")]
    Strictness(String),
    #[error("none of these suites was ever run, by what is in {}: there is nothing to run again", .0.display())]
    NeverRun(PathBuf),
    /// Mistakes in suites and init files.
    #[error("nothing was run\n{}", .0.join("\n"))]
    Suites(Vec<String>),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// This host cannot have environments.
    #[error(transparent)]
    Host(#[from] EnvError),
    #[error("cannot run")]
    Run(#[source] io::Error),
}

/// The whole `main` of a suite binary; `extend` adds to the host what suites need beyond what ships.
#[must_use]
pub fn main(extend: impl FnOnce(&mut Host)) -> ExitCode {
    match start(&CommandLine::parse(), extend) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = error.exit();
            eprintln!("error: {:#}", anyhow::Error::from(error));
            exit.into()
        }
    }
}

fn start(line: &CommandLine, extend: impl FnOnce(&mut Host)) -> Result<Exit, FrontError> {
    if cfg!(panic = "abort") {
        return Err(FrontError::PanicAborts);
    }
    let (threads, strict, keep, seed, pause) = (threads(line)?, strict()?, keep()?, seed()?, pausing()?);
    let mut suites = registry::arrange(&SUITES).map_err(|duplicates| texts(&duplicates))?;
    suites.retain(|suite| suite.def.if_var.is_none_or(|name| env::var_os(name).is_some()));
    let suites = if line.benchmarks_only() { Vec::new() } else { suites };
    let (suites, others) = match line.shard() {
        Some(shard) => shard.part(suites),
        None => (suites, Vec::new()),
    };
    let others: usize = others.iter().map(|suite| suite.def.scenarios.len()).sum();
    let mut filter = line.filter();
    if line.rerun_failed() {
        let root = output_root();
        filter.among = Some(again::failed(&root, &suites).ok_or(FrontError::NeverRun(root))?);
    }
    let unit =
        if env::var_os("NEXTEST").is_some_and(|value| value == "1") { Unit::Suite } else { Unit::Scenario };
    let problems = not_from(&suites, &filter, unit);
    if !problems.is_empty() {
        return Err(FrontError::Suites(problems));
    }
    if line.list() {
        print_list(&select::list(&suites, &filter, unit), line.format()).map_err(FrontError::Run)?;
        return Ok(Exit::Done);
    }
    let (mut picked, filtered_out) = select::pick(suites, &filter, unit);
    let filtered_out = filtered_out + others;
    if picked.is_empty() {
        reporter::empty(line, filtered_out).map_err(FrontError::Run)?;
        return Ok(Exit::Done);
    }
    if pause && !pause::is_possible() {
        return Err(FrontError::NobodyThere);
    }
    let (mut host, budget) = host()?;
    extend(&mut host);
    let (unwanted, portal) = check(&mut picked, &host)?;
    let sink = Sink::create(&output_root(), SystemTime::now())?;
    let budget = Budget::of(&budget, sink.run());
    let place = Place { host, portal, strict, keep, budget, seed, pause };
    run::run(line, picked, filtered_out + unwanted, threads.get(), sink, place).map_err(FrontError::Run)
}

/// The host as it is configured, and what suites may take of it. What is configured for verbs of the command is not ours to judge.
fn host() -> Result<(Host, BudgetConfig), FrontError> {
    let config = Config::new(Sources::of_process(None).load(), vec![])?;
    config.settings.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    if config.lab == Lab::System {
        eprintln!("warning: `lab = system` is not for suites: their environments are in labs of their own");
    }
    let host = Host::configured(&config, variable)?;
    Ok((host, config.budget))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Whether a scenario for which something is lacking has failed, and not only not run.
fn strict() -> Result<bool, FrontError> {
    match variable("POLDER_NEEDS").as_deref() {
        None | Some("") => Ok(false),
        Some("strict") => Ok(true),
        Some(other) => Err(FrontError::Strictness(other.to_owned())),
    }
}

/// Which environments stay when their suites have ended.
fn keep() -> Result<Keep, FrontError> {
    match variable("POLDER_KEEP").as_deref() {
        None | Some("" | "never") => Ok(Keep::Never),
        Some("failed") => Ok(Keep::Failed),
        Some("always") => Ok(Keep::Always),
        Some("state") => Ok(Keep::State),
        Some(other) => Err(FrontError::Keeping(other.to_owned())),
    }
}

/// Whether suites stand still at a failure.
fn pausing() -> Result<bool, FrontError> {
    match variable("POLDER_PAUSE").as_deref() {
        None | Some("" | "never") => Ok(false),
        Some("failed") => Ok(true),
        Some(other) => Err(FrontError::Pausing(other.to_owned())),
    }
}

/// From which number all seeds are: the one that is said, else another one for each run.
fn seed() -> Result<u64, FrontError> {
    match variable("POLDER_SEED").as_deref() {
        // Short enough to be typed.
        None | Some("") => Ok(RandomState::new().hash_one(std::process::id()) % 1_000_000_000),
        Some(said) => {
            let number = said.parse().ok().filter(|number| *number <= LARGEST);
            number.ok_or_else(|| FrontError::Seed(said.to_owned()))
        }
    }
}

/// How many suites may run side by side: as the command line says, or the environment, or one per core.
fn threads(line: &CommandLine) -> Result<NonZero<usize>, FrontError> {
    let number = || variable("RUST_TEST_THREADS").map(|value| value.parse().unwrap_or_default());
    match line.threads().or_else(number) {
        Some(threads) => NonZero::new(threads).ok_or(FrontError::NoThreads),
        None => Ok(thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)),
    }
}

/// libtest's form, which is that of nextest's protocol when terse.
fn print_list(names: &[String], format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for name in names {
        writeln!(out, "{name}: test")?;
    }
    if format == Format::Pretty {
        let plural = if names.len() == 1 { "" } else { "s" };
        writeln!(out, "\n{} test{plural}, 0 benchmarks", names.len())?;
    }
    Ok(())
}

/// What of the selected begins in a state that cannot be kept, as far as that is known without init files: told also to who
/// only asks for a list.
fn not_from(suites: &[Suite], filter: &Filter, unit: Unit) -> Vec<String> {
    let real_portal = matches!(CvpSpec::from_variables(&variable), Ok(Some(_)));
    let (picked, _) = select::pick(suites.to_vec(), filter, unit);
    let missing = picked.iter().flat_map(|Picked { suite, selection }| {
        let run = selection.run.iter().map(|planned| planned.index);
        let from = check::check_from(suite, run, real_portal, None);
        from.into_iter().chain(check::check_cached(suite, real_portal, None))
    });
    missing.map(|problem| problem.to_string()).collect()
}

/// Whether the files of what will run can be read and have what is named, and the portal that is configured can be
/// used; all problems of all suites. Leaves out what lacks something here, and returns how many scenarios nobody wants
/// then, and the portal.
fn check(picked: &mut [Picked], host: &Host) -> Result<(usize, Option<CvpSpec>), FrontError> {
    let (mut problems, mut unwanted) = (Vec::new(), 0);
    let portal = portal(picked, &mut problems);
    for one in picked {
        let Picked { suite, selection } = &*one;
        if selection.run.is_empty() {
            continue;
        }
        let names = suite
            .def
            .env
            .map(|file| {
                let options = initfile::Options::new(&variable);
                initfile::load_text(Path::new(file.path), file.text, &options)
            })
            .transpose();
        match names {
            Ok(loaded) => {
                let rows = loaded.as_ref().map(|loaded| rows_of(host, &loaded.spec)).unwrap_or_default();
                let names = loaded.map(|loaded| Names::of(host, &loaded.spec));
                let found = changes(suite, rows, &mut problems);
                let missing = check::check(suite, names.as_ref(), found.as_deref());
                problems.extend(missing.iter().map(ToString::to_string));
                let run = selection.run.iter().map(|planned| planned.index);
                let from = check::check_from(suite, run, portal.is_some(), names.as_ref());
                let cached = check::check_cached(suite, portal.is_some(), names.as_ref());
                problems.extend(from.iter().chain(&cached).map(ToString::to_string));
                let available = Available {
                    kvm: may_have_kvm(&host.lab, &host.accel),
                    portal: portal.is_some(),
                    memory: observe::free_memory(),
                    has_tool: &observe::has_tool,
                    names: &names.unwrap_or_default(),
                };
                let lacking = needs::lacking(suite, &available);
                unwanted += select::leave_out(one, lacking);
            }
            Err(error) => {
                let text = error.render(io::stderr().is_terminal());
                // Several suites may have one file.
                if !problems.contains(&text) {
                    problems.push(text);
                }
            }
        }
    }
    if problems.is_empty() { Ok((unwanted, portal)) } else { Err(FrontError::Suites(problems)) }
}

/// The names in the suite's file of changes, if it has one that can be used.
fn changes(suite: &Suite, rows: Vec<Vars>, problems: &mut Vec<String>) -> Option<Vec<String>> {
    let file = suite.def.changes?;
    match suite::changes::file::check(file, rows, suite.def.cvp.is_some(), io::stderr().is_terminal()) {
        Ok(checked) => {
            checked.warnings.iter().for_each(|warning| eprintln!("warning: {}", warning.line()));
            Some(checked.names)
        }
        Err(found) => {
            problems.extend(found);
            None
        }
    }
}

/// The portal that is configured, if what will run has a session at one or needs one.
fn portal(picked: &[Picked], problems: &mut Vec<String>) -> Option<CvpSpec> {
    let suites: Vec<&Suite> =
        picked.iter().filter(|one| !one.selection.run.is_empty()).map(|one| &one.suite).collect();
    for state in suites.iter().filter_map(|suite| suite.def.cvp?.state) {
        if let Err(error) = check_state(state.state()) {
            problems.push(format!("{:#}", anyhow::Error::from(error)));
        }
    }
    let needs = |suite: &&&Suite| {
        let mut scenarios = suite.def.scenarios.iter();
        suite.def.cvp.is_some() || scenarios.any(|scenario| scenario.needs.contains(&Requirement::Portal))
    };
    suites.iter().find(needs)?;
    match CvpSpec::from_variables(&variable) {
        Ok(configured) => configured,
        Err(error) => {
            problems.extend(error.0);
            None
        }
    }
}

fn texts(errors: &[impl ToString]) -> FrontError {
    FrontError::Suites(errors.iter().map(ToString::to_string).collect())
}

impl FrontError {
    fn exit(&self) -> Exit {
        match self {
            Self::PanicAborts
            | Self::NoThreads
            | Self::Strictness(_)
            | Self::Keeping(_)
            | Self::Seed(_)
            | Self::Pausing(_)
            | Self::NobodyThere
            | Self::NeverRun(_)
            | Self::Suites(_)
            | Self::Config(_) => Exit::Usage,
            Self::Sink(_) | Self::Host(_) | Self::Run(_) => Exit::Environment,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{
        order::{Planned, Selection},
        registry::{EnvFile, ScenarioDef, StepDef, SuiteDef},
    };

    const STEP: StepDef = StepDef {
        name: "a",
        line: 4,
        params: &[],
        timeout: None,
        plain: false,
        cached: false,
        run: |_| Box::pin(async { Ok(()) }),
    };

    static DEF: SuiteDef = SuiteDef {
        env: Some(EnvFile { path: "/src/tests/lab.yaml", text: "domains: {a: {}}\n" }),
        ..SuiteDef::plain("t::a", "tests/a.rs", 3, &[ScenarioDef::plain(STEP)])
    };

    #[test]
    fn a_file_of_several_suites_is_judged_once() {
        let picked = |name: &str| Picked {
            suite: Suite { name: name.into(), def: &DEF },
            selection: Selection {
                run: vec![Planned { index: 0, prerequisite: false }],
                ..Selection::default()
            },
        };
        let host = Host::from_env(&|_| None).unwrap();
        let error = check(&mut [picked("a"), picked("b")], &host).unwrap_err().to_string();
        assert_eq!(error.matches("needs the key `nets`").count(), 1, "{error}");
    }
}
