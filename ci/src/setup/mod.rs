//! `cargo ci setup`: installs what suites need and this machine lacks, and what more our tests need for who runs those. Says
//! what it does, does nothing twice, and leaves the network alone when nothing is missing. The harness itself installs
//! nothing; `polder doctor` advises.

use std::{
    io::ErrorKind,
    process::{Command, ExitCode, Stdio},
};

use anyhow::Result;

use crate::{command::Refused, phases::Skip};

pub(crate) mod accounts;
mod apt;
mod host;
pub(crate) mod packages;
mod room;
mod tools;

/// The verb.
pub(crate) fn run() -> Result<ExitCode> {
    prepare(For::Suites)?;
    Ok(ExitCode::SUCCESS)
}

/// What is to run on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Suites: what whoever begins wants at once.
    Suites,
    /// The tests of Polder itself, which take minutes more to prepare.
    Tests,
}

/// Brings this machine to where that can run; returns what could not be had.
pub(crate) fn prepare(what: For) -> Result<Vec<Skip>> {
    println!("=== set-up");
    for warning in room::lacking(what)? {
        println!("warning: {warning}");
    }
    let mut skips = apt::install(&packages::needed_for(what))?;
    if what == For::Tests {
        tools::components()?;
        skips.extend(tools::nextest());
    }
    host::open_tun()?;
    accounts::own_ids()?;
    skips.extend(host::user_namespaces());
    if skips.is_empty() {
        println!("nothing is missing");
    }
    Ok(skips)
}

/// Installs what is missing of `packages`, for who needs more than everybody.
pub(crate) fn also(packages: &'static [packages::Package]) -> Result<()> {
    apt::install(&packages.iter().collect::<Vec<_>>()).map(drop)
}

/// How things that need root are done here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// We are root.
    Direct,
    /// Through sudo, which does not ask for a password.
    Sudo,
}

impl Root {
    /// Finds a way, or refuses with the commands a person must run.
    pub(crate) fn get(wanted: &[String]) -> Result<Self> {
        if is_root() {
            return Ok(Self::Direct);
        }
        let sudo =
            Command::new("sudo").args(["-n", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        match sudo {
            Ok(status) if status.success() => Ok(Self::Sudo),
            Ok(_) => Err(refusal("sudo asks for a password", wanted)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(refusal("there is no sudo", wanted)),
            Err(error) => Err(refusal(&format!("sudo does not start ({error})"), wanted)),
        }
    }

    /// The command as root.
    pub(crate) fn command(self, program: &str) -> Command {
        match self {
            Self::Direct => Command::new(program),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["-n", program]);
                command
            }
        }
    }
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    accounts::own_uid() == Some(0)
}

fn refusal(why: &str, wanted: &[String]) -> anyhow::Error {
    Refused(format!("this needs root, and {why}; run first:\n  {}", wanted.join("\n  "))).into()
}
