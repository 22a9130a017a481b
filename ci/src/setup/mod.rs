//! `cargo ci setup`: installs what the demo and the tests need and this machine lacks. Says what it does, does nothing
//! twice, and leaves the network alone when nothing is missing. The harness itself installs nothing; `polder doctor` advises.

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
mod tools;

/// The verb.
pub(crate) fn run() -> Result<ExitCode> {
    prepare()?;
    Ok(ExitCode::SUCCESS)
}

/// Brings this machine to where everything can run; returns what could not be had.
pub(crate) fn prepare() -> Result<Vec<Skip>> {
    println!("=== set-up");
    let mut skips = apt::install(packages::PACKAGES)?;
    tools::components()?;
    skips.extend(tools::nextest());
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
    apt::install(packages).map(drop)
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
