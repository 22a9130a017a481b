//! Which value a variable has for one change, one device and one row. Pure.

use std::collections::{BTreeSet, HashMap};

use super::{
    model::{At, Changes, Device, Driver, Matrix, Node, Scenario, Script, Step, Word},
    text::{Text, Vars},
};

/// Beginnings of names that are ours.
pub(super) const RESERVED: &[&str] = &["device.", "change.", "provisioner.", "command.", "run."];

/// Names that only a running change knows; `command.` ones are those of the phase up to then.
const LATER: &[&str] =
    &["exitcode", "cmdoutput", "command.send", "command.output", "run.name", "run.attempt", "run.phase"];
/// Addresses that are looked up when they are used.
const DEVICE_LATER: &[&str] = &["device.ipaddress", "device.fqdn"];

/// Everything that changes name.
pub(super) struct Named<'m> {
    changes: &'m Changes,
    environment: &'m Vars,
    devices: HashMap<&'m str, &'m Device>,
    drivers: HashMap<&'m str, &'m Driver>,
    matrices: HashMap<&'m str, &'m Matrix>,
}

/// One change with what it names. What is named and not there is missing here.
pub(super) struct Resolved<'m> {
    pub(super) devices: Vec<&'m Device>,
    pub(super) driver: Option<&'m Driver>,
    pub(super) matrix: Option<&'m Matrix>,
}

/// What a variable is.
enum Answer<'m> {
    Known(&'m str),
    Later,
    Unknown,
}

/// A variable that is not set for a device and a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) key: String,
    pub(super) at: At,
    pub(super) unit: String,
}

