//! What a binary of one's own adds to the command.

use std::process::ExitCode;

use super::output::{self, OutputFormat};
use crate::template::SourceFactory;

/// Extensions of the command. A binary of one's own registers them and is the command from then on:
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     polder::cli::Extensions::default().main()
/// }
/// ```
pub struct Extensions {
    formats: Vec<Box<dyn OutputFormat>>,
    sources: Vec<(String, SourceFactory)>,
}

impl std::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sources: Vec<_> = self.sources.iter().map(|(kind, _)| kind).collect();
        f.debug_struct("Extensions").field("formats", &self.formats).field("sources", &sources).finish()
    }
}

impl Default for Extensions {
    fn default() -> Self {
        Self { formats: output::builtin(), sources: vec![] }
    }
}

impl Extensions {
    /// Adds a way to print results; one that is there under its name is replaced.
    #[must_use]
    pub fn output_format(mut self, format: impl OutputFormat + 'static) -> Self {
        self.formats.retain(|known| known.name() != format.name());
        self.formats.push(Box::new(format));
        self
    }

    /// Adds a kind of source that manifests of template repositories may name.
    #[must_use]
    pub fn template_source(mut self, kind: &str, factory: SourceFactory) -> Self {
        self.sources.push((kind.to_owned(), factory));
        self
    }

    /// The command with them, from its arguments to its exit code.
    #[must_use]
    pub fn main(self) -> ExitCode {
        super::run::main(self)
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &(String, SourceFactory)> {
        self.sources.iter()
    }

    pub(super) fn format(&self, name: &str) -> Option<&dyn OutputFormat> {
        self.formats.iter().find(|format| format.name() == name).map(Box::as_ref)
    }

    pub(super) fn format_names(&self) -> Vec<&str> {
        self.formats.iter().map(|format| format.name()).collect()
    }
}
