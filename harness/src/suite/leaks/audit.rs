//! Looks what a suite has left, and tells it: as events, and as a failure of the suite.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    look,
    model::{ENVIRONMENT, FAULT, Leak, Micros, Times, mounts, told},
};
use crate::{
    env::Env,
    event::{Fault, Outcome, RunEvent, suite_folder},
    suite::{registry::Suite, runner::Runner},
};

/// What it is called in reports.
const LEAKS: &str = "leaks";
/// How long what was told to end may take to do so.
const GRACE: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(50);

/// What is known of the suites of this process.
#[derive(Debug, Default)]
pub(crate) struct Audit(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    times: Times,
    /// Processes of labs that stay.
    kept: BTreeSet<i32>,
    /// Faults that nobody set back, by their suites.
    faults: Vec<(String, String, Micros)>,
}

impl Audit {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::suite) fn begin(&self, suite: &str) {
        self.known().times.begin(suite, look::now());
    }

    pub(in crate::suite) fn step(&self, suite: &str, scenario: &str) {
        self.known().times.step(suite, scenario, look::now());
    }

    pub(in crate::suite) fn step_ended(&self, suite: &str, scenario: &str) {
        let children = look::children();
        if !children.is_empty() {
            self.known().times.seen(suite, scenario, &children);
        }
    }

    /// A lab stays, because it was asked to.
    pub(in crate::suite) fn keeps(&self, warden: Option<i32>) {
        self.known().kept.extend(warden);
    }

    /// A fault that began `age` ago is still there at the end of its suite.
    pub(in crate::suite) fn unhealed(&self, suite: &str, what: &str, age: Duration) {
        self.known().faults.push((suite.to_owned(), what.to_owned(), before(age)));
    }

    /// All that is left now.
    fn left(&self, suite: &str, folder: &Path) -> Vec<Leak> {
        let children = look::children();
        let known = self.known();
        let mut leaks = known.times.left(suite, &children, &known.kept);
        let faults = known.faults.iter().filter(|(of, ..)| of == suite);
        leaks.extend(faults.map(|(_, what, began)| Leak {
            scenario: known.times.step_at(suite, *began),
            kind: FAULT,
            what: format!("a fault that was not set back: {what}"),
        }));
        let others = Env::elsewhere().into_iter().filter(|one| !one.folder.starts_with(folder));
        leaks.extend(others.filter_map(|one| {
            let (scenario, or) = known.times.due(suite, before(one.age))?;
            let what = format!("an environment on {}, in {}{or}", one.uri, one.folder.display());
            Some(Leak { scenario, kind: ENVIRONMENT, what })
        }));
        drop(known);
        // The kernel takes its time for that list, and suites without files have nothing in it.
        if folder.is_dir() {
            let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            leaks.extend(mounts(&mountinfo, folder));
        }
        leaks
    }
}

/// So long ago.
fn before(age: Duration) -> Micros {
    look::now().saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX))
}

impl Runner {
    /// Tells what the suite has left, when everything of it has ended.
    pub(in crate::suite) async fn audit(&self, suite: &Suite) {
        let (start, folder) = (Instant::now(), suite_folder(&self.folder, &suite.name));
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let leaks = loop {
            let leaks = self.audit.left(&suite.name, &folder);
            if leaks.is_empty() || start.elapsed() > GRACE {
                break leaks;
            }
            tokio::time::sleep(AGAIN).await;
        };
        if !leaks.is_empty() {
            leaks.iter().for_each(|leak| self.report_leak(suite, leak));
            let outcome = Outcome::Failed { fault: Fault::Product, error: told(&leaks) };
            self.report_finished(suite, LEAKS, outcome, Duration::ZERO);
        }
        let mut known = self.audit.known();
        known.faults.retain(|(of, ..)| *of != suite.name);
        known.times.end(&suite.name, look::now());
    }

    pub(in crate::suite) fn report_leak(&self, suite: &Suite, leak: &Leak) {
        self.emit(RunEvent::Leak {
            suite: suite.name.clone(),
            scenario: leak.scenario.clone(),
            leak: leak.kind.to_owned(),
            what: leak.what.clone(),
        });
    }
}
