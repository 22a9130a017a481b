//! Where the files of a scenario lie: those who write them there do not know each other. Pure.

use std::path::{Path, PathBuf};

/// The file with the state of a portal of our own that a suite had, in the suite's folder.
pub const PORTAL_STATE: &str = "portal.json";

/// The folder with states that were kept when something failed, in the suite's folder: a store of checkpoints.
pub const STATES: &str = ".states";

/// The folder of a suite in a run's folder; module paths are written with `.` for their colons.
#[must_use]
pub fn suite_folder(run: &Path, suite: &str) -> PathBuf {
    run.join(suite.replace("::", "."))
}

/// The folder of a scenario in a run's folder.
#[must_use]
pub fn scenario_folder(run: &Path, suite: &str, scenario: &str) -> PathBuf {
    suite_folder(run, suite).join(scenario)
}
