//! What the macro leaves in a binary: constant descriptors, gathered by the linker and put in order.

use std::{collections::BTreeMap, time::Duration};

use crate::{Result, base::dial::BoxFuture, cvp::server::SavedState};

use super::{
    context::SuiteCx,
    extract::{Need, OnReturn, Scope},
};

/// Every suite of the binary, in the linker's order, which means nothing.
#[linkme::distributed_slice]
pub static SUITES: [SuiteDef];

/// One `#[suite]`.
#[derive(Debug)]
pub struct SuiteDef {
    /// Path of its module, the crate's name first.
    pub module: &'static str,
    /// Source file.
    pub file: &'static str,
    /// Line of the module's name.
    pub line: u32,
    /// Its init file; without one it has no machines.
    pub env: Option<EnvFile>,
    /// Its session at a portal, if it has one.
    pub cvp: Option<PortalDef>,
    /// The file of changes that its scenarios may make.
    pub changes: Option<EnvFile>,
    /// Limit for environment, set-up and scenarios together.
    pub timeout: Option<Duration>,
    /// The environment variable without which it is as if it were not there.
    pub if_var: Option<&'static str>,
    /// Whether nothing is begun any more once a scenario has failed.
    pub stop_on_failure: bool,
    /// `#[setup]`: one or none.
    pub setup: &'static [StepDef],
    /// `#[teardown]`: one or none.
    pub teardown: &'static [StepDef],
    /// In source order.
    pub scenarios: &'static [ScenarioDef],
}

/// A session at a portal, as a suite asks for it.
#[derive(Debug, Clone, Copy)]
pub struct PortalDef {
    /// The state a portal of our own begins with; without one it has devices to play with.
    pub state: Option<EnvFile>,
}

/// A file as it was when the suite was compiled.
#[derive(Debug, Clone, Copy)]
pub struct EnvFile {
    /// Where it lay.
    pub path: &'static str,
    /// What was in it.
    pub text: &'static str,
}

impl EnvFile {
    /// The same as a portal's state.
    pub(crate) fn state(self) -> SavedState {
        SavedState { file: self.path.into(), json: self.text.as_bytes().to_vec() }
    }
}

/// A function the runner calls.
#[derive(Debug)]
pub struct StepDef {
    /// Its name.
    pub name: &'static str,
    /// Line of its name.
    pub line: u32,
    /// Its parameters.
    pub params: &'static [Param],
    /// Its own limit.
    pub timeout: Option<Duration>,
    /// Whether it is no async function, hence cannot be stopped.
    pub plain: bool,
    /// Whether the state it leaves is kept for later runs.
    pub cached: bool,
    /// Extracts the parameters and calls it.
    pub run: fn(SuiteCx) -> BoxFuture<'static, Result>,
}

/// One `#[test]` of a suite.
#[derive(Debug)]
pub struct ScenarioDef {
    /// What is called.
    pub step: StepDef,
    /// Scenarios, earlier in the suite, that must have passed.
    pub after: &'static [&'static str],
    /// The one, earlier in the suite, in whose end state it begins; it must have passed, too.
    pub from: Option<&'static str>,
    /// Whether it runs whatever became of those, and of the suite.
    pub always: bool,
    /// Words by which it is selected.
    pub tags: &'static [&'static str],
    /// How often it is tried again when it fails.
    pub retries: u32,
    /// What has to be there; else it is not run.
    pub needs: &'static [Requirement],
    /// That it fails is known.
    pub expect_fail: Option<ExpectFail>,
    /// `#[ignore]`.
    pub ignore: Ignore,
}

/// Something that has to be there for a scenario to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// KVM that works.
    Kvm,
    /// A portal that is configured.
    Portal,
    /// Memory of the host that is free.
    Memory {
        /// How much, in MiB.
        mib: u64,
    },
    /// A program of the host.
    Tool(&'static str),
    /// A machine of this role.
    Role(&'static str),
    /// Something a machine must be capable of.
    Capability {
        /// The role of the machine; any when absent.
        role: Option<&'static str>,
        /// What it must be capable of, as init files call it.
        name: &'static str,
    },
}

/// A failure that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectFail {
    /// The last day of it, as `2027-01-31`.
    pub until: &'static str,
    /// What is known.
    pub reason: &'static str,
}

