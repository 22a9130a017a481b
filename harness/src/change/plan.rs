//! What will be done, in what order, with which texts. A plan is complete: nothing that it needs is looked up later, but for
//! what only a running change can know. Pure.

use std::{fmt, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};

use super::{
    model::{Changes, Device, Driver, Exchange, Node, Policy, Scenario, Script, Step},
    order::{Order, order},
    scope::Named,
    secret::Secrets,
    text::Vars,
};

/// The order and the units of all changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The outermost scenario.
    pub root: PlannedSet,
    /// The devices.
    pub devices: Vec<Device>,
    /// The drivers.
    pub drivers: Vec<Driver>,
    /// What is shown to nobody.
    pub secrets: Secrets,
}

/// A scenario in a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedSet {
    /// Its name.
    pub name: String,
    /// What becomes of the rest when a member fails.
    pub policy: Policy,
    /// What tells that all of it worked.
    pub verify: Option<Script>,
    /// The values of all variables in that.
    pub vars: Vars,
    /// Whether only prerequisites order its members.
    pub unordered: bool,
    /// Members that need nothing of one another, as declared, in the order in which they can begin.
    pub waves: Vec<Vec<Planned>>,
    /// For each member, in the order of the waves, the numbers of those that it waits for.
    pub needs: Vec<Vec<usize>>,
}

/// A member of a scenario in a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Planned {
    /// A change.
    Step(PlannedStep),
    /// Others that belong together.
    Set(PlannedSet),
}

/// A change in a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep {
    /// What was asked for.
    pub step: Arc<Step>,
    /// The name of the driver.
    pub driver: String,
    /// How long is waited before each row.
    pub delay: Duration,
    /// What it is done on, in order.
    pub units: Vec<Unit>,
}

/// A change on one device, with one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The device.
    pub device: String,
    /// The number of the row, from 0, if the change is repeated.
    pub row: Option<usize>,
    /// The values of all variables that the texts of the change have in them, but for what only a running change knows.
    pub vars: Vars,
}

/// Why there is no plan: everything that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the changes cannot be planned:\n{}", problems.join("\n"))]
pub struct PlanError {
    /// What is wrong, each naming the thing.
    pub problems: Vec<String>,
}

/// Decides on everything. `environment` has the variables with the least say.
///
/// # Errors
/// With everything that is wrong: prerequisites that are not there or go in a circle, names of nothing, variables that are
/// not set. Changes from files that were loaded have none of this.
pub fn plan(changes: &Changes, environment: &Vars) -> Result<Plan, PlanError> {
    let mut problems = Vec::new();
    let order = order(&changes.scenario).map_err(|troubles| PlanError {
        problems: troubles.into_iter().map(|trouble| trouble.message).collect(),
    })?;
    let named = Named::new(changes, environment);
    let root = Planner { named, problems: &mut problems }.set(&changes.scenario, &order, &[]);
    if !problems.is_empty() {
        return Err(PlanError { problems });
    }
    let (devices, drivers) = (changes.devices.clone(), changes.drivers.clone());
    Ok(Plan { root, devices, drivers, secrets: Secrets::of(changes, environment) })
}

struct Planner<'m, 'p> {
    named: Named<'m>,
    problems: &'p mut Vec<String>,
}

impl<'m> Planner<'m, '_> {
    fn set(&mut self, set: &'m Scenario, order: &Order, around: &[&'m Vars]) -> PlannedSet {
        let mut sets = vec![&set.vars];
        sets.extend(around);
        let mut waves = Vec::new();
        for wave in &order.waves {
            let members = wave.iter().filter_map(|at| Some((at, set.nodes.get(*at)?)));
            let members = members.filter_map(|(at, node)| match node {
                Node::Step(step) => Some(Planned::Step(self.step(step, &sets))),
                Node::Scenario(inner) => Some(Planned::Set(self.set(inner, order.within.get(at)?, &sets))),
            });
            waves.push(members.collect());
        }
        let vars = self.named.set_vars(set, &sets).unwrap_or_else(|missing| {
            self.problems.extend(
                missing
                    .into_iter()
                    .map(|missing| format!("there is no variable `{}` for {}", missing.key, missing.unit)),
            );
            Vars::new()
        });
        let places: Vec<usize> = order.waves.iter().flatten().copied().collect();
        let mut place_of = vec![0; set.nodes.len()];
        for (place, at) in places.iter().enumerate() {
            place_of.get_mut(*at).into_iter().for_each(|of| *of = place);
        }
        let place = |member: &usize| place_of.get(*member).copied();
        let needs =
            places.iter().map(|at| order.needs.get(*at).into_iter().flatten().filter_map(place).collect());
        PlannedSet {
            name: set.name.to_string(),
            policy: set.policy,
            verify: set.verify.clone(),
            vars,
            unordered: set.unordered,
            needs: needs.collect(),
            waves,
        }
    }

    fn step(&mut self, step: &'m Arc<Step>, sets: &[&'m Vars]) -> PlannedStep {
        let mut problem = |message: String| self.problems.push(format!("`{}`: {message}", step.name));
        for target in step.targets.iter().filter(|target| self.named.device(target).is_none()) {
            problem(format!("there is no device `{target}`"));
        }
        if let Some(word) = step.matrix.as_ref().filter(|word| self.named.matrix(word).is_none()) {
            problem(format!("there is no matrix `{word}`"));
        }
        let resolved = self.named.resolved(step);
        match (&resolved.driver, &step.driver) {
            (Some(_), _) => {}
            (None, Some(word)) => problem(format!("there is no driver `{word}`")),
            (None, None) => problem("there is no driver for it".to_owned()),
        }
        if step.targets.is_empty() && !step.policy.noop {
            problem("it has no device, and is not marked `noop`".to_owned());
        }
        let rows: Vec<Option<usize>> = match resolved.matrix {
            Some(matrix) => (0..matrix.rows.len()).map(Some).collect(),
            None => vec![None],
        };
        let pairs = resolved.devices.iter().flat_map(|device| rows.iter().map(move |row| (*device, *row)));
        let mut units = Vec::new();
        for (device, row) in pairs {
            match self.named.vars(step, sets, &resolved, device, row) {
                Ok(vars) => units.push(Unit::new(device, row, vars)),
                Err(missing) => missing.into_iter().for_each(|missing| {
                    problem(format!("there is no variable `{}` for {}", missing.key, missing.unit));
                }),
            }
        }
        let driver = resolved.driver.map(|driver| driver.name.to_string()).unwrap_or_default();
        let delay = resolved.matrix.map(|matrix| matrix.delay).unwrap_or_default();
        PlannedStep { step: Arc::clone(step), driver, delay, units }
    }
}

