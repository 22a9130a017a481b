//! From the command line to an exit code: what is wrong before anything starts is said here.

use std::{
    env,
    io::{self, IsTerminal, Write},
    num::NonZero,
    path::Path,
    process::ExitCode,
    thread,
    time::SystemTime,
};

use clap::Parser;

use crate::{
    base::exit::Exit,
    config::{Config, ConfigError, Lab, Sources},
    cvp::{CvpSpec, server::check_state},
    env::{EnvError, Host, Names},
    initfile,
    report::{
        output_root,
        sink::{Sink, SinkError},
    },
    suite::{
        check,
        registry::{self, PortalDef, SUITES},
    },
};

use super::{
    args::{CommandLine, Format},
    reporter,
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
    let threads = threads(line)?;
    let mut suites = registry::arrange(&SUITES).map_err(|duplicates| texts(&duplicates))?;
    suites.retain(|suite| suite.def.if_var.is_none_or(|name| env::var_os(name).is_some()));
    let suites = if line.benchmarks_only() { Vec::new() } else { suites };
    let unit =
        if env::var_os("NEXTEST").is_some_and(|value| value == "1") { Unit::Suite } else { Unit::Scenario };
    if line.list() {
        print_list(&select::list(&suites, &line.filter(), unit), line.format()).map_err(FrontError::Run)?;
        return Ok(Exit::Done);
    }
    let (mut picked, filtered_out) = select::pick(suites, &line.filter(), unit);
    if picked.is_empty() {
        reporter::empty(line, filtered_out).map_err(FrontError::Run)?;
        return Ok(Exit::Done);
    }
    let mut host = host()?;
    extend(&mut host);
    let (unwanted, portal) = check(&mut picked, &host)?;
    let sink = Sink::create(&output_root(), SystemTime::now())?;
    let place = Place { host, portal };
    run::run(line, picked, filtered_out + unwanted, threads.get(), sink, place).map_err(FrontError::Run)
}

/// The host as it is configured. What is configured for verbs of the command is not ours to judge.
fn host() -> Result<Host, FrontError> {
    let config = Config::new(Sources::of_process(None).load(), vec![])?;
    config.settings.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    if config.lab == Lab::System {
        eprintln!("warning: `lab = system` is not for suites: their environments are in labs of their own");
    }
    Ok(Host::configured(&config, variable)?)
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
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

/// Whether the files of what will run can be read and have what is named, and the portal that is configured can be
/// used; all problems of all suites. Leaves out what their machines are not capable of, and returns how many scenarios
/// nobody wants then, and the portal.
fn check(picked: &mut [Picked], host: &Host) -> Result<(usize, Option<CvpSpec>), FrontError> {
    let (mut problems, mut unwanted) = (Vec::new(), 0);
    let portals =
        picked.iter().filter(|one| !one.selection.run.is_empty()).filter_map(|one| one.suite.def.cvp);
    let portals: Vec<PortalDef> = portals.collect();
    for state in portals.iter().filter_map(|portal| portal.state) {
        if let Err(error) = check_state(state.state()) {
            problems.push(format!("{:#}", anyhow::Error::from(error)));
        }
    }
    let mut portal = None;
    if !portals.is_empty() {
        match CvpSpec::from_variables(&variable) {
            Ok(configured) => portal = configured,
            Err(error) => problems.extend(error.0),
        }
    }
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
                let names = loaded.map(|loaded| Names::of(host, &loaded.spec));
                problems.extend(check::check(suite, names.as_ref()).iter().map(ToString::to_string));
                if let Some(names) = names {
                    let lacking = check::lacking(suite, &names);
                    unwanted += select::leave_out(one, lacking);
                }
            }
            Err(error) => problems.push(error.render(io::stderr().is_terminal())),
        }
    }
    if problems.is_empty() { Ok((unwanted, portal)) } else { Err(FrontError::Suites(problems)) }
}

fn texts(errors: &[impl ToString]) -> FrontError {
    FrontError::Suites(errors.iter().map(ToString::to_string).collect())
}

impl FrontError {
    fn exit(&self) -> Exit {
        match self {
            Self::PanicAborts | Self::NoThreads | Self::Suites(_) | Self::Config(_) => Exit::Usage,
            Self::Sink(_) | Self::Host(_) | Self::Run(_) => Exit::Environment,
        }
    }
}
