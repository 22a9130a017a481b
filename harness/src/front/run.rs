//! Runs the picked suites side by side until all have ended.
//!
//! Two runtimes: scenarios run on `work`, whose threads they may block; suites, limits and signals run on this thread,
//! which they cannot. Reports have threads of their own, which hold up nobody.

use std::{io, path::PathBuf, sync::Arc};

use tokio::{runtime, sync::Semaphore, task::JoinSet};

use crate::{
    base::exit::Exit,
    change::{Plan, Recorded, Report},
    cvp::CvpSpec,
    env::Host,
    event::{RunEvent, VERSION},
    provider::libvirt::{CLOSING, wait_closed},
    report::{changes, sink::Sink},
    suite::{
        budget::Budget,
        leaks::Audit,
        pause::Pauses,
        runner::{Keep, Runner},
        stop, task,
    },
    trace::{Recorder, Teller},
};

use super::{args::CommandLine, pause, reporter::Reporter, select::Picked, watch::Watch};

/// Where suites run.
pub(super) struct Place {
    pub(super) host: Host,
    /// The portal of those that have a session at one; each has one of its own when absent.
    pub(super) portal: Option<CvpSpec>,
    /// Whether a scenario for which something is lacking has failed.
    pub(super) strict: bool,
    pub(super) keep: Keep,
    pub(super) budget: Budget,
    /// From which all seeds are.
    pub(super) seed: u64,
    /// Whether suites stand still at a failure.
    pub(super) pause: bool,
}

/// Runs `picked`, at most `threads` at a time, reporting into `sink`.
///
/// # Errors
/// When the runtimes or the signals cannot be had, or the file the command line names cannot be made.
pub(super) fn run(
    line: &CommandLine,
    picked: Vec<Picked>,
    filtered_out: usize,
    threads: usize,
    sink: Sink,
    place: Place,
) -> io::Result<Exit> {
    let work = runtime::Builder::new_multi_thread().thread_name("scenario").enable_all().build()?;
    let control = runtime::Builder::new_current_thread().enable_all().build()?;
    task::install_panic_hook();
    let recorder = Recorder::default();
    let events = Teller::new(recorder.clone());
    let (stopper, stop) = stop::pair();
    let folder = sink.folder().to_owned();
    let reporter = begin(line, sink, &events, &picked, place.seed)?;
    let screen = reporter.screen().cloned();
    recorder.install(events.clone());
    let Place { host, portal, strict, keep, budget, seed, pause } = place;
    let (pauses, asked) = pause.then(Pauses::new).unzip();
    let work_handle = work.handle().clone();
    let runner = Runner {
        work: work_handle,
        events,
        recorder,
        stop: stop.clone(),
        folder,
        host,
        portal,
        strict,
        keep,
        budget,
        audit: Audit::default(),
        seed,
        pauses,
        tell,
    };
    control.block_on(async {
        asked.map(|asked| tokio::spawn(pause::answer(asked, stopper.clone())));
        tokio::spawn(Watch::new()?.run(stopper, screen));
        suites(runner, picked, threads).await;
        io::Result::Ok(())
    })?;
    // What could not be stopped must not keep the process.
    work.shutdown_background();
    drop(control);
    wait_closed(CLOSING);
    let (summary, complete) = reporter.end(filtered_out, stop.is_requested());
    Ok(match () {
        () if summary.stopped => Exit::Stopped,
        () if summary.failed > 0 => Exit::TestsFailed,
        () if !complete => Exit::Environment,
        () => Exit::Done,
    })
}

/// Writes what became of changes.
fn tell(plan: &Plan, report: &Report, recorded: &Recorded) -> anyhow::Result<PathBuf> {
    Ok(changes::keep(plan, report, recorded)?)
}

/// Reports from now on, and first which suites and how many scenarios there are.
fn begin(
    line: &CommandLine,
    sink: Sink,
    events: &Teller,
    picked: &[Picked],
    seed: u64,
) -> io::Result<Reporter> {
    let scenarios = picked.iter().map(|picked| picked.selection.run.len()).sum();
    let idle = |picked: &Picked| picked.selection.ignored.len() + picked.selection.left_out.len();
    let idle: usize = picked.iter().map(idle).sum();
    let suites = picked.iter().map(|picked| picked.suite.name.clone()).collect();
    let (polder, run) = (env!("CARGO_PKG_VERSION").to_owned(), sink.run().to_owned());
    let reporter = Reporter::begin(line, sink, events, scenarios + idle)?;
    events.send(RunEvent::RunStarted { version: VERSION, polder, run, suites, scenarios, seed: Some(seed) });
    Ok(reporter)
}

async fn suites(runner: Runner, picked: Vec<Picked>, threads: usize) {
    let runner = Arc::new(runner);
    let seats = Arc::new(Semaphore::new(threads));
    let mut running = JoinSet::new();
    for Picked { suite, selection } in picked {
        let (runner, seats) = (Arc::clone(&runner), Arc::clone(&seats));
        running.spawn(async move {
            // The semaphore is fair: suites begin in source order.
            let _seat = seats.acquire().await;
            runner.run(&suite, &selection).await;
        });
    }
    while running.join_next().await.is_some() {}
}