impl Unit {
    fn new(device: &Device, row: Option<usize>, vars: Vars) -> Self {
        Self { device: device.name.to_string(), row, vars }
    }
}

impl Plan {
    /// The changes in the order of the plan.
    #[must_use]
    pub fn steps(&self) -> Vec<&PlannedStep> {
        let mut found = Vec::new();
        self.root.collect(&mut found);
        found
    }

    /// The exact reverse: waves, changes, devices and rows.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { root: self.root.reversed(), ..self }
    }

    /// What tells this plan from others: the same for the same changes, whatever their secrets and places in a file are.
    #[must_use]
    pub fn digest(&self) -> String {
        let digest = Sha256::digest(self.secrets.hide(&format!("{:?}", self)));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Planned {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Step(step) => step.step.name.as_str(),
            Self::Set(set) => &set.name,
        }
    }
}

impl PlannedSet {
    fn collect<'p>(&'p self, found: &mut Vec<&'p PlannedStep>) {
        for member in self.waves.iter().flatten() {
            match member {
                Planned::Step(step) => found.push(step),
                Planned::Set(set) => set.collect(found),
            }
        }
    }

    fn reversed(mut self) -> Self {
        self.waves.reverse();
        let last = self.needs.len().saturating_sub(1);
        let mut needs = vec![Vec::new(); self.needs.len()];
        for (member, needed) in self.needs.iter().enumerate() {
            for one in needed {
                needs
                    .get_mut(last - one)
                    .into_iter()
                    .for_each(|list: &mut Vec<usize>| list.push(last - member));
            }
        }
        self.needs = needs;
        let member = |member| match member {
            Planned::Set(set) => Planned::Set(set.reversed()),
            Planned::Step(mut step) => {
                step.units.reverse();
                Planned::Step(step)
            }
        };
        self.waves =
            self.waves.into_iter().map(|wave| wave.into_iter().rev().map(member).collect()).collect();
        self
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = "  ".repeat(depth);
        for (at, wave) in self.waves.iter().enumerate() {
            writeln!(f, "{indent}wave {}", at + 1)?;
            for member in wave {
                match member {
                    Planned::Set(set) => {
                        writeln!(f, "{indent}  scenario {}", set.name)?;
                        set.write(f, depth + 2)?;
                    }
                    Planned::Step(step) => step.write(f, &format!("{indent}  "))?,
                }
            }
        }
        Ok(())
    }
}

impl PlannedStep {
    fn write(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        writeln!(f, "{indent}step {} by {}", self.step.name, self.driver)?;
        for unit in &self.units {
            let row = unit.row.map(|row| format!(" row {}", row + 1)).unwrap_or_default();
            writeln!(f, "{indent}  on {}{row}", unit.device)?;
            let phases = [
                ("precheck", &self.step.precheck),
                ("apply", &self.step.apply),
                ("verify", &self.step.verify),
            ];
            for (name, script) in phases {
                if let Some(script) = script {
                    write_script(f, name, script, unit, &format!("{indent}    "))?;
                }
            }
        }
        Ok(())
    }
}

fn write_script(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    script: &Script,
    unit: &Unit,
    indent: &str,
) -> fmt::Result {
    if script.pause {
        writeln!(f, "{indent}{name}: pause")?;
    }
    for Exchange { expect, send, .. } in &script.exchanges {
        for (verb, text) in [("expect", expect), ("send", send)] {
            if let Some(text) = text {
                // What only a running change knows stays as it is written.
                let text = text.fill(&unit.vars).unwrap_or_else(|_| text.to_string());
                writeln!(f, "{indent}{name}: {verb} {text:?}")?;
            }
        }
    }
    for (word, checks) in [("check", &script.checks), ("already", &script.already)] {
        for check in checks {
            writeln!(f, "{indent}{name}: {word} {}", check.condition)?;
        }
    }
    Ok(())
}

/// What will be done, for people.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.secrets.hide(&Whole(&self.root).to_string()))
    }
}

/// A scenario with all that is in it, secrets included.
struct Whole<'p>(&'p PlannedSet);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, 0)
    }
}
