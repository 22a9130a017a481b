//! How far jobs are, on standard error: on a terminal one line that changes, else a line for each change.

use std::io::{self, IsTerminal, Write};

use tracing::Level;

use crate::{base::text::plain, cli::context::Cx, cvp::jobs::JobEvent};

/// Tells how far jobs are.
pub(super) struct Progress {
    is_live: bool,
    /// The job that is done now, and where its devices are.
    job: String,
    devices: Vec<(String, String)>,
}

impl Progress {
    pub(super) fn new(cx: &Cx) -> Self {
        let is_live = io::stderr().is_terminal() && cx.log.is_told(Level::INFO);
        Self { is_live, job: String::new(), devices: Vec::new() }
    }

    pub(super) fn tell(&mut self, event: &JobEvent) {
        match event {
            JobEvent::Begins { number, of, name } => {
                self.job = plain(&format!("{number}/{of} {name}"));
                self.devices.clear();
                self.now("");
            }
            JobEvent::Device { device, state } => {
                match self.devices.iter_mut().find(|(name, _)| name == device) {
                    Some((_, before)) => before.clone_from(state),
                    None => self.devices.push((device.clone(), state.clone())),
                }
                self.now(&format!("{device}: {state}"));
            }
            JobEvent::Change { progress } => {
                self.devices = vec![("change control".to_owned(), progress.clone())];
                self.now(&format!("change control: {progress}"));
            }
            JobEvent::Ends { report } => {
                self.clear();
                let why = report.outcome.why();
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                let job = if self.job.is_empty() { &report.name } else { &self.job };
                let line = plain(&format!("{job}: {}{why}", report.outcome.word()));
                tracing::info!(target: "polder", "{line}");
                self.job.clear();
            }
        }
    }

    /// On a terminal all devices, elsewhere what has changed.
    fn now(&self, change: &str) {
        if !self.is_live {
            let what = if change.is_empty() { String::new() } else { format!(": {change}") };
            return tracing::info!(target: "polder", "{}{what}", self.job);
        }
        let devices: Vec<String> =
            self.devices.iter().map(|(name, state)| format!("{name} {state}")).collect();
        let line = plain(&format!("{} {}", self.job, devices.join(", ")));
        let width = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
        let width = if width == 0 { 80 } else { width };
        let line: String = line.chars().take(width.saturating_sub(1)).collect();
        eprint!("\r\x1b[2K{line}");
        let _ = io::stderr().flush();
    }

    /// Nothing is left of the line that changes.
    fn clear(&self) {
        if self.is_live {
            eprint!("\r\x1b[2K");
            let _ = io::stderr().flush();
        }
    }
}
