//! From a parameter's type to its value, and from what a step returned to its verdict.

use std::{future::Future, ops::Deref};

use crate::{
    Result,
    cvp::Cvp,
    env::{Env, Net, Vm},
    event::Outcome,
};

use super::{
    changes::Changes,
    context::{Artifacts, SuiteCx},
    held::Held,
    registry::Param,
};

/// What a parameter's type asks of the suite, known before anything starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// That there is one.
    Environment,
    /// A machine: the one of the parameter's role, else the one of its name.
    Machine,
    /// The machines of the parameter's role, else all.
    Machines,
    /// A net with the parameter's name.
    Net,
    /// A session at a portal.
    Portal,
    /// A change of the suite's file, with the parameter's name.
    Change,
    /// Choices that are left to chance.
    Chance,
    /// How the suite did, which only its teardown is told.
    Outcome,
}

/// How long the value of a parameter lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// As long as the step that asks for it: each gets a new one.
    Step,
    /// As long as the suite: all steps whose parameters have the same type, name and role are given the same one, which is
    /// made for the first of them.
    Suite,
}

/// What becomes of a value of [`Scope::Suite`] when its suite goes back to the state that an earlier scenario left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReturn {
    /// Nobody knows: a suite that has it cannot go back (`from(..)` is refused before anything starts).
    Unknown,
    /// It stays: what it knows of machines and portal holds in every state of them.
    Stay,
    /// It is ended before, and made again for the next step that asks for it.
    Remake,
}

/// A type that steps of a suite can have as parameters, written `name: &Type`.
///
/// Implement it for what your suites share, such as a client of the product:
///
/// ```
/// use polder::{FromSuite, Need, Outcome, Param, Result, Scope, SuiteCx};
///
/// struct Client { base: String }
///
/// impl FromSuite for Client {
///     const NEED: Need = Need::Nothing;
///     const SCOPE: Scope = Scope::Suite;
///     async fn from_suite(cx: &SuiteCx, param: &Param) -> Result<Self> {
///         Ok(Self { base: format!("{}/{}", cx.suite(), param.name) })
///     }
///     async fn teardown(self, outcome: &Outcome) -> Result {
///         if *outcome != Outcome::Passed {
///             eprintln!("look at {}", self.base);
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a scenario",
    label = "not something a suite provides",
    note = "`Env`, `Vm`, `Vms`, `Net`, `Cvp`, `Changes`, `NamedChange`, `Chance`, `Artifacts` and, in a teardown, `Outcome` are; implement `polder::FromSuite` for a type of your own"
)]
pub trait FromSuite: Sized + Send + Sync + 'static {
    /// What it asks of the environment.
    const NEED: Need;
    /// How long it lives.
    const SCOPE: Scope = Scope::Step;
    /// What becomes of it when its suite goes back to an earlier state, if it lives as long as the suite.
    const ON_RETURN: OnReturn = OnReturn::Unknown;

    /// Makes the value.
    ///
    /// # Errors
    /// Whatever kept it from being made; the step then fails with it.
    fn from_suite(cx: &SuiteCx, param: &Param) -> impl Future<Output = Result<Self>> + Send;

    /// Ends the value, when the step is over that had it, or after the suite's own teardown. `outcome` is how that step ended, or
    /// how the suite did: passed, or what failed first. Values that were made last are ended first; those of a step that
    /// cannot be stopped are not ended.
    ///
    /// # Errors
    /// Whatever kept it from being ended; the step, or the suite, has failed then.
    fn teardown(self, outcome: &Outcome) -> impl Future<Output = Result> + Send {
        async move {
            let _ = (self, outcome);
            Ok(())
        }
    }
}

impl FromSuite for Env {
    const NEED: Need = Need::Environment;
    async fn from_suite(cx: &SuiteCx, _: &Param) -> Result<Self> {
        Ok(cx.env()?.clone())
    }
}

