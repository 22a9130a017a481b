//! States of a suite that are gone back to: those that scenarios left in which others begin, and those in which scenarios
//! began that are tried again. What is kept of machines and of a portal is their business.

use std::{collections::HashMap, sync::Arc, time::Instant};

use tracing::Span;

use crate::{
    cvp::StayMoment,
    env::{Moment, Progress},
    event::{Outcome, RunEvent},
};

use super::{
    failure,
    order::Planned,
    registry::{ScenarioDef, Suite},
    runner::Keep,
    session::Session,
    task::{self, Bounds, Ended},
};

/// It keeps its own limits, and is not stopped half-way: machines stand still meanwhile.
pub(super) const UNBOUNDED: Bounds<'_> = Bounds { limit: None, stop: None, plain: false };

/// A state of everything a suite has.
#[derive(Debug)]
pub(super) struct Point {
    machines: Option<Arc<Moment>>,
    portal: Option<StayMoment>,
    /// How many changes had been made.
    changes: usize,
}

/// The states of a suite.
#[derive(Debug, Default)]
pub(super) struct Points {
    /// Those that scenarios left, or why one could not be kept.
    kept: HashMap<&'static str, Result<Point, String>>,
    /// What was done until the end of each scenario, where all of that passed.
    paths: HashMap<&'static str, Vec<&'static str>>,
    /// The scenario in whose end state everything is as yet.
    at: Option<&'static str>,
    /// Whether it was told that there is no way back.
    is_told: bool,
}

/// In what state a scenario begins.
#[derive(Debug)]
pub(super) enum Entry {
    /// In whatever there is, and nobody needs it again.
    AsItIs,
    /// In the one that this scenario left.
    LeftBy(&'static str),
    /// In one that was kept for it.
    Own(Point),
}

impl Entry {
    /// Whether the attempt of that number, from 1, begins in what those before it left.
    pub(super) fn is_muddled(&self, attempt: u32) -> bool {
        attempt > 1 && matches!(self, Self::AsItIs)
    }
}

impl Points {
    /// What was done until the end of a scenario, where all of that passed.
    pub(super) fn path_to(&self, scenario: &str) -> Option<Vec<&'static str>> {
        self.paths.get(scenario).cloned()
    }

    /// Says that something is done to the state there is.
    pub(super) fn moved_on(&mut self) {
        self.at = None;
    }
}

/// Whether the state that the scenario at `place` of `planned` leaves will be gone back to. It need not be when only the next
/// one begins in it, once.
pub(super) fn is_wanted(suite: &Suite, planned: &[Planned], place: usize) -> bool {
    let def = |planned: &Planned| suite.def.scenarios.get(planned.index);
    let Some(name) = planned.get(place).and_then(def).map(|scenario| scenario.step.name) else {
        return false;
    };
    let later = planned.iter().enumerate().skip(place + 1).filter_map(|(at, one)| Some((at, def(one)?)));
    let mut users = later.filter(|(_, scenario)| scenario.from == Some(name));
    match (users.next(), users.next()) {
        (None, _) => false,
        (Some((at, scenario)), None) => at > place + 1 || scenario.retries > 0,
        (Some(_), Some(_)) => true,
    }
}

