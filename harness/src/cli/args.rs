//! The command line as typed.

use std::{path::PathBuf, str::FromStr};

use clap::{Parser, Subcommand};

/// Real machines and networks from an init file, in a lab that leaves nothing behind.
#[derive(Debug, Parser)]
#[command(name = "polder", version, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Print what would be made of an init file.
    Plan {
        /// The init file.
        file: PathBuf,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what is wrong with an init file, all at once.
    Validate {
        /// The init file.
        file: PathBuf,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
        /// Take keys nobody knows for warnings.
        #[arg(long)]
        allow_unknown: bool,
        /// A value for a variable of the file.
        #[arg(long = "var", value_name = "NAME=VALUE")]
        variables: Vec<Variable>,
    },
    /// Print the JSON Schema of init files, for editors.
    Schema,
    /// Bring an environment up and leave it running.
    Up {
        /// The init file.
        file: PathBuf,
    },
    /// Show how a running environment fares.
    Status {
        /// The init file it was made from.
        file: PathBuf,
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Open a shell in a machine, or run a command there and pass its exit status through.
    Shell {
        /// The init file its environment was made from.
        file: PathBuf,
        /// The machine.
        machine: String,
        /// The command, its arguments taken as they are; a login shell without.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// End a running environment; nothing of it is left.
    Down {
        /// The init file it was made from.
        file: PathBuf,
    },
    /// Guest images: build them ahead, find them, remove old ones.
    Images {
        #[command(subcommand)]
        what: Images,
    },
    /// Templates: what there is, fetch it ahead, verify and prune the store, add images, register repositories.
    Templates(super::cmd::templates::TemplatesArgs),
    /// Say whether labs work on this host, what is missing, and the command that mends it.
    Doctor,
}

/// A value for a variable of an init file: `NAME=VALUE`.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
}

impl FromStr for Variable {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Images {
    /// List all recipes and whether they are built.
    List,
    /// Build an image unless it is there.
    Build {
        /// Its name.
        name: String,
    },
    /// Print the folder of a built image.
    Path {
        /// Its name.
        name: String,
    },
    /// Remove images no recipe makes any more, and what interrupted builds left.
    Prune,
}