impl FromSuite for Vm {
    const NEED: Need = Need::Machine;
    async fn from_suite(cx: &SuiteCx, param: &Param) -> Result<Self> {
        let env = cx.env()?;
        let vm = match param.role {
            Some(_) => Vms::from_suite(cx, param).await?.iter().next().cloned(),
            None => env.names().machine(param.name).and_then(|name| env.vm(name)),
        };
        vm.ok_or_else(|| anyhow::anyhow!("no machine `{}` in the environment", param.name))
    }
}

/// Machines of a suite, in the init file's order: those of a role, or all.
///
/// ```no_run
/// use polder::prelude::*;
///
/// async fn all_answer(vms: &Vms) -> Result {
///     for vm in vms.iter() {
///         vm.succeed("true").await.with_context(|| format!("{vm} does not answer"))?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Vms(Vec<Vm>);

impl Deref for Vms {
    type Target = [Vm];
    fn deref(&self) -> &[Vm] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Vms {
    type Item = &'a Vm;
    type IntoIter = std::slice::Iter<'a, Vm>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromSuite for Vms {
    const NEED: Need = Need::Machines;
    async fn from_suite(cx: &SuiteCx, param: &Param) -> Result<Self> {
        let env = cx.env()?;
        let Some(role) = param.role else { return Ok(Self(env.vms())) };
        let names = env.names();
        Ok(Self(names.role(role).iter().filter_map(|name| env.vm(name)).collect()))
    }
}

impl FromSuite for Net {
    const NEED: Need = Need::Net;
    async fn from_suite(cx: &SuiteCx, param: &Param) -> Result<Self> {
        let env = cx.env()?;
        let net = env.names().net(param.name).and_then(|name| env.net(name));
        net.ok_or_else(|| anyhow::anyhow!("no net `{}` in the environment", param.name))
    }
}

impl FromSuite for Cvp {
    const NEED: Need = Need::Portal;
    async fn from_suite(cx: &SuiteCx, _: &Param) -> Result<Self> {
        Ok(cx.cvp()?.clone())
    }
}

impl FromSuite for Changes {
    const NEED: Need = Need::Nothing;
    async fn from_suite(cx: &SuiteCx, _: &Param) -> Result<Self> {
        Ok(cx.changes().clone())
    }
}

impl FromSuite for Artifacts {
    const NEED: Need = Need::Nothing;
    async fn from_suite(cx: &SuiteCx, _: &Param) -> Result<Self> {
        Ok(cx.artifacts())
    }
}

impl FromSuite for Outcome {
    const NEED: Need = Need::Outcome;
    async fn from_suite(cx: &SuiteCx, _: &Param) -> Result<Self> {
        Ok(cx.outcome()?.clone())
    }
}

/// Extracts the parameter at `index` of the step.
///
/// # Errors
/// Those of [`FromSuite::from_suite`].
pub async fn extract<T: FromSuite>(cx: &SuiteCx, index: usize) -> Result<Held<T>> {
    let param = cx.param(index)?;
    let holdings = match T::SCOPE {
        Scope::Step => &cx.of_step,
        Scope::Suite => match cx.of_suite.find(param) {
            Some(held) => return Ok(held),
            None => &cx.of_suite,
        },
    };
    Ok(holdings.keep(param, T::from_suite(cx, param).await?))
}

/// What a step's result says.
///
/// # Errors
/// The step's own.
pub fn verdict<V: Verdict>(returned: V) -> Result {
    returned.into_result()
}

/// What a step may return: nothing, or a `Result` of nothing with any error that fits [`crate::Result`].
#[diagnostic::on_unimplemented(
    message = "a scenario cannot return `{Self}`",
    label = "should be nothing or a `Result` of nothing",
    note = "write `-> Result`"
)]
pub trait Verdict {
    /// The one form the runner knows.
    ///
    /// # Errors
    /// The step's own.
    fn into_result(self) -> Result;
}

impl Verdict for () {
    fn into_result(self) -> Result {
        Ok(())
    }
}

impl<E: Into<anyhow::Error>> Verdict for std::result::Result<(), E> {
    fn into_result(self) -> Result {
        self.map_err(Into::into)
    }
}
