//! What a verb does, told twice: in the prefix's log with everything, and on standard error as much as was asked for.
//! Not results, which go to standard output.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::{
    base::time::Utc,
    trace::layer::{Fields, filter},
};

/// Both places; clones are the same ones.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Mutex<Sinks>>);

#[derive(Debug)]
struct Sinks {
    /// What is told on standard error, if anything.
    told: Option<Level>,
    /// How deep.
    depth: usize,
    colour: bool,
    file: Option<(PathBuf, File)>,
    /// Lines from before it was known where the log is.
    before: String,
}

impl Log {
    /// Records from now on. Standard error is told what is `level` or worse, `depth` tasks deep; nothing when `quiet`.
    pub(super) fn install(level: Level, depth: Option<usize>, quiet: bool) -> Self {
        let log = Self::new(level, depth, quiet);
        let _ = tracing_subscriber::registry().with(log.clone().with_filter(filter())).try_init();
        log
    }

    fn new(level: Level, depth: Option<usize>, quiet: bool) -> Self {
        Self(Arc::new(Mutex::new(Sinks {
            told: (!quiet).then_some(level),
            depth: depth.unwrap_or(usize::MAX),
            colour: colour(&io::stderr()),
            file: None,
            before: String::new(),
        })))
    }

    /// Appends to the file at `path` from now on, beginning with what was not written yet.
    pub(super) fn open(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut sinks = self.sinks();
        file.write_all(std::mem::take(&mut sinks.before).as_bytes())?;
        sinks.file = Some((path.to_owned(), file));
        Ok(())
    }

    /// The file was moved there.
    pub(super) fn moved(&self, path: &Path) {
        if let Some((at, _)) = &mut self.sinks().file {
            path.clone_into(at);
        }
    }

    /// Whether standard error is told what is of this level.
    pub(super) fn is_told(&self, level: Level) -> bool {
        self.sinks().told.is_some_and(|told| level <= told)
    }

    /// Where it is written, if it is.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.sinks().file.as_ref().map(|(path, _)| path.clone()).filter(|path| path.exists())
    }

    /// A panic elsewhere must not silence the log of what led to it.
    fn sinks(&self) -> MutexGuard<'_, Sinks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sinks {
    /// `level` decides what is told; the file has everything.
    fn write(&mut self, meta: &Metadata<'_>, level: Level, depth: usize, text: &str) {
        let now = Utc::from(SystemTime::now());
        let stamp = now.to_string().trim_end_matches('Z').to_owned();
        let line = format!("{stamp}.{:03}Z {:5} {}{text}\n", now.millis, meta.level(), "  ".repeat(depth));
        match &mut self.file {
            // A full disk must not end what is logged.
            Some((_, file)) => drop(file.write_all(line.as_bytes())),
            None => self.before.push_str(&line),
        }
        // What libraries say is for the file.
        let ours = meta.target().starts_with("polder");
        if ours && depth < self.depth && self.told.is_some_and(|told| level <= told) {
            let (on, off) = match level {
                Level::ERROR if self.colour => ("\x1b[31m", "\x1b[0m"),
                Level::WARN if self.colour => ("\x1b[33m", "\x1b[0m"),
                _ => ("", ""),
            };
            // Nor must a terminal that is gone.
            let _ = writeln!(io::stderr(), "{}{on}{text}{off}", "  ".repeat(depth));
        }
    }
}

/// Whether colours are welcome there: on a terminal, unless `NO_COLOR` is set.
pub(super) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How many spans are around.
fn depth<S: Subscriber + for<'a> LookupSpan<'a>>(context: &Context<'_, S>, id: Option<&Id>) -> usize {
    id.and_then(|id| context.span_scope(id)).map_or(0, Iterator::count)
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let meta = attributes.metadata();
        let depth = depth(&context, Some(id)).saturating_sub(1);
        // Tasks are told by what they say; that they begin is a detail.
        self.sinks().write(meta, Level::DEBUG, depth, &fields.text(meta.name()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let span = context.event_span(event).map(|span| span.id());
        let (meta, depth) = (event.metadata(), depth(&context, span.as_ref()));
        self.sinks().write(meta, *meta.level(), depth, &fields.text(""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_the_file_also_what_came_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/polder.log");
        let log = Log::new(Level::INFO, Some(3), true);
        let subscriber = tracing_subscriber::registry().with(log.clone().with_filter(filter()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "polder", "early");
            log.open(&path).unwrap();
            tracing::info_span!(target: "polder", "boot", machine = "web").in_scope(|| {
                tracing::debug!(target: "polder", tries = 3, "answers");
            });
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| &line[24..]).collect();
        assert_eq!(lines, [" INFO  early", " INFO  boot machine=web", " DEBUG   answers tries=3"]);
        assert!(text.starts_with("20") && &text[19..20] == ".", "{text}");
        assert_eq!(log.path(), Some(path));
    }
}
