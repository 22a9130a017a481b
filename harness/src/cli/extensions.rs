//! What a binary of one's own adds to the command, or to its suites.

use std::{process::ExitCode, sync::Arc};

use super::output::{self, OutputFormat};
use crate::{
    env::{Host, MachineType},
    provider::MachineProvider,
    service::ServiceManager,
    template::SourceFactory,
};

/// Extensions of the command and of suites. A binary of one's own registers them and is the command from then on; a test
/// target gives them to [`main!`](crate::main):
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     polder::cli::Extensions::default().main()
/// }
/// ```
pub struct Extensions {
    formats: Vec<Box<dyn OutputFormat>>,
    types: Vec<Arc<dyn MachineType>>,
    sources: Vec<(String, SourceFactory)>,
    providers: Vec<Arc<dyn MachineProvider>>,
    services: Vec<Arc<dyn ServiceManager>>,
}

impl std::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sources: Vec<_> = self.sources.iter().map(|(kind, _)| kind).collect();
        f.debug_struct("Extensions")
            .field("formats", &self.formats)
            .field("types", &self.types)
            .field("sources", &sources)
            .field("providers", &self.providers)
            .field("services", &self.services)
            .finish()
    }
}

impl Default for Extensions {
    fn default() -> Self {
        Self {
            formats: output::builtin(),
            types: vec![],
            sources: vec![],
            providers: vec![],
            services: vec![],
        }
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

    /// Adds a type of machines; one that is there under its name is replaced.
    #[must_use]
    pub fn machine_type(mut self, machine_type: impl MachineType + 'static) -> Self {
        self.types.retain(|known| known.name() != machine_type.name());
        self.types.push(Arc::new(machine_type));
        self
    }

    /// Adds a kind of source that manifests of template repositories may name.
    #[must_use]
    pub fn template_source(mut self, kind: &str, factory: SourceFactory) -> Self {
        self.sources.push((kind.to_owned(), factory));
        self
    }

    /// Adds somebody who makes machines; one that is there under its name is replaced.
    #[must_use]
    pub fn machine_provider(mut self, provider: impl MachineProvider + 'static) -> Self {
        self.providers.retain(|known| known.name() != provider.name());
        self.providers.push(Arc::new(provider));
        self
    }

    /// Adds a manager of services in guests, asked before those that are there; one of its name is replaced.
    #[must_use]
    pub fn service_manager(mut self, manager: impl ServiceManager + 'static) -> Self {
        self.services.retain(|known| known.name() != manager.name());
        self.services.push(Arc::new(manager));
        self
    }

    /// The command with them, from its arguments to its exit code.
    #[must_use]
    pub fn main(self) -> ExitCode {
        super::run::main(self)
    }

    /// The `main` of a suite binary with them, from its arguments to its exit code. Ways to print results mean nothing
    /// there.
    #[must_use]
    pub fn suites(self) -> ExitCode {
        crate::front::main(|host| self.extend(host))
    }

    /// Lets `host` have everything that was added.
    pub(super) fn extend(&self, host: &mut Host) {
        let typed = |name: &str| self.types.iter().any(|one| one.name() == name);
        host.types.retain(|known| !typed(known.name()));
        host.types.extend(self.types.iter().cloned());
        let added = |name: &str| self.providers.iter().any(|provider| provider.name() == name);
        host.providers.retain(|known| !added(known.name()));
        host.providers.extend(self.providers.iter().cloned());
        let managed = |name: &str| self.services.iter().any(|manager| manager.name() == name);
        host.services.retain(|known| !managed(known.name()));
        host.services.splice(0..0, self.services.iter().cloned());
        for (kind, source) in &self.sources {
            host.templates = host.templates.clone().with_source(kind, Arc::clone(source));
        }
    }

    pub(super) fn format(&self, name: &str) -> Option<&dyn OutputFormat> {
        self.formats.iter().find(|format| format.name() == name).map(Box::as_ref)
    }

    pub(super) fn format_names(&self) -> Vec<&str> {
        self.formats.iter().map(|format| format.name()).collect()
    }
}
