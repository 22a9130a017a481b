//! A change as scenarios write it, made what the engine knows. Does nothing.

use std::sync::Arc;

use serde::Serialize;

use super::rows::rows;
use crate::change::{
    self, Text, Vars,
    model::{
        Device, Driver, DriverKind, Exchange, Matrix, Node, Policy, Rollback, RollbackAction, Scenario,
        Script, Step,
    },
};

/// What the driver of changes in suites is called.
pub(super) const DRIVER: &str = "machines";
/// What the rows of a change are called.
const ROWS: &str = "rows";

/// A change: what is run on each device, in order. A command that fails makes it fail, and what was applied is undone.
///
/// ```no_run
/// use polder::prelude::*;
///
/// let mtu = Change::new("mtu")
///     .precheck("ip link show dev eth0 up | grep -q eth0")
///     .apply("ip link set dev eth0 mtu 9000")
///     .rollback("ip link set dev eth0 mtu 1500");
/// ```
#[derive(Debug, Clone)]
pub struct Change {
    name: String,
    precheck: Vec<String>,
    apply: Vec<String>,
    verify: Vec<String>,
    rollback: Vec<String>,
    policy: Policy,
    /// What it is repeated over, or what is wrong with that.
    rows: Option<Result<Vec<Vars>, Vec<String>>>,
}

impl Change {
    /// One with this name, that does nothing yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let none = Vec::new;
        Self {
            name: name.to_owned(),
            precheck: none(),
            apply: none(),
            verify: none(),
            rollback: none(),
            policy: Policy::default(),
            rows: None,
        }
    }

    /// A command that has to succeed before anything is done.
    #[must_use]
    pub fn precheck(mut self, command: &str) -> Self {
        self.precheck.push(command.to_owned());
        self
    }

    /// A command that does it.
    #[must_use]
    pub fn apply(mut self, command: &str) -> Self {
        self.apply.push(command.to_owned());
        self
    }

    /// A command that has to succeed afterwards.
    #[must_use]
    pub fn verify(mut self, command: &str) -> Self {
        self.verify.push(command.to_owned());
        self
    }

    /// A command that undoes it. Without any, a change that fails half done stays so, and the scenario says it.
    #[must_use]
    pub fn rollback(mut self, command: &str) -> Self {
        self.rollback.push(command.to_owned());
        self
    }

    /// What becomes of the other devices when one fails, how often it is tried, how many devices at once.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// It is done once for each of these rows on each device, one after the other; when one fails, those of the device are
    /// undone in reverse. A row is whatever has names with one value each: a struct, a map such as those of
    /// [`Env::rows`](crate::env::Env::rows), or pairs.
    ///
    /// In the commands of such a change, `%(name)s` stands for the row's value of `name`, and for what files of changes know
    /// besides, such as `%(device.name)s`; a percent sign is `%%`. Without rows, commands are run as they are.
    ///
    /// ```
    /// # use polder::Change;
    /// let mtu = Change::new("mtu")
    ///     .each([[("port", "eth0"), ("mtu", "9000")], [("port", "eth1"), ("mtu", "1400")]])
    ///     .apply("ip link set dev %(port)s mtu %(mtu)s")
    ///     .rollback("ip link set dev %(port)s mtu 1500");
    /// ```
    #[must_use]
    pub fn each<R: Serialize>(mut self, all: impl IntoIterator<Item = R>) -> Self {
        self.rows = Some(rows(all));
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// It on these devices, as the only change of a scenario of this name.
    ///
    /// # Errors
    /// All that is wrong with its rows and texts.
    pub(super) fn on(self, scenario: &str, devices: &[String]) -> Result<change::Changes, Vec<String>> {
        let mut problems = Vec::new();
        let has_variables = self.rows.is_some();
        let mut script = |commands: &[String]| {
            let exchanges = commands.iter().map(|command| exchange(command, has_variables, &mut problems));
            Script { exchanges: exchanges.collect(), ..Script::default() }
        };
        let scripts = [&self.precheck, &self.apply, &self.verify, &self.rollback];
        let [precheck, apply, verify, rollback] =
            scripts.map(|commands| (!commands.is_empty()).then(|| script(commands)));
        let rollback = rollback.map(|script| Rollback { when: None, action: RollbackAction::Script(script) });
        let matrix = self.rows.map(|rows| Matrix {
            name: ROWS.into(),
            rows: rows.unwrap_or_else(|found| {
                problems.extend(found);
                Vec::new()
            }),
            ..Matrix::default()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let step = Step {
            name: self.name.as_str().into(),
            targets: devices.iter().map(|name| name.as_str().into()).collect(),
            driver: Some(DRIVER.into()),
            matrix: matrix.as_ref().map(|matrix| matrix.name.clone()),
            policy: self.policy,
            precheck,
            apply,
            verify,
            rollback: rollback.into_iter().collect(),
            ..Step::default()
        };
        let device = |name: &String| Device { name: name.as_str().into(), ..Device::default() };
        Ok(change::Changes {
            devices: devices.iter().map(device).collect(),
            drivers: vec![Driver { name: DRIVER.into(), kind: DriverKind::Ssh, ..Driver::default() }],
            matrices: matrix.into_iter().collect(),
            scenario: Scenario {
                name: scenario.into(),
                nodes: vec![Node::Step(Arc::new(step))],
                ..Scenario::default()
            },
            ..change::Changes::default()
        })
    }
}

fn exchange(command: &str, has_variables: bool, problems: &mut Vec<String>) -> Exchange {
    let text = match has_variables {
        true => Text::parse(command),
        false => Ok(Text::plain(command)),
    };
    let send = text.map_err(|error| problems.push(format!("`{command}`: {error}"))).ok();
    Exchange { send, ..Exchange::default() }
}
