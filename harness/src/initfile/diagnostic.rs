//! What is wrong with an init file, where, and what to do about it. Finds nothing itself.

use std::{fmt, path::PathBuf, sync::Arc};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

/// One thing to say about an init file.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Whether the file is good for anything all the same.
    pub severity: Severity,
    /// Stable name of the kind of problem, such as `init::unknown-key`.
    pub code: &'static str,
    /// What is wrong, naming the thing.
    pub message: String,
    /// The file, as it was named to us; an included one as it was named there.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The offending text, at most one line of it.
    pub text: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where `text` starts in `source`, in bytes.
    pub(super) start: usize,
    pub(super) source: Arc<NamedSource<String>>,
}

/// How much a [`Diagnostic`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// There is no environment from this file.
    Error,
    /// The file means what it means; this is worth knowing.
    Warning,
}

impl Diagnostic {
    /// All of it on one line: `file:line:column: message; help`, and whether it is a warning.
    #[must_use]
    pub fn line(&self) -> String {
        let help = self.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        let kind = if self.severity == Severity::Warning { "warning: " } else { "" };
        format!("{}:{}:{}: {kind}{}{help}", self.file.display(), self.line, self.column, self.message)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
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
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }
    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.start..self.start + self.text.len();
        Some(Box::new(std::iter::once(LabeledSpan::underline(span))))
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
    /// Everything that is wrong with it, and its warnings, in the file's order; never without an error.
    #[error("{}", lines(.0))]
    Invalid(Vec<Diagnostic>),
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::line).collect::<Vec<_>>().join("\n")
}

/// Each with its source line and the offending text underlined, for a terminal.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
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

impl InitFileError {
    /// Every problem as [`render`] shows it.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        match self {
            Self::Invalid(diagnostics) => render(diagnostics, colour),
            Self::Unreadable { .. } => self.to_string(),
        }
    }
}
