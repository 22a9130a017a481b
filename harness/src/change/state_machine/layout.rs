//! A plan by numbers: scenarios and changes, their members, devices and rows.

use std::{collections::HashMap, ops::Range};

use super::record::Key;
use crate::change::{
    model::{Policy, Step},
    plan::{Plan, Planned, PlannedSet, PlannedStep, Unit},
    text::Vars,
};

/// A change on a device with a row, by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The number of the change among all changes and scenarios.
    pub node: usize,
    /// The number of the device among those of the change.
    pub device: usize,
    /// The number of the row among those of the device.
    pub row: usize,
}

/// Everything in a plan.
#[derive(Debug)]
pub(super) struct Layout<'p> {
    pub(super) nodes: Vec<Node<'p>>,
    names: HashMap<&'p str, usize>,
}

#[derive(Debug)]
pub(super) struct Node<'p> {
    pub(super) name: &'p str,
    pub(super) policy: Policy,
    pub(super) parent: usize,
    pub(super) kind: Kind<'p>,
}

#[derive(Debug)]
pub(super) enum Kind<'p> {
    Step(Devices<'p>),
    Set(Members<'p>),
}

/// A change with its devices.
#[derive(Debug)]
pub(super) struct Devices<'p> {
    pub(super) planned: &'p PlannedStep,
    /// For each device its units.
    pub(super) units: Vec<Range<usize>>,
    names: HashMap<&'p str, usize>,
}

/// A scenario with its members.
#[derive(Debug)]
pub(super) struct Members<'p> {
    pub(super) planned: &'p PlannedSet,
    pub(super) members: Vec<usize>,
    /// The last of the nodes below it.
    pub(super) end: usize,
}

impl<'p> Layout<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        let mut layout = Self { nodes: Vec::new(), names: HashMap::new() };
        layout.set(&plan.root, 0);
        layout.names = layout.nodes.iter().enumerate().map(|(at, node)| (node.name, at)).collect();
        layout
    }

    fn set(&mut self, planned: &'p PlannedSet, parent: usize) -> usize {
        let at = self.nodes.len();
        let kind = Kind::Set(Members { planned, members: Vec::new(), end: at });
        self.nodes.push(Node { name: &planned.name, policy: planned.policy, parent, kind });
        let mut members = Vec::new();
        for member in planned.waves.iter().flatten() {
            members.push(match member {
                Planned::Set(inner) => self.set(inner, at),
                Planned::Step(step) => {
                    let kind = Kind::Step(Devices::new(step));
                    let (name, policy) = (step.step.name.as_str(), step.step.policy);
                    self.nodes.push(Node { name, policy, parent: at, kind });
                    self.nodes.len() - 1
                }
            });
        }
        let end = self.nodes.len() - 1;
        if let Some(node) = self.nodes.get_mut(at) {
            node.kind = Kind::Set(Members { planned, members, end });
        }
        at
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub(super) fn step(&self, node: usize) -> Option<&Devices<'p>> {
        match &self.nodes.get(node)?.kind {
            Kind::Step(devices) => Some(devices),
            Kind::Set(_) => None,
        }
    }

    /// Where a key is in the plan.
    pub(super) fn place(&self, key: &Key) -> Option<Place> {
        let node = self.find(&key.step)?;
        let device = self.step(node)?.names.get(key.device.as_str()).copied()?;
        Some(Place { node, device, row: key.row.unwrap_or(0) })
    }

    pub(super) fn key(&self, place: Place, attempt: u32) -> Key {
        let name = self.nodes.get(place.node).map(|node| node.name).unwrap_or_default();
        let unit = self.unit(place);
        Key {
            step: name.to_owned(),
            device: unit.map(|unit| unit.device.clone()).unwrap_or_default(),
            row: unit.and_then(|unit| unit.row),
            attempt,
        }
    }

    pub(super) fn unit(&self, place: Place) -> Option<&'p Unit> {
        self.step(place.node)?.unit(place.device, place.row)
    }
}

impl<'p> Devices<'p> {
    fn new(planned: &'p PlannedStep) -> Self {
        let mut units: Vec<Range<usize>> = Vec::new();
        let mut names: HashMap<&'p str, usize> = HashMap::new();
        for (at, unit) in planned.units.iter().enumerate() {
            match names.get(unit.device.as_str()).and_then(|device| units.get_mut(*device)) {
                // The units of a device stand together.
                Some(range) => range.end = at + 1,
                None => {
                    names.insert(&unit.device, units.len());
                    units.push(at..at + 1);
                }
            }
        }
        Self { planned, units, names }
    }

    pub(super) fn unit(&self, device: usize, row: usize) -> Option<&'p Unit> {
        let range = self.units.get(device)?;
        self.planned.units.get(range.start + row).filter(|_| row < range.len())
    }

    pub(super) fn step(&self) -> &'p Step {
        &self.planned.step
    }

    pub(super) fn vars(&self, device: usize, row: usize) -> Option<&'p Vars> {
        self.unit(device, row).map(|unit| &unit.vars)
    }
}