/// A member of a scenario, or the scenario itself.
pub(super) enum Seen<'m> {
    Step(&'m Step),
    Set(&'m Scenario),
}

/// A scenario and all below it, each with the variables of the scenarios that it is in, inner ones first.
pub(super) fn each<'m>(set: &'m Scenario, around: &[&'m Vars], see: &mut dyn FnMut(Seen<'m>, &[&'m Vars])) {
    let mut sets = vec![&set.vars];
    sets.extend(around);
    see(Seen::Set(set), &sets);
    for node in &set.nodes {
        match node {
            Node::Step(step) => see(Seen::Step(step), &sets),
            Node::Scenario(inner) => each(inner, &sets, see),
        }
    }
}

impl<'m> Named<'m> {
    pub(super) fn new(changes: &'m Changes, environment: &'m Vars) -> Self {
        let devices = changes.devices.iter().map(|device| (device.name.as_str(), device)).collect();
        let drivers = changes.drivers.iter().map(|driver| (driver.name.as_str(), driver)).collect();
        let matrices = changes.matrices.iter().map(|matrix| (matrix.name.as_str(), matrix)).collect();
        Self { changes, environment, devices, drivers, matrices }
    }

    pub(super) fn device(&self, word: &Word) -> Option<&'m Device> {
        self.devices.get(word.as_str()).copied()
    }

    pub(super) fn driver(&self, word: &Word) -> Option<&'m Driver> {
        self.drivers.get(word.as_str()).copied()
    }

    pub(super) fn matrix(&self, word: &Word) -> Option<&'m Matrix> {
        self.matrices.get(word.as_str()).copied()
    }

    pub(super) fn resolved(&self, step: &'m Step) -> Resolved<'m> {
        Resolved {
            devices: step.targets.iter().filter_map(|target| self.device(target)).collect(),
            driver: match &step.driver {
                Some(word) => self.driver(word),
                None => self.changes.drivers.first(),
            },
            matrix: step.matrix.as_ref().and_then(|word| self.matrix(word)),
        }
    }

    /// The variables that the verification of a scenario needs; no device has a say there.
    pub(super) fn set_vars(&self, set: &Scenario, sets: &[&Vars]) -> Result<Vars, Vec<Missing>> {
        let (mut found, mut missing) = (Vars::new(), Vec::new());
        for (key, at) in set.verify.iter().flat_map(Script::keys) {
            let mut layers = sets.iter().copied().chain([&self.changes.vars, self.environment]);
            match layers.find_map(|vars| vars.get(key)) {
                Some(value) => {
                    found.insert(key.to_owned(), value.clone());
                }
                None if is_later(key) => {}
                None => {
                    let unit = format!("the verification of `{}`", set.name);
                    missing.push(Missing { key: key.to_owned(), at, unit });
                }
            }
        }
        if missing.is_empty() { Ok(found) } else { Err(missing) }
    }

    /// The variables of one device and row that the step needs.
    pub(super) fn vars(
        &self,
        step: &'m Step,
        sets: &[&'m Vars],
        resolved: &Resolved<'m>,
        device: &'m Device,
        row: Option<usize>,
    ) -> Result<Vars, Vec<Missing>> {
        let mut keys = step.keys();
        let texts = resolved.driver.into_iter().flat_map(Driver::texts);
        keys.extend(texts.flat_map(Text::keys).map(|key| (key, step.name.at)));
        let (mut found, mut missing, mut seen) = (Vars::new(), Vec::new(), BTreeSet::new());
        for (key, at) in keys {
            if !seen.insert(key) {
                continue;
            }
            match self.answer(key, step, sets, resolved, device, row) {
                Answer::Known(value) => {
                    found.insert(key.to_owned(), value.to_owned());
                }
                Answer::Later => {}
                Answer::Unknown => {
                    let unit = unit_name(device, row);
                    missing.push(Missing { key: key.to_owned(), at, unit });
                }
            }
        }
        if missing.is_empty() { Ok(found) } else { Err(missing) }
    }

    /// Highest first: row, device, change, template, driver, scenarios from the inner to the outer, global, environment.
    fn answer<'a>(
        &self,
        key: &str,
        step: &'a Step,
        sets: &[&'a Vars],
        resolved: &Resolved<'a>,
        device: &'a Device,
        row: Option<usize>,
    ) -> Answer<'a>
    where
        'm: 'a,
    {
        match key {
            "device.name" => return Answer::Known(device.name.as_str()),
            "change.name" => return Answer::Known(step.name.as_str()),
            "change.type" => return Answer::Known("script"),
            "provisioner.name" => {
                return resolved.driver.map_or(Answer::Unknown, |d| Answer::Known(d.name.as_str()));
            }
            "provisioner.type" => {
                return resolved.driver.map_or(Answer::Unknown, |d| Answer::Known(d.kind.word()));
            }
            _ => {}
        }
        if let Some(value) = key.strip_prefix("device.").and_then(|key| device.attributes.get(key)) {
            return Answer::Known(value);
        }
        if is_later(key) || DEVICE_LATER.contains(&key) {
            return Answer::Later;
        }
        if is_reserved(key) {
            return Answer::Unknown;
        }
        let row = row.zip(resolved.matrix).and_then(|(row, matrix)| matrix.rows.get(row));
        let driver = resolved.driver.map(|driver| &driver.vars);
        let own = [row, Some(&device.vars), Some(&step.vars), Some(&step.template_vars), driver];
        let outer = sets.iter().copied().chain([&self.changes.vars, self.environment]);
        let mut layers = own.into_iter().flatten().chain(outer);
        layers.find_map(|vars| vars.get(key)).map_or(Answer::Unknown, |value| Answer::Known(value))
    }
}

/// Whether only a running change knows it.
fn is_later(key: &str) -> bool {
    LATER.contains(&key)
}

/// Whether nobody may define it.
pub(crate) fn is_reserved(key: &str) -> bool {
    key == "results" || RESERVED.iter().any(|start| key.starts_with(start))
}

/// What messages and plans call a device and a row.
pub(super) fn unit_name(device: &Device, row: Option<usize>) -> String {
    match row {
        Some(row) => format!("{} row {}", device.name, row + 1),
        None => device.name.to_string(),
    }
}
