//! Everything that folds the run's events, side by side: the run's folder on one thread, counts and lines on another one,
//! so that nobody who watches waits for a disk.

use std::{
    env,
    fs::File,
    io::{self, IsTerminal, Write},
    panic,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    event::{Outcome, RunEvent, Stamped},
    report::{
        ci::{Ci, Guarded, System},
        digest::Digest,
        json,
        live::{Above, Screen, Usual, View},
        model::Summary,
        run,
        sink::{Sink, SinkError},
        term::{Style, Term},
    },
    trace::{Log, Teller, Told},
};

use super::args::{CommandLine, Format};

/// The file of GitHub's page beside a job.
const PAGE: &str = "GITHUB_STEP_SUMMARY";
/// Events that are written in one go at most.
const MANY: usize = 1_000;

type Stream = Box<dyn Write + Send>;

/// The reports of a run under way.
pub(super) struct Reporter {
    events: Teller,
    files: JoinHandle<Files>,
    lines: JoinHandle<Lines>,
    screen: Option<Screen>,
}

impl Reporter {
    /// Reports what `events` are told, into `sink` and as `line` says, and first that there are `count` scenarios, ignored
    /// ones included.
    ///
    /// # Errors
    /// When the file the command line names, or a thread, cannot be made.
    pub(super) fn begin(line: &CommandLine, sink: Sink, events: &Teller, count: usize) -> io::Result<Self> {
        let view = is_watched(line).then(|| {
            let root = sink.folder().parent().unwrap_or(Path::new(""));
            View::new(Usual::begin_reading(root, sink.run()), line.style(!no_colour()).colour)
        });
        let screen = view.as_ref().map(View::screen).cloned();
        let mut printer = Printer::new(line, sink.folder(), screen.as_ref())?;
        printer.begin(count);
        let digest = env::var_os(PAGE).map(|_| Digest::default());
        let lines = Lines { printer, summary: Summary::default(), view, digest, events: events.clone() };
        let files = Files { sink, screen: screen.clone(), is_complete: true };
        let (to_lines, to_files) = (events.listen(), events.listen());
        let lines = thread::Builder::new().name("lines".into()).spawn(|| lines.take_all(to_lines))?;
        let files = thread::Builder::new().name("files".into()).spawn(|| files.take_all(to_files))?;
        Ok(Self { events: events.clone(), files, lines, screen })
    }

    /// Where what is under way is drawn, if it is.
    pub(super) fn screen(&self) -> Option<&Screen> {
        self.screen.as_ref()
    }

    /// Writes the result; says what it is, and whether all of it could be written. What is told from now on is lost.
    pub(super) fn end(self, filtered_out: usize, stopped: bool) -> (Summary, bool) {
        let took = self.events.elapsed();
        self.events.end();
        let (mut lines, mut files) = (joined(self.lines), joined(self.files));
        lines.summary.stopped = stopped;
        let Summary { passed, failed, not_run, ignored, expected_failures, .. } = lines.summary;
        let seconds = took.as_secs_f64();
        let counts =
            RunEvent::RunFinished { passed, failed, not_run, ignored, expected_failures, stopped, seconds };
        files.take(&[Told { stamped: Stamped::new(took, counts), log: Log::default() }.into()]);
        let report = run::write(files.sink.folder());
        lines.printer.end(&lines.summary, filtered_out, took);
        lines.write_digest();
        match report {
            Ok(written) if lines.summary.failed > 0 => {
                let _ = writeln!(io::stderr(), "{AGAIN}");
                let _ = writeln!(io::stderr(), "report: {}", written.page.display());
            }
            Ok(_) => {}
            Err(error) => files.lacks(error.into()),
        }
        (lines.summary, files.is_complete)
    }
}

/// What to do after a failure.
const AGAIN: &str = "again: `cargo test -- --rerun-failed` runs what failed; with POLDER_KEEP=failed before it, its machines stay for `polder enter`";

/// What a thread leaves; its panic is ours.
fn joined<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// The fold into the run's folder.
struct Files {
    sink: Sink,
    screen: Option<Screen>,
    /// Whether everything could be written; that it could not is said once.
    is_complete: bool,
}

impl Files {
    fn take_all(mut self, events: Receiver<Arc<Told>>) -> Self {
        while let Ok(told) = events.recv() {
            let more: Vec<_> = std::iter::once(told).chain(events.try_iter().take(MANY)).collect();
            self.take(&more);
        }
        self
    }

    fn take(&mut self, events: &[Arc<Told>]) {
        let written: Result<(), SinkError> = self.sink.write(events.iter().map(AsRef::as_ref));
        if let Err(error) = written {
            self.lacks(error.into());
        }
    }

    fn lacks(&mut self, error: anyhow::Error) {
        if std::mem::replace(&mut self.is_complete, false) {
            let _ = writeln!(Above::new(io::stderr(), self.screen.as_ref()), "{error:#}");
        }
    }
}

/// The fold into what is shown.
struct Lines {
    printer: Printer,
    summary: Summary,
    /// What is under way, where somebody watches.
    view: Option<View>,
    /// The page beside the job, where somebody wants one.
    digest: Option<Digest>,
    events: Teller,
}

