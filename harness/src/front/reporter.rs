//! Everything that folds the run's events, side by side: counts, the run's folder, lines on the standard output.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::{
    event::{RunEvent, VERSION},
    report::{
        json,
        model::Summary,
        run,
        sink::Sink,
        term::{Style, Term},
    },
    trace::Recorder,
};

use super::args::{CommandLine, Format};

type Stream = Box<dyn Write>;

/// The reports of a run under way.
pub(super) struct Reporter {
    sink: Sink,
    printer: Printer,
    recorder: Recorder,
    summary: Summary,
    start: Instant,
    /// Whether a report could not be written; said once.
    incomplete: bool,
}

enum Printer {
    Lines(Term<Stream>),
    Json(Stream),
}

impl Reporter {
    /// Reports into `sink` and as `line` says; logs come from `recorder`.
    ///
    /// # Errors
    /// When the file the command line names cannot be made.
    pub(super) fn new(line: &CommandLine, sink: Sink, recorder: Recorder) -> io::Result<Self> {
        let printer = Printer::new(line, sink.folder())?;
        let (summary, start) = (Summary::default(), Instant::now());
        Ok(Self { sink, printer, recorder, summary, start, incomplete: false })
    }

    /// Says how many scenarios there are, ignored ones included, and which suites.
    pub(super) fn begin(&mut self, count: usize, suites: Vec<String>, scenarios: usize, seed: u64) {
        self.printer.begin(count);
        let run = self.sink.run().to_owned();
        let polder = env!("CARGO_PKG_VERSION").to_owned();
        self.take(&RunEvent::RunStarted {
            version: VERSION,
            polder,
            run,
            suites,
            scenarios,
            seed: Some(seed),
        });
    }

    /// Takes an event.
    pub(super) fn take(&mut self, event: &RunEvent) {
        let log = match event {
            RunEvent::ScenarioFinished { suite, scenario, .. } => self.recorder.take(suite, scenario),
            _ => String::new(),
        };
        self.summary.take(event, &log);
        self.printer.show(event, &log);
        if let Err(error) = self.sink.write(self.start.elapsed(), event, &log) {
            self.lacks(error.into());
        }
    }

    fn lacks(&mut self, error: anyhow::Error) {
        if !std::mem::replace(&mut self.incomplete, true) {
            let _ = writeln!(io::stderr(), "{error:#}");
        }
    }

    /// Writes the result; says what it is, and whether all of it could be written.
    pub(super) fn end(mut self, filtered_out: usize, stopped: bool) -> (Summary, bool) {
        self.summary.stopped = stopped;
        let took = self.start.elapsed();
        let Summary { passed, failed, not_run, ignored, expected_failures, .. } = self.summary;
        let seconds = took.as_secs_f64();
        let counts =
            RunEvent::RunFinished { passed, failed, not_run, ignored, expected_failures, stopped, seconds };
        self.take(&counts);
        let report = run::write(self.sink.folder());
        self.printer.end(&self.summary, filtered_out, took);
        match report {
            Ok(written) if self.summary.failed > 0 => {
                let _ = writeln!(io::stderr(), "report: {}", written.page.display());
            }
            Ok(_) => {}
            Err(error) => self.lacks(error.into()),
        }
        (self.summary, !self.incomplete)
    }
}

/// Prints the result of a run in which nothing is selected.
///
/// # Errors
/// As [`Reporter::new`].
pub(super) fn empty(line: &CommandLine, filtered_out: usize) -> io::Result<()> {
    let mut printer = Printer::new(line, std::path::Path::new(""))?;
    printer.begin(0);
    printer.end(&Summary::default(), filtered_out, Duration::ZERO);
    Ok(())
}

impl Printer {
    fn new(line: &CommandLine, folder: &std::path::Path) -> io::Result<Self> {
        let out: Stream = match line.logfile() {
            Some(path) => Box::new(File::create(path)?),
            None => Box::new(io::stdout()),
        };
        let terminal = line.logfile().is_none() && io::stdout().is_terminal();
        let style: Style = line.style(terminal);
        Ok(match line.format() {
            Format::Json => Self::Json(out),
            Format::Pretty | Format::Terse => {
                Self::Lines(Term::new(out, Box::new(io::stderr()), style, folder))
            }
        })
    }

    // Whoever closed our standard output does not want it; the run's folder has everything.

    fn begin(&mut self, count: usize) {
        let _ = match self {
            Self::Lines(term) => term.begin(count),
            Self::Json(out) => writeln!(out, "{}", json::begin(count)),
        };
    }

    fn show(&mut self, event: &RunEvent, log: &str) {
        let _ = match self {
            Self::Lines(term) => term.show(event),
            Self::Json(out) => json::line(event, log).map_or(Ok(()), |line| writeln!(out, "{line}")),
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
