//! One attempt at a step: what it is handed, what ends it early, what it leaves, and who is to blame for how it ended. Which steps
//! there are, and how often they are tried, is `session`'s.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tracing::Span;

use crate::{
    base::{random::Seeds, wait::Deadline},
    event::{Outcome, RunEvent, scenario_folder},
    health::blame,
};

use super::{
    context::SuiteCx,
    failure,
    held::Holdings,
    registry::StepDef,
    runner::AFTERMATH,
    session::{STEP_LIMIT, Session, Watched, seconds},
    skip::Skipped,
    stop::Stop,
    task::{self, Bounds, Ended},
};

/// How a step went, for those after it.
pub(super) struct Went {
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    /// It could not be stopped.
    pub(super) stuck: bool,
    /// It was not begun, because the suite could not go back to where it begins.
    pub(super) lost: bool,
    /// What attempts that failed had left was there when it began: it may have left another state than a run in which it passes
    /// at once.
    pub(super) is_muddled: bool,
}

impl Session<'_> {
    /// Does a step once: its parameters, the time it has, and what it leaves.
    pub(super) async fn attempt(
        &self,
        name: &str,
        step: &'static StepDef,
        stop: Option<&Stop>,
        told: Option<Outcome>,
        span: &Span,
        attempt: u32,
    ) -> Went {
        let Self { runner, suite, .. } = *self;
        let start = Instant::now();
        if let Some(Watched { under_way, .. }) = &self.watched {
            name.clone_into(&mut under_way.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let own = step.timeout.unwrap_or(STEP_LIMIT).mul_f64(self.factor);
        // Teardown is owed its time even when the suite's is over.
        let left = self.deadline().filter(|_| stop.is_some()).map(Deadline::left);
        let (limit, words) = match left {
            Some(left) if left < own => (left, self.whole_limit()),
            _ => (own, seconds(own)),
        };
        let of_step = Holdings::default();
        let seeds = Seeds::new(runner.seed, &[&suite.name, name, &attempt.to_string()]);
        if let Some(env) = &self.env {
            env.seed(seeds.clone());
        }
        let cx = SuiteCx {
            suite: Arc::from(suite.name.as_str()),
            step,
            env: self.env.clone(),
            cvp: self.portal.as_ref().map(|stay| stay.cvp().clone()),
            changes: self.changes.clone(),
            folder: scenario_folder(&runner.folder, &suite.name, name),
            seeds: seeds.clone(),
            outcome: told,
            of_step: of_step.clone(),
            of_suite: self.values.clone(),
        };
        let bounds = Bounds { limit: Some(limit), stop, plain: step.plain };
        let env = self.env.clone();
        let failing = self.failing(name);
        let tell = failing.clone();
        // The teardown does what can be done without a machine that is lost.
        let watch = self.watched.as_ref().filter(|_| cx.outcome.is_none());
        let watch = watch.map(|watched| Arc::clone(&watched.watch));
        let work = async move {
            let lost = async {
                match watch {
                    Some(watch) => watch.lost().await,
                    None => std::future::pending().await,
                }
            };
            let result = match env {
                None => (step.run)(cx).await,
                Some(env) => tokio::select! {
                    result = (step.run)(cx) => result,
                    error = env.broken() => Err(error.into()),
                    error = lost => Err(error.into()),
                },
            };
            result.inspect_err(|error| {
                if !error.is::<Skipped>() {
                    tell(failure::causes(error));
                }
                // Here, and once: to make a backtrace to text takes a while, in which no other suite is to stand still.
                drop(error.backtrace().to_string());
            })
        };
        let ended = task::run(&runner.work, span.clone(), bounds, work).await;
        match &ended {
            Ended::Panicked(text) => failing(text.clone()),
            Ended::TimedOut { .. } => failing(format!("did not end within {words}")),
            Ended::Returned(_) | Ended::Stopped { .. } => {}
        }
        let stuck = matches!(ended, Ended::TimedOut { stuck: true } | Ended::Stopped { stuck: true });
        let mut outcome = self.blamed(failure::outcome(&ended, &words, suite.def.file)).await;
        // What cannot be stopped has its values still.
        if !stuck {
            outcome = failure::torn_down(outcome.clone(), &self.end(&of_step, &outcome, span).await);
        }
        let (unhealed, blame) = self.aftermath().await;
        let outcome = failure::after(outcome, unhealed, blame);
        let outcome = if seeds.any() { failure::by_chance(outcome, seeds.run()) } else { outcome };
        Went { outcome, took: start.elapsed(), stuck, lost: false, is_muddled: false }
    }

    /// Tells at once that a step has failed, unless that is expected: what else there is to say of it may take a while.
    fn failing(&self, name: &str) -> impl Fn(String) + Clone + Send + use<> {
        let (events, suite, scenario) =
            (self.runner.events.clone(), self.suite.name.clone(), name.to_owned());
        let mut known = self.suite.def.scenarios.iter().filter(|known| known.step.name == name);
        let is_expected = known.any(|known| known.expect_fail.is_some());
        move |error| {
            if !is_expected {
                events.send(RunEvent::Failing { suite: suite.clone(), scenario: scenario.clone(), error });
            }
        }
    }

    /// How a step ended, when it is known whether the environment broke under it.
    pub(super) async fn blamed(&self, outcome: Outcome) -> Outcome {
        if let Outcome::Failed { .. } = outcome
            && let Some(why) = self.broken().await
        {
            return failure::broken(outcome, &why);
        }
        outcome
    }

    /// Why the environment cannot be used any more, if it cannot.
    async fn broken(&self) -> Option<String> {
        let env = self.env.clone()?;
        let watch = self.watched.as_ref().map(|watched| Arc::clone(&watched.watch));
        let look = async move {
            Ok(match (env.examine().await, watch) {
                (Some(error), _) => Some(error),
                (None, Some(watch)) => watch.look_for_lost().await,
                (None, None) => None,
            })
        };
        let bounds = Bounds { limit: Some(AFTERMATH), stop: None, plain: false };
        let Ended::Returned(Ok(error)) = task::run(&self.runner.work, Span::none(), bounds, look).await
        else {
            return None;
        };
        Some(failure::describe(&error?.into(), self.suite.def.file))
    }

    /// Waits until the faults that a step dropped are healed, and asks how the machines are: what could not be set back,
    /// and what is said of the machines.
    pub(super) async fn aftermath(&self) -> (Option<String>, Option<String>) {
        let Some(env) = self.env.clone().filter(|env| env.failure().is_none()) else { return (None, None) };
        let watch = self.watched.as_ref().map(|watched| Arc::clone(&watched.watch));
        let look = async move {
            let unhealed = env.healed().await;
            let seen = match watch {
                Some(watch) => watch.settle().await,
                None => Vec::new(),
            };
            Ok((unhealed, blame(&seen)))
        };
        let bounds = Bounds { limit: Some(AFTERMATH.mul_f64(self.factor)), stop: None, plain: false };
        match task::run(&self.runner.work, Span::none(), bounds, look).await {
            Ended::Returned(Ok((unhealed, blame))) => {
                let file = self.suite.def.file;
                let error = unhealed.err().map(|error| failure::describe(&error.into(), file));
                (error.map(|error| format!("a fault could not be set back: {error}")), blame)
            }
            Ended::TimedOut { .. } => {
                (Some("faults were not set back, or machines not looked at, in time".to_owned()), None)
            }
            Ended::Panicked(_) | Ended::Stopped { .. } | Ended::Returned(Err(_)) => (None, None),
        }
    }
}