impl Lines {
    fn take_all(mut self, events: Receiver<Arc<Told>>) -> Self {
        loop {
            let told = match &self.view {
                None => events.recv().map_err(RecvTimeoutError::from),
                Some(view) => events.recv_timeout(view.rest()),
            };
            match told {
                Ok(told) => self.take(&told),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Some(view) = self.view.as_mut().filter(|view| view.rest().is_zero()) {
                view.draw(self.events.elapsed());
            }
        }
        self.view.iter().for_each(|view| view.screen().end());
        self
    }

    fn take(&mut self, told: &Told) {
        self.view.iter_mut().for_each(|view| view.take(told));
        let Told { stamped: Stamped { event, .. }, log } = told;
        self.printer.show(told);
        self.digest.iter_mut().for_each(|digest| digest.take(event));
        // Only after it is said that something failed: to make its log to text takes a while.
        let failed = matches!(event, RunEvent::ScenarioFinished { outcome: Outcome::Failed { .. }, .. });
        self.summary.take(event, &if failed { log.folded() } else { String::new() });
    }
}

/// Whether somebody watches who wants to see what is under way: at a terminal that can do more than write lines, and not
/// with the lines of scenarios in between.
fn is_watched(line: &CommandLine) -> bool {
    let style = line.style(false);
    let can_draw = env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb");
    let is_plain = line.format() == Format::Pretty && !style.live_log && !style.verbose;
    is_plain && can_draw && io::stderr().is_terminal()
}

/// Whether the environment asks for no colours.
fn no_colour() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

impl Lines {
    /// Adds to what the file has from other steps.
    fn write_digest(&self) {
        let (Some(digest), Some(path)) = (&self.digest, env::var_os(PAGE)) else { return };
        let file = File::options().create(true).append(true).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(digest.page().as_bytes())) {
            let _ = writeln!(io::stderr(), "cannot write {PAGE} {}: {error}", Path::new(&path).display());
        }
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

enum Printer {
    Lines(Box<Term<Stream>>),
    Json(Stream),
}

/// Prints the result of a run in which nothing is selected.
///
/// # Errors
/// As [`Reporter::begin`].
pub(super) fn empty(line: &CommandLine, filtered_out: usize) -> io::Result<()> {
    let mut printer = Printer::new(line, Path::new(""), None)?;
    printer.begin(0);
    printer.end(&Summary::default(), filtered_out, Duration::ZERO);
    Ok(())
}

/// The folder below `root` in which cargo's workspace is that we were built in: where its lock is, above where cargo runs us.
fn workspace_below(root: &Path) -> Option<String> {
    let here = std::env::current_dir().ok()?;
    let workspace = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file())?;
    Some(workspace.strip_prefix(root).ok()?.display().to_string())
}

impl Printer {
    fn new(line: &CommandLine, folder: &Path, screen: Option<&Screen>) -> io::Result<Self> {
        let system = System::of(variable).filter(|_| screen.is_none() && line.format() != Format::Json);
        let out: Stream = match line.logfile() {
            Some(path) => Box::new(File::create(path)?),
            None if system.is_some() => Box::new(Guarded::new(io::stdout())),
            None => Box::new(Above::new(io::stdout(), screen)),
        };
        let terminal = line.logfile().is_none() && io::stdout().is_terminal();
        let style = Style { is_watched: screen.is_some(), ..line.style(terminal && !no_colour()) };
        if line.format() == Format::Json {
            return Ok(Self::Json(out));
        }
        let term = match system {
            None => Term::new(out, Box::new(Above::new(io::stderr(), screen)), style, folder),
            Some(system) => {
                let root = variable("GITHUB_WORKSPACE");
                let below = root.as_deref().and_then(|root| workspace_below(Path::new(root)));
                let ci = Ci::new(system, root).below(&below.unwrap_or_default());
                let notes = Box::new(Guarded::new(io::stderr()));
                Term::new(out, notes, style, folder).in_ci(ci, Box::new(io::stderr()))
            }
        };
        Ok(Self::Lines(Box::new(term)))
    }

    // Whoever closed our standard output does not want it; the run's folder has everything.

    fn begin(&mut self, count: usize) {
        let _ = match self {
            Self::Lines(term) => term.begin(count),
            Self::Json(out) => writeln!(out, "{}", json::begin(count)),
        };
    }

    fn show(&mut self, told: &Told) {
        let Told { stamped, log } = told;
        let _ = match self {
            Self::Lines(term) => term.show(stamped),
            Self::Json(out) => {
                json::line(&stamped.event, || log.whole()).map_or(Ok(()), |line| writeln!(out, "{line}"))
            }
        };
    }

    fn end(&mut self, summary: &Summary, filtered_out: usize, took: Duration) {
        let seconds = took.as_secs_f64();
        let _ = match self {
            Self::Lines(term) => term.end(summary, filtered_out, seconds),
            Self::Json(out) => writeln!(out, "{}", json::end(summary, filtered_out, seconds)),
        };
    }
}
