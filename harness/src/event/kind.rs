//! What can be told of events of any kind: what it is called, and in which suite it happened.

use super::RunEvent;

impl RunEvent {
    /// The suite in which it happened.
    #[must_use]
    pub fn suite(&self) -> Option<&str> {
        match self {
            Self::RunStarted { .. } | Self::RunFinished { .. } => None,
            Self::SuiteStarted { suite, .. }
            | Self::SuiteProgress { suite, .. }
            | Self::SuiteWaiting { suite, .. }
            | Self::EnvironmentReady { suite, .. }
            | Self::PortalReached { suite, .. }
            | Self::ScenarioStarted { suite, .. }
            | Self::AttemptFailed { suite, .. }
            | Self::StateKept { suite, .. }
            | Self::Restored { suite, .. }
            | Self::SpanStarted { suite, .. }
            | Self::SpanFinished { suite, .. }
            | Self::Failing { suite, .. }
            | Self::Log { suite, .. }
            | Self::Waiting { suite, .. }
            | Self::Waited { suite, .. }
            | Self::Fault { suite, .. }
            | Self::Change { suite, .. }
            | Self::ChangeReported { suite, .. }
            | Self::MachineState { suite, .. }
            | Self::Trouble { suite, .. }
            | Self::ScenarioFinished { suite, .. }
            | Self::Collected { suite, .. }
            | Self::Leak { suite, .. }
            | Self::Paused { suite, .. }
            | Self::Resumed { suite, .. }
            | Self::EnvironmentKept { suite, .. }
            | Self::PortalKept { suite, .. }
            | Self::SuiteFinished { suite, .. } => Some(suite),
        }
    }

    /// The kinds there are, as they are written.
    pub const KINDS: &[&str] = &[
        "run_started",
        "suite_started",
        "suite_progress",
        "suite_waiting",
        "environment_ready",
        "portal_reached",
        "scenario_started",
        "attempt_failed",
        "state_kept",
        "restored",
        "span_started",
        "span_finished",
        "failing",
        "log",
        "waiting",
        "waited",
        "fault",
        "change",
        "change_reported",
        "machine_state",
        "trouble",
        "scenario_finished",
        "collected",
        "leak",
        "paused",
        "resumed",
        "environment_kept",
        "portal_kept",
        "suite_finished",
        "run_finished",
    ];
}
