//! The texts that make up an init file and everything found wrong with them so far. Finds nothing itself.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::NamedSource;

use super::{
    diagnostic::{Diagnostic, InitFileError, Severity},
    options::Loaded,
    spec::{EnvSpec, Place},
};

/// How many problems are noted: nobody reads more, and hostile files could have millions.
const MOST: usize = 1000;

/// A piece of one of the texts, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    /// Number of the text.
    pub(crate) file: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    /// Nothing, at the beginning of a text.
    pub(crate) fn start_of(file: usize) -> Self {
        Self { file, start: 0, end: 0 }
    }
}

/// One text: the init file is the first, what it includes follows.
#[derive(Debug)]
struct Source {
    named: Arc<NamedSource<String>>,
    /// As messages name it.
    name: PathBuf,
    /// Absolute folder: where its relative paths start.
    folder: PathBuf,
    /// Where its lines start.
    lines: Vec<usize>,
}

/// All texts, and what was found.
#[derive(Debug)]
pub(crate) struct Problems {
    sources: Vec<Source>,
    found: Vec<(Span, Diagnostic)>,
    seen: HashSet<(&'static str, Span, String)>,
    allow_unknown: bool,
}

impl Problems {
    pub(crate) fn new(allow_unknown: bool) -> Self {
        Self { sources: Vec::new(), found: Vec::new(), seen: HashSet::new(), allow_unknown }
    }

    /// Takes in a text and gives its number.
    pub(crate) fn source(&mut self, name: PathBuf, folder: PathBuf, text: &str) -> usize {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let named = NamedSource::new(name.to_string_lossy(), text.to_owned()).with_language("yaml");
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        self.sources.push(Source { named: Arc::new(named), name, folder, lines });
        self.sources.len() - 1
    }

    pub(crate) fn text(&self, file: usize) -> &str {
        self.sources.get(file).map(|s| s.named.inner().as_str()).unwrap_or_default()
    }

    /// What messages call a text.
    pub(crate) fn name(&self, file: usize) -> &Path {
        self.sources.get(file).map(|s| s.name.as_path()).unwrap_or(Path::new(""))
    }

    /// Where relative paths of a text start.
    pub(crate) fn folder(&self, file: usize) -> &Path {
        self.sources.get(file).map(|s| s.folder.as_path()).unwrap_or(Path::new(""))
    }

    /// Notes one error. Met twice through an alias it counts once, which is why messages do not name the machine they
    /// were met in.
    pub(crate) fn add(&mut self, code: &'static str, span: &Span, message: String, help: Option<String>) {
        self.note(Severity::Error, code, span, message, help);
    }

    /// Notes something that stops nobody.
    pub(crate) fn warn(&mut self, code: &'static str, span: &Span, message: String, help: Option<String>) {
        self.note(Severity::Warning, code, span, message, help);
    }

    /// Notes something nobody knows what to do with: an error unless we were told to put up with it.
    pub(crate) fn unknown(&mut self, code: &'static str, span: &Span, message: String, help: Option<String>) {
        let severity = if self.allow_unknown { Severity::Warning } else { Severity::Error };
        self.note(severity, code, span, message, help);
    }

    fn note(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: &Span,
        message: String,
        help: Option<String>,
    ) {
        let Some(source) = self.sources.get(span.file) else {
            return;
        };
        let span = first_line(source.named.inner(), span);
        if self.found.len() > MOST || !self.seen.insert((code, span, message.clone())) {
            return;
        }
        let (code, severity, message, help) = match self.found.len() {
            MOST => {
                ("init::too-many", Severity::Error, "there are more problems than these".to_owned(), None)
            }
            _ => (code, severity, message, help),
        };
        let place = self.place(&span);
        let text = source.named.inner().get(span.start..span.end).unwrap_or_default().to_owned();
        let source = Arc::clone(&source.named);
        let Place { file, line, column } = place;
        let start = span.start;
        let diagnostic =
            Diagnostic { severity, code, message, file, line, column, text, help, start, source };
        self.found.push((span, diagnostic));
    }

    /// Where a span starts.
    pub(crate) fn place(&self, span: &Span) -> Place {
        let Some(source) = self.sources.get(span.file) else {
            return Place { file: PathBuf::new(), line: 1, column: 1 };
        };
        let line = source.lines.partition_point(|start| *start <= span.start);
        let line_start = line.checked_sub(1).and_then(|i| source.lines.get(i)).copied().unwrap_or_default();
        let before = source.named.inner().get(line_start..span.start).unwrap_or_default();
        Place { file: source.name.clone(), line, column: before.chars().count() + 1 }
    }

    /// Where `first` starts, for a message about `span`: the line, and the file if that is another.
    pub(crate) fn elsewhere(&self, first: &Span, span: &Span) -> String {
        let place = self.place(first);
        match first.file == span.file {
            true => format!("on line {}", place.line),
            false => format!("on line {} of {}", place.line, place.file.display()),
        }
    }

    /// Whether an error was noted.
    pub(crate) fn any_error(&self) -> bool {
        self.found.iter().any(|(_, d)| d.severity == Severity::Error)
    }

    /// Takes out what was noted so far, in the order of the texts.
    pub(crate) fn take(&mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(span, _)| (span.file, span.start));
        std::mem::take(&mut self.found).into_iter().map(|(_, d)| d).collect()
    }

    /// What was made of the file, if there was no error.
    pub(crate) fn verdict(mut self, made: Option<EnvSpec>) -> Result<Loaded, InitFileError> {
        let failed = self.any_error();
        let found = self.take();
        match made.filter(|_| !failed) {
            Some(spec) => {
                let text = |source: Source| (source.name, source.named.inner().clone());
                let included = self.sources.into_iter().skip(1).map(text).collect();
                Ok(Loaded { spec, warnings: found, included })
            }
            None => Err(InitFileError::Invalid(found)),
        }
    }
}

/// What of a span is shown: its first line, without the blanks after it.
fn first_line(text: &str, span: &Span) -> Span {
    let start = span.start.min(text.len());
    let rest = text.get(start..span.end.clamp(start, text.len())).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let shown = Some(line.trim_end().len()).filter(|len| *len > 0).unwrap_or(line.len());
    Span { file: span.file, start, end: start + shown }
}
