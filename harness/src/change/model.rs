//! Changes as they were asked for: what is to be done on which devices, in what order, and how it is undone. Nothing here is
//! decided, and nothing acts. Values that come from a file know their place there, which makes no difference between them.

use std::{collections::BTreeMap, fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use super::kind::DriverKind;
use super::{
    cond::{Condition, Dialect},
    text::{Text, Vars},
};
use crate::initfile::Span;

/// Everything that one file says, or that was put together in code.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Which kind of file it was.
    pub dialect: Dialect,
    /// Variables of everything.
    pub vars: Vars,
    /// Names of variables whose values are shown to nobody.
    pub secrets: Vec<String>,
    /// What is changed, in the order of the file.
    pub devices: Vec<Device>,
    /// What carries commands to devices.
    pub drivers: Vec<Driver>,
    /// What changes are repeated over.
    pub matrices: Vec<Matrix>,
    /// Names of what changes are made from.
    pub templates: Vec<Word>,
    /// The changes.
    pub scenario: Scenario,
}

/// A name, and where it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    pub(super) text: String,
    pub(super) at: At,
}

/// A place in a file; all places are equal.
#[derive(Clone, Copy, Default)]
pub struct At(pub(super) Option<Span>);

/// Something that is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: Word,
    /// Its addresses and whatever else is said of it: `device.KEY` in texts.
    pub attributes: Vars,
    /// Its variables.
    pub vars: Vars,
}

/// What carries commands to devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Driver {
    /// Its name.
    pub name: Word,
    /// How it does it.
    pub kind: DriverKind,
    /// The command line of those that start a program, for each argument its text.
    pub argv: Vec<Text>,
    /// How long a command may take if it does not say so itself.
    pub command_timeout: Option<Duration>,
    /// What else it is told, by the names of the options; which there are depends on the kind.
    pub options: BTreeMap<&'static str, Text>,
    /// What it sends with every request, by names.
    pub headers: BTreeMap<String, Text>,
    /// Its variables.
    pub vars: Vars,
}

/// Rows of variables; a change runs once for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    /// Its name.
    pub name: Word,
    /// How long is waited before each.
    pub delay: Duration,
    /// The rows.
    pub rows: Vec<Vars>,
}

/// Changes that belong together: it fails with any of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scenario {
    /// Its name, which others may wait for.
    pub name: Word,
    /// What has to be done before it.
    pub after: Vec<Word>,
    /// What has to be done after it.
    pub before: Vec<Word>,
    /// What becomes of the rest when a member fails; only `on_fail` and `timeout` matter.
    pub policy: Policy,
    /// Variables of its members.
    pub vars: Vars,
    /// Whether members run in waves, by prerequisites alone; else one after the other, as declared.
    pub unordered: bool,
    /// Its members, as declared.
    pub nodes: Vec<Node>,
    /// What tells that all of it worked.
    pub verify: Option<Script>,
}

/// A member of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A change.
    Step(Arc<Step>),
    /// Others that belong together.
    Scenario(Box<Scenario>),
}

/// A change: the smallest thing that is done, and undone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Its name, which others may wait for.
    pub name: Word,
    /// What has to be done before it.
    pub after: Vec<Word>,
    /// What has to be done after it.
    pub before: Vec<Word>,
    /// The devices; each once.
    pub targets: Vec<Word>,
    /// The driver; absent: the first.
    pub driver: Option<Word>,
    /// What it is repeated over.
    pub matrix: Option<Word>,
    /// How it is repeated.
    pub iterate: Iterate,
    /// Its variables.
    pub vars: Vars,
    /// Variables of the template that it was made from.
    pub template_vars: Vars,
    /// What becomes of the other devices when one fails, and how often it is tried.
    pub policy: Policy,
    /// Whether it may be done now.
    pub precheck: Option<Script>,
    /// The change itself.
    pub apply: Option<Script>,
    /// Whether it worked.
    pub verify: Option<Script>,
    /// Whether it may be undone now.
    pub pre_rollback: Option<Script>,
    /// How it is undone: the first that fits what went wrong. Without any, a person is alerted.
    pub rollback: Vec<Rollback>,
    /// Whether undoing worked.
    pub verify_rollback: Option<Script>,
}

/// How a change is repeated over a matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Iterate {
    /// For each row all phases.
    #[default]
    Cycle,
    /// Each phase for all rows.
    Phase,
}

/// A way to undo a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollback {
    /// Holds for the failures that it is for; absent: for all.
    pub when: Option<Check>,
    /// What is done.
    pub action: RollbackAction,
}

/// What is done to undo a change.
#[derive(Debug, Clone, PartialEq)]
pub enum RollbackAction {
    /// A person is told this.
    Alert(Text),
    /// Commands.
    Script(Script),
}

/// One phase: commands, and what has to be true after them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    /// Whether the operator is asked before it.
    pub pause: bool,
    /// The commands, in order.
    pub exchanges: Vec<Exchange>,
    /// What has to be true; empty: what the driver takes for success.
    pub checks: Vec<Check>,
    /// What is all true where the change is there already and nothing is to be done; only of a precheck.
    pub already: Vec<Check>,
}

/// A part of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Whether it may be done now.
    Precheck,
    /// The change itself.
    Apply,
    /// Whether it worked.
    Verify,
    /// Whether it may be undone now.
    PreRollback,
    /// How it is undone.
    Rollback,
    /// Whether undoing worked.
    VerifyRollback,
}

