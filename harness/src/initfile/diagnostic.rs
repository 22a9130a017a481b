//! What is wrong with an init file, where, and what to do about it. Finds nothing itself.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::{
    check::Loaded,
    spec::{EnvSpec, Place},
};

/// Bytes of the init file's text.
pub(crate) type Span = Range<usize>;

/// One problem of an init file.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Stable name of the kind of problem, such as `init::unknown-key`.
    pub code: &'static str,
    /// What is wrong, naming the thing.
    pub message: String,
    /// The file, as it was named to us.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The offending text, at most one line of it.
    pub text: String,
    /// What to do about it.
    pub help: Option<String>,
    span: Span,
    source: Arc<NamedSource<String>>,
}

/// The message alone: [`InitFileError`] puts the place before it, miette shows it beside the source line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn code(&self) -> Option<Box<dyn fmt::Display + '_>> {
        Some(Box::new(self.code))
    }
    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::underline(self.span.clone()))))
    }
}

/// Why there is no [`EnvSpec`](super::EnvSpec).
#[derive(Debug, thiserror::Error)]
pub enum InitFileError {
    /// The file could not be read.
    #[error("cannot read the init file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Everything that is wrong with it, in the file's order; never empty.
    #[error("{}", lines(.0))]
    Invalid(Vec<Diagnostic>),
}

/// `file:line:column: message; help`, one line for each.
fn lines(diagnostics: &[Diagnostic]) -> String {
    let line = |d: &Diagnostic| {
        let help = d.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        format!("{}:{}:{}: {}{help}", d.file.display(), d.line, d.column, d.message)
    };
    diagnostics.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl InitFileError {
    /// Every problem with its source line and the offending text underlined, for a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let Self::Invalid(diagnostics) = self else {
            return self.to_string();
        };
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false);
        let mut out = String::new();
        for diagnostic in diagnostics {
            if handler.render_report(&mut out, diagnostic).is_err() {
                out.push_str(&lines(std::slice::from_ref(diagnostic)));
            }
        }
        out
    }
}

/// The text of an init file and everything found wrong with it so far.
pub(crate) struct Problems {
    source: Arc<NamedSource<String>>,
    found: Vec<Diagnostic>,
}

impl Problems {
    pub(crate) fn new(origin: &Path, text: &str) -> Self {
        let source = NamedSource::new(origin.to_string_lossy(), text.to_owned()).with_language("yaml");
        Self { source: Arc::new(source), found: Vec::new() }
    }

    pub(crate) fn text(&self) -> &str {
        self.source.inner()
    }

    /// Notes one problem. Met twice through an alias it counts once, which is why messages do not name the machine
    /// they were met in.
    pub(crate) fn add(&mut self, code: &'static str, span: &Span, message: String, help: Option<String>) {
        let span = first_line(self.text(), span);
        let place = self.place(&span);
        let known = |d: &Diagnostic| d.code == code && d.span == span && d.message == message;
        if self.found.iter().any(known) {
            return;
        }
        self.found.push(Diagnostic {
            code,
            message,
            file: self.source.name().into(),
            line: place.line,
            column: place.column,
            text: self.text().get(span.clone()).unwrap_or_default().to_owned(),
            help,
            span,
            source: Arc::clone(&self.source),
        });
    }

    /// Line and column of where a span starts.
    pub(crate) fn place(&self, span: &Span) -> Place {
        let before = self.text().get(..span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Place { file: self.source.name().into(), line: before.matches('\n').count() + 1, column }
    }

    /// What was made of the file, if there was nothing to note.
    pub(crate) fn verdict(mut self, made: Option<EnvSpec>) -> Result<Loaded, InitFileError> {
        self.found.sort_by_key(|d| d.span.start);
        match made {
            Some(spec) if self.found.is_empty() => Ok(Loaded { spec, warnings: Vec::new() }),
            _ => Err(InitFileError::Invalid(self.found)),
        }
    }
}

/// What of a span is shown: its first line, without the blanks after it.
fn first_line(text: &str, span: &Span) -> Span {
    let start = span.start.min(text.len());
    let rest = text.get(start..span.end.clamp(start, text.len())).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let shown = Some(line.trim_end().len()).filter(|len| *len > 0).unwrap_or(line.len());
    start..start + shown
}
