//! How steps and waits end, and whose fault it is.

use serde::{Deserialize, Serialize};

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitEnd {
    /// It came true.
    True,
    /// It held as long as it had to.
    Held,
    /// Time was up.
    Late,
    /// It could not come true any more.
    Hopeless,
    /// What had to hold all the time did not hold any more.
    Broken,
    /// Whoever waited gave up, such as a scenario whose own time was up.
    CutShort,
}

impl WaitEnd {
    /// The one that is written like that; what is not known was cut short.
    pub(crate) fn of(word: &str) -> Self {
        serde_json::from_value(word.into()).unwrap_or(Self::CutShort)
    }
}

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It did.
    Passed,
    /// It did not.
    Failed {
        /// Whose fault.
        fault: Fault,
        /// The whole error, its causes on lines of their own.
        error: String,
    },
    /// It did not, and that is known.
    ExpectedFailure {
        /// The whole error, its causes on lines of their own.
        error: String,
        /// What is known.
        reason: String,
        /// The last day on which that is no failure, such as `2027-01-31`.
        until: String,
    },
    /// It never began, or found out that it cannot be done here.
    NotRun {
        /// Such as "`boots` failed", or what is lacking.
        reason: String,
    },
    /// Marked to be ignored and not selected.
    Ignored {
        /// The author's reason.
        reason: Option<String>,
    },
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// What was tested: a failed assertion, an error the scenario returned, a panic.
    Product,
    /// Machines, networks, the lab or the host.
    Environment,
    /// Polder itself.
    Harness,
}