impl Phase {
    /// Those that do the change, in order.
    pub const FORWARD: [Self; 3] = [Self::Precheck, Self::Apply, Self::Verify];
    /// Those that undo it, in order.
    pub const BACK: [Self; 3] = [Self::PreRollback, Self::Rollback, Self::VerifyRollback];

    /// The name that files have for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Precheck => "precheck",
            Self::Apply => "apply",
            Self::Verify => "verify",
            Self::PreRollback => "pre_rollback",
            Self::Rollback => "rollback",
            Self::VerifyRollback => "verify_rollback",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Waits for a text, then sends one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exchange {
    /// A regular expression that is waited for.
    pub expect: Option<Text>,
    /// What is sent then; an empty text is a bare line end.
    pub send: Option<Text>,
    /// How long is waited: absent, as long as the driver says; zero, as long as the phase may take.
    pub timeout: Option<Duration>,
    /// Whether a status other than zero is fine.
    pub ignore_exit: bool,
    /// Where it stands.
    pub at: At,
}

/// Something that has to be true.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What.
    pub condition: Condition,
    /// What to say if it is not.
    pub message: Option<String>,
    /// Where it stands.
    pub at: At,
}

/// What happens when something fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// What becomes of the others.
    pub on_fail: OnFail,
    /// How often it is tried again.
    pub retry: Retry,
    /// How many devices at once.
    pub devices: Parallel,
    /// How long all of it may take.
    pub timeout: Option<Duration>,
    /// Whether it may have no devices.
    pub noop: bool,
}

/// What becomes of the others when one fails. One value: going on excludes undoing all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFail {
    /// What is done stays, nothing more is begun.
    #[default]
    Stop,
    /// All are tried.
    Continue,
    /// What is done is undone.
    RollbackAll,
}

/// How often a change is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// At most; absent: for ever.
    pub max: Option<u32>,
    /// How long is waited before.
    pub delay: Duration,
}

/// How many devices are changed at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Parallel {
    /// One after the other.
    #[default]
    Serial,
    /// So many.
    Max(NonZeroUsize),
}

impl Driver {
    /// The texts that have values when a session is opened.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Text> {
        self.argv.iter().chain(self.options.values()).chain(self.headers.values())
    }
}

/// No second try; five seconds before one, if there is.
impl Default for Retry {
    fn default() -> Self {
        Self { max: Some(0), delay: Duration::from_secs(5) }
    }
}

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for At {}

/// Equal for all places, as they are.
impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("At")
    }
}

impl At {
    pub(super) fn span(self) -> Span {
        self.0.unwrap_or(Span::start_of(0))
    }
}

impl From<Span> for At {
    fn from(span: Span) -> Self {
        Self(Some(span))
    }
}

impl Word {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn new(text: impl Into<String>, at: Span) -> Self {
        Self { text: text.into(), at: at.into() }
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), at: At::default() }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Node {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Word {
        match self {
            Self::Step(step) => &step.name,
            Self::Scenario(scenario) => &scenario.name,
        }
    }

    pub(super) fn links(&self) -> (&[Word], &[Word]) {
        match self {
            Self::Step(step) => (&step.after, &step.before),
            Self::Scenario(scenario) => (&scenario.after, &scenario.before),
        }
    }
}

impl Step {
    /// What is done in a phase; of rollbacks, in the one of this number. None where there is nothing to be done.
    pub(crate) fn script(&self, phase: Phase, way: usize) -> Option<&Script> {
        match phase {
            Phase::Precheck => self.precheck.as_ref(),
            Phase::Apply => self.apply.as_ref(),
            Phase::Verify => self.verify.as_ref(),
            Phase::PreRollback => self.pre_rollback.as_ref(),
            Phase::Rollback => match self.rollback.get(way).map(|rollback| &rollback.action) {
                Some(RollbackAction::Script(script)) => Some(script),
                _ => None,
            },
            Phase::VerifyRollback => self.verify_rollback.as_ref(),
        }
    }

    /// The phases that it has, by their names, as they run when all goes wrong.
    pub(super) fn scripts(&self) -> impl Iterator<Item = &Script> {
        let rollbacks = self.rollback.iter().filter_map(|rollback| match &rollback.action {
            RollbackAction::Script(script) => Some(script),
            RollbackAction::Alert(_) => None,
        });
        let before = [&self.precheck, &self.apply, &self.verify, &self.pre_rollback].into_iter().flatten();
        before.chain(rollbacks).chain(&self.verify_rollback)
    }

    /// The variables that it needs values for, and where.
    pub(super) fn keys(&self) -> Vec<(&str, At)> {
        let mut found: Vec<(&str, At)> = self.scripts().flat_map(Script::keys).collect();
        for rollback in &self.rollback {
            if let Some(check) = &rollback.when {
                found.extend(check.keys());
            }
            if let RollbackAction::Alert(text) = &rollback.action {
                found.extend(text.keys().map(|key| (key, self.name.at)));
            }
        }
        found
    }
}

impl Script {
    pub(super) fn keys(&self) -> Vec<(&str, At)> {
        let texts = self.exchanges.iter().flat_map(|exchange| {
            let texts = exchange.expect.iter().chain(&exchange.send);
            texts.flat_map(Text::keys).map(|key| (key, exchange.at))
        });
        texts.chain(self.checks.iter().chain(&self.already).flat_map(Check::keys)).collect()
    }
}

impl Check {
    fn keys(&self) -> Vec<(&str, At)> {
        self.condition.keys().into_iter().map(|key| (key, self.at)).collect()
    }
}
