//! What a binary of one's own adds to the command.

use std::{fmt::Debug, process::ExitCode};

use super::{
    exit::BadInput,
    output::{self, OutputFormat},
};
use crate::{
    initfile::{EnvSpec, spec::MachineSpec},
    template::SourceFactory,
};

/// Extensions of the command. A binary of one's own registers them and is the command from then on:
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     polder::cli::Extensions::default().main()
/// }
/// ```
pub struct Extensions {
    formats: Vec<Box<dyn OutputFormat>>,
    types: Vec<Box<dyn MachineType>>,
    sources: Vec<(String, SourceFactory)>,
}

/// A class of machines, named by `vm-type` in init files.
pub trait MachineType: Debug + Send + Sync {
    /// What it is called there.
    fn name(&self) -> &str;

    /// Adds to a machine of that class what all of them have, before anything is decided.
    ///
    /// # Errors
    /// What of the machine does not go with its class.
    fn shape(&self, machine: &mut MachineSpec) -> anyhow::Result<()>;
}

impl std::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sources: Vec<_> = self.sources.iter().map(|(kind, _)| kind).collect();
        f.debug_struct("Extensions")
            .field("formats", &self.formats)
            .field("types", &self.types)
            .field("sources", &sources)
            .finish()
    }
}

impl Default for Extensions {
    fn default() -> Self {
        Self { formats: output::builtin(), types: vec![], sources: vec![] }
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

    /// Adds a class of machines.
    #[must_use]
    pub fn machine_type(mut self, machine_type: impl MachineType + 'static) -> Self {
        self.types.push(Box::new(machine_type));
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

    /// Lets each machine be shaped by its class; classes nobody knows are the plan's to report.
    pub(super) fn shape(&self, spec: &mut EnvSpec) -> Result<(), BadInput> {
        for machine in &mut spec.machines {
            if let Some(class) =
                self.types.iter().find(|class| Some(class.name()) == machine.vm_type.as_deref())
            {
                class.shape(machine).map_err(|error| {
                    BadInput(format!(
                        "{}: machine {} is no {}: {error:#}",
                        machine.at,
                        machine.name,
                        class.name()
                    ))
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn machine_types(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(|class| class.name())
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