impl Session<'_> {
    /// Takes note that a scenario has passed, at the end of `path` where all of that has, and keeps the state it left if that is
    /// `wanted` again.
    pub(super) async fn left(
        &self,
        points: &mut Points,
        scenario: &'static str,
        path: Option<Vec<&'static str>>,
        wanted: bool,
    ) {
        points.at = Some(scenario);
        if let Some(path) = path {
            points.paths.insert(scenario, path);
        }
        if wanted {
            let kept = self.keep(scenario).await;
            points.kept.insert(scenario, kept);
        }
    }

    /// Brings everything into the state in which a scenario begins.
    pub(super) async fn enter(
        &self,
        points: &mut Points,
        scenario: &'static ScenarioDef,
    ) -> Result<Entry, String> {
        let name = scenario.step.name;
        if let Some(from) = scenario.from {
            if points.at != Some(from) {
                self.go_back_to(points, name, from).await?;
            }
            return Ok(Entry::LeftBy(from));
        }
        if scenario.retries == 0 || (self.env.is_none() && self.portal.is_none()) {
            return Ok(Entry::AsItIs);
        }
        if let Some(at) = points.at.filter(|at| matches!(points.kept.get(at), Some(Ok(_)))) {
            return Ok(Entry::LeftBy(at));
        }
        let kept = match self.obstacles.first() {
            Some(why) => Err(why.clone()),
            None => self.keep(name).await,
        };
        match kept {
            Ok(point) => Ok(Entry::Own(point)),
            Err(why) => {
                if !std::mem::replace(&mut points.is_told, true) {
                    let text = format!(
                        "further attempts at `{name}` begin in what the one before left, because the state before cannot be \
                         kept: {why}"
                    );
                    let suite = self.suite.name.clone();
                    self.runner.emit(RunEvent::SuiteProgress { suite, text });
                }
                Ok(Entry::AsItIs)
            }
        }
    }

    /// Brings everything back into the state in which a scenario began.
    pub(super) async fn enter_again(
        &self,
        points: &mut Points,
        scenario: &'static str,
        entry: &Entry,
    ) -> Result<(), String> {
        match entry {
            Entry::AsItIs => Ok(()),
            Entry::LeftBy(from) => self.go_back_to(points, scenario, from).await,
            Entry::Own(point) => self.go_back(scenario, None, point).await,
        }
    }

    /// Frees what was kept for a scenario alone.
    pub(super) async fn leave(&self, entry: Entry) {
        if let Entry::Own(point) = entry {
            self.forget(point).await;
        }
    }

    /// Frees all that was kept, of machines that stay.
    pub(super) async fn forget_all(&self, points: Points) {
        if matches!(self.runner.keep, Keep::Never | Keep::State) {
            return;
        }
        for point in points.kept.into_values().flatten() {
            self.forget(point).await;
        }
    }

    async fn go_back_to(
        &self,
        points: &mut Points,
        scenario: &'static str,
        from: &'static str,
    ) -> Result<(), String> {
        let gone = match points.kept.get(from) {
            Some(Ok(point)) => self.go_back(scenario, Some(from), point).await,
            Some(Err(why)) => Err(format!("the state that `{from}` left could not be kept: {why}")),
            None => Err(format!("the state that `{from}` left was not kept")),
        };
        points.at = gone.is_ok().then_some(from);
        gone
    }

    /// Keeps the state there is, as that which `scenario` left, or in which it begins.
    async fn keep(&self, scenario: &str) -> Result<Point, String> {
        let start = Instant::now();
        let machines = match self.env.clone() {
            None => None,
            Some(env) => {
                let work = async move { Ok(env.keep_moment(&Progress::new(|_| {})).await?) };
                Some(Arc::new(self.done(task::run(&self.runner.work, Span::none(), UNBOUNDED, work).await)?))
            }
        };
        let portal = match &self.portal {
            Some(stay) => stay.keep().await,
            None => None,
        };
        self.runner.emit(RunEvent::StateKept {
            suite: self.suite.name.clone(),
            scenario: scenario.to_owned(),
            seconds: start.elapsed().as_secs_f64(),
        });
        Ok(Point { machines, portal, changes: self.changes.made() })
    }

    /// Brings everything back to a state, before `scenario`.
    async fn go_back(&self, scenario: &str, from: Option<&str>, point: &Point) -> Result<(), String> {
        let (start, Self { runner, suite, .. }) = (Instant::now(), self);
        // While machines are as these left them.
        self.undo(point.changes).await;
        self.end_remade().await;
        if let (Some(stay), Some(moment)) = (&self.portal, &point.portal) {
            stay.go_back(moment).await;
        }
        if let (Some(env), Some(moment)) = (self.env.clone(), point.machines.clone()) {
            let span = runner.recorder.scenario(&suite.name, scenario);
            let work = async move { Ok(env.return_to(&moment, &Progress::new(|_| {})).await?) };
            let left = from.map_or("in which it began".to_owned(), |from| format!("that `{from}` left"));
            self.done(task::run(&runner.work, span, UNBOUNDED, work).await)
                .map_err(|why| format!("the suite cannot be brought back to the state {left}: {why}"))?;
        }
        runner.emit(RunEvent::Restored {
            suite: suite.name.clone(),
            scenario: scenario.to_owned(),
            from: from.map(str::to_owned),
            seconds: start.elapsed().as_secs_f64(),
        });
        Ok(())
    }

    /// Ends the values that are made again after the suite went back.
    async fn end_remade(&self) {
        let values = self.values.take_remade();
        self.end_these(&values, &Outcome::Passed).await;
    }

    async fn forget(&self, point: Point) {
        let (Some(env), Some(moment)) = (self.env.clone(), point.machines) else { return };
        let work = async move { Ok(env.forget_moment(&moment).await?) };
        if let Err(why) = self.done(task::run(&self.runner.work, Span::none(), UNBOUNDED, work).await) {
            tracing::debug!("a state of {} was not forgotten: {why}", self.suite.name);
        }
    }

    pub(super) fn done<T>(&self, ended: Ended<T>) -> Result<T, String> {
        match ended {
            Ended::Returned(Ok(value)) => Ok(value),
            Ended::Returned(Err(error)) => Err(failure::describe(&error, self.suite.def.file)),
            Ended::Panicked(text) => Err(text),
            Ended::TimedOut { .. } | Ended::Stopped { .. } => Err("it did not end".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::{StepDef, SuiteDef};
    use super::*;

    const fn scenario(name: &'static str, from: Option<&'static str>, retries: u32) -> ScenarioDef {
        let run = |_| -> crate::base::dial::BoxFuture<'static, crate::Result> { Box::pin(async { Ok(()) }) };
        let step = StepDef { name, line: 1, params: &[], timeout: None, plain: false, cached: false, run };
        ScenarioDef { from, retries, ..ScenarioDef::plain(step) }
    }

    #[test]
    fn only_what_cannot_be_gone_back_to_is_muddled_by_attempts() {
        let muddled = |entry: &Entry| [1, 2, 3].map(|attempt| entry.is_muddled(attempt));
        assert_eq!(muddled(&Entry::AsItIs), [false, true, true]);
        assert_eq!(muddled(&Entry::LeftBy("a")), [false; 3]);
    }

    #[test]
    fn what_nobody_goes_back_to_is_not_kept() {
        static DEF: SuiteDef = SuiteDef::plain(
            "t::s",
            "t.rs",
            1,
            &[
                scenario("a", None, 0),
                scenario("b", Some("a"), 0),
                scenario("c", Some("b"), 1),
                scenario("d", Some("a"), 0),
                scenario("e", None, 0),
            ],
        );
        let suite = Suite { name: "s".into(), def: &DEF };
        let wanted = |run: &[usize]| {
            let planned: Vec<Planned> =
                run.iter().map(|&index| Planned { index, prerequisite: false }).collect();
            let wanted = (0..planned.len()).filter(|place| is_wanted(&suite, &planned, *place));
            wanted.map(|place| run[place]).collect::<Vec<_>>()
        };
        assert_eq!(wanted(&[0, 1, 2, 3, 4]), [0, 1]);
        assert_eq!(wanted(&[0, 1, 4]), [0; 0], "the next one begins where it ended");
        assert_eq!(wanted(&[0, 1, 2]), [1], "what is tried again begins there again");
        assert_eq!(wanted(&[0, 4, 3]), [0]);
    }
}