/// A parameter of a step.
#[derive(Debug)]
pub struct Param {
    /// Its name: what machine or net is asked for, when the type is one.
    pub name: &'static str,
    /// The role of the machines that are asked for; else the name says it.
    pub role: Option<&'static str>,
    /// What its type asks for.
    pub need: Need,
    /// How long its value lives.
    pub scope: Scope,
    /// What becomes of its value when the suite goes back to an earlier state.
    pub on_return: OnReturn,
}

/// Whether a scenario is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignore {
    /// It is not.
    No,
    /// It is.
    Yes,
    /// It is, for this reason.
    Because(&'static str),
}

impl ScenarioDef {
    /// Whether `name` must have passed before it.
    pub(crate) fn needs_passed(&self, name: &str) -> bool {
        self.after.iter().chain(&self.from).any(|needed| *needed == name)
    }

    /// A scenario that is only called, for tests.
    #[cfg(test)]
    pub(crate) const fn plain(step: StepDef) -> Self {
        Self {
            step,
            after: &[],
            from: None,
            always: false,
            tags: &[],
            retries: 0,
            needs: &[],
            expect_fail: None,
            ignore: Ignore::No,
        }
    }
}

/// A registered suite and the name people know it by.
#[derive(Debug, Clone)]
pub(crate) struct Suite {
    /// The module's path without the crate, as libtest writes it.
    pub(crate) name: String,
    pub(crate) def: &'static SuiteDef,
}

/// Two suites of one name, and where they are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("two suites are called `{name}`: {first} and {second}")]
pub(crate) struct DuplicateSuite {
    name: String,
    first: String,
    second: String,
}

/// The suites in source order, or all pairs with the same name.
pub(crate) fn arrange(defs: &'static [SuiteDef]) -> Result<Vec<Suite>, Vec<DuplicateSuite>> {
    let mut suites: Vec<Suite> = defs.iter().map(|def| Suite { name: name(def), def }).collect();
    suites.sort_by_key(|suite| (suite.def.file, suite.def.line));
    let mut seen: BTreeMap<&str, &SuiteDef> = BTreeMap::new();
    let mut duplicates = Vec::new();
    for suite in &suites {
        match seen.get(suite.name.as_str()) {
            Some(first) => duplicates.push(DuplicateSuite {
                name: suite.name.clone(),
                first: place(first),
                second: place(suite.def),
            }),
            None => drop(seen.insert(&suite.name, suite.def)),
        }
    }
    if duplicates.is_empty() { Ok(suites) } else { Err(duplicates) }
}

fn name(def: &SuiteDef) -> String {
    let path = def.module.split_once("::").map_or(def.module, |(_, path)| path);
    path.replace("r#", "")
}

fn place(def: &SuiteDef) -> String {
    format!("{}:{}", def.file, def.line)
}

#[cfg(test)]
impl SuiteDef {
    /// A suite with nothing but scenarios.
    pub(crate) const fn plain(
        module: &'static str,
        file: &'static str,
        line: u32,
        scenarios: &'static [ScenarioDef],
    ) -> Self {
        Self {
            module,
            file,
            line,
            env: None,
            cvp: None,
            changes: None,
            timeout: None,
            if_var: None,
            stop_on_failure: false,
            setup: &[],
            teardown: &[],
            scenarios,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_order_and_libtest_names() {
        static DEFS: [SuiteDef; 3] = [
            SuiteDef::plain("t::b", "t.rs", 20, &[]),
            SuiteDef::plain("t::inner::r#a", "t.rs", 3, &[]),
            SuiteDef::plain("other::x", "a.rs", 9, &[]),
        ];
        let names: Vec<String> = arrange(&DEFS).unwrap().into_iter().map(|suite| suite.name).collect();
        assert_eq!(names, ["x", "inner::a", "b"]);
    }

    #[test]
    fn one_name_for_two_suites_is_an_error() {
        static DEFS: [SuiteDef; 2] =
            [SuiteDef::plain("t::a", "t.rs", 2, &[]), SuiteDef::plain("lib::a", "lib.rs", 1, &[])];
        let errors = arrange(&DEFS).unwrap_err();
        assert_eq!(errors[0].to_string(), "two suites are called `a`: lib.rs:1 and t.rs:2");
    }
}
