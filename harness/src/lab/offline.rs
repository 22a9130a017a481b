//! Commands that work on an environment's files while its lab does not run, and see them as the lab would: a disk image
//! names what it lies over by the path the emulator will use.

use std::{
    fs, io,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitStatus, Output},
    time::Duration,
};

use super::{Bind, Hermetic, Lab, LabError, LabHost, LabKind, LabSpec, LabState, Payload};
use crate::base::process;

impl LabHost {
    /// Runs `argv` to its end as a lab of `kind` with these files would see them: in a boundary of its own without
    /// network, or plainly on the host.
    ///
    /// # Errors
    /// The boundary cannot be made, the command cannot be started, or it did not end within `limit`.
    pub async fn offline(
        &self,
        kind: LabKind,
        env: Option<PathBuf>,
        binds: Vec<Bind>,
        argv: &[&str],
        limit: Duration,
    ) -> Result<Output, LabError> {
        let what = || format!("run `{}`", argv.join(" "));
        if kind == LabKind::System {
            let failed = |source| LabError::Request { what: what(), source: io::Error::other(source) };
            return process::output(argv, limit).await.map_err(failed);
        }
        let argv = argv.iter().map(|&arg| arg.to_owned()).collect();
        let payload = Payload::Command { argv, env: vec![], log: None, offline: true };
        let lab = Hermetic::start(self, LabSpec { payload, env, binds }, limit).await?;
        let over = lab.over(limit).await;
        let read = |path: PathBuf| fs::read(path).unwrap_or_default();
        let (stdout, stderr) = (read(lab.paths().command_out()), read(lab.paths().command_err()));
        lab.end(Duration::from_secs(5)).await?;
        match over {
            Some(LabState::PayloadEnded(status)) => {
                Ok(Output { status: ExitStatus::from_raw(status << 8), stdout, stderr })
            }
            Some(other) => Err(other.as_error()),
            None => Err(LabError::TimedOut { what: what(), limit }),
        }
    }
}
