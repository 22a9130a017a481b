//! How long suites and scenarios take as a rule: the median of the runs that are kept. Bounded in runs, bytes and time:
//! nobody waits for it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use crate::{
    event::{Outcome, RunEvent, Stamped, VERSION},
    report::{retention::is_run_id, sink::EVENTS},
};

/// Runs that are read at most, the newest ones.
const RUNS: usize = 10;
/// Bytes of a file of events above which it is passed over.
const BYTES: u64 = 64 * 1024 * 1024;
/// How long reading may take in all.
const LIMIT: Duration = Duration::from_secs(5);

/// Durations by suites and scenarios.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Usual {
    scenarios: BTreeMap<(String, String), Duration>,
    suites: BTreeMap<String, Duration>,
}

impl Usual {
    /// How long a scenario takes, if it ever passed.
    pub(crate) fn scenario(&self, suite: &str, scenario: &str) -> Option<Duration> {
        self.scenarios.get(&(suite.to_owned(), scenario.to_owned())).copied()
    }

    /// How long a suite takes, if it ever ended.
    pub(crate) fn suite(&self, suite: &str) -> Option<Duration> {
        self.suites.get(suite).copied()
    }

    /// Reads the runs in `root` but for the one named `but`; the cell is filled when that is done.
    pub(crate) fn begin_reading(root: &Path, but: &str) -> Arc<OnceLock<Self>> {
        let cell = Arc::new(OnceLock::new());
        let (root, but, filled) = (root.to_owned(), but.to_owned(), Arc::clone(&cell));
        // Whether it can be had or not: the run goes on.
        let _ = thread::Builder::new().name("usual".into()).spawn(move || {
            let _ = filled.set(Self::read(&root, &but, LIMIT));
        });
        cell
    }

    fn read(root: &Path, but: &str, limit: Duration) -> Self {
        let start = Instant::now();
        let names = fs::read_dir(root).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let mut runs: Vec<String> = names.filter(|name| is_run_id(name) && name != but).collect();
        runs.sort_by(|a, b| b.cmp(a));
        let mut times = Times::default();
        for run in runs.iter().take(RUNS) {
            // What cannot be read, such as a run of a later version, tells nothing.
            let Some(lines) = File::open(root.join(run).join(EVENTS)).ok().and_then(lines) else { continue };
            for line in lines {
                if start.elapsed() > limit {
                    return times.medians();
                }
                times.take(&line);
            }
        }
        times.medians()
    }
}

/// The lines of a file, if it is one that can be understood and is not too large.
fn lines(file: File) -> Option<impl Iterator<Item = String>> {
    if file.metadata().ok()?.len() > BYTES {
        return None;
    }
    // What a killed process left may end amid a character.
    let mut lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    let head: Stamped = serde_json::from_slice(&lines.next()?).ok()?;
    let RunEvent::RunStarted { version, .. } = head.event else { return None };
    (version <= VERSION).then(|| lines.map(|line| String::from_utf8_lossy(&line).into_owned()))
}

#[derive(Default)]
struct Times {
    scenarios: BTreeMap<(String, String), Vec<f64>>,
    suites: BTreeMap<String, Vec<f64>>,
}

impl Times {
    fn take(&mut self, line: &str) {
        // Most lines are others, and to understand them all would take long.
        if !["\"scenario_finished\"", "\"suite_finished\""].iter().any(|kind| line.contains(kind)) {
            return;
        }
        match serde_json::from_str::<Stamped>(line).map(|stamped| stamped.event) {
            Ok(RunEvent::ScenarioFinished { suite, scenario, outcome: Outcome::Passed, seconds }) => {
                self.scenarios.entry((suite, scenario)).or_default().push(seconds);
            }
            Ok(RunEvent::SuiteFinished { suite, seconds, .. }) => {
                self.suites.entry(suite).or_default().push(seconds);
            }
            _ => {}
        }
    }

    fn medians(self) -> Usual {
        let scenarios = self.scenarios.into_iter().filter_map(|(key, times)| Some((key, median(times)?)));
        let suites = self.suites.into_iter().filter_map(|(key, times)| Some((key, median(times)?)));
        Usual { scenarios: scenarios.collect(), suites: suites.collect() }
    }
}

/// The middle one; of two in the middle, the shorter one.
fn median(mut times: Vec<f64>) -> Option<Duration> {
    times.sort_by(f64::total_cmp);
    let middle = times.get(times.len().checked_sub(1)? / 2)?;
    Duration::try_from_secs_f64(*middle).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Fault;

    fn run(root: &Path, name: &str, version: u32, events: Vec<RunEvent>) {
        let (polder, run, suites) = (String::new(), name.to_owned(), Vec::new());
        let head = RunEvent::RunStarted { version, polder, run, suites, scenarios: 1, seed: None };
        let line = |event| serde_json::to_string(&Stamped::new(Duration::ZERO, event)).unwrap() + "\n";
        let mut text: String = std::iter::once(head).chain(events).map(line).collect();
        text += "{\"time\":1,\"since_start\":1,\"event\":{\"kind\":\"scenario_finished\",\"su";
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join(EVENTS), text).unwrap();
    }

    fn passed(seconds: f64) -> RunEvent {
        let (suite, scenario) = ("s".to_owned(), "a".to_owned());
        RunEvent::ScenarioFinished { suite, scenario, outcome: Outcome::Passed, seconds }
    }

    #[test]
    fn it_is_the_median_of_what_passed_in_the_runs_that_can_be_read() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let failed = Outcome::Failed { fault: Fault::Product, error: String::new() };
        let bad = RunEvent::ScenarioFinished {
            suite: "s".into(),
            scenario: "a".into(),
            outcome: failed,
            seconds: 99.0,
        };
        let suite = |seconds| RunEvent::SuiteFinished { suite: "s".into(), usage: None, seconds };
        run(root, "20261121T051505Z-1", 1, vec![passed(3.0), suite(8.0)]);
        run(root, "20261122T051505Z-1", 1, vec![passed(1.0), bad, suite(9.0)]);
        run(root, "20261123T051505Z-1", 1, vec![passed(2.0)]);
        run(root, "20261124T051505Z-1", VERSION + 1, vec![passed(70.0)]);
        run(root, "20261125T051505Z-1", 1, vec![passed(80.0)]);
        run(root, "unrelated", 1, vec![passed(90.0)]);
        fs::create_dir(root.join("20261126T051505Z-1")).unwrap();
        fs::create_dir(root.join("20261126T051505Z-2")).unwrap();
        fs::write(root.join("20261126T051505Z-2").join(EVENTS), "no events\n\u{0}").unwrap();
        let usual = Usual::read(root, "20261125T051505Z-1", LIMIT);
        assert_eq!(usual.scenario("s", "a"), Some(Duration::from_secs(2)));
        assert_eq!((usual.suite("s"), usual.suite("t")), (Some(Duration::from_secs(8)), None));
        assert_eq!(usual.scenario("s", "b"), None);
        assert_eq!(Usual::read(&root.join("none"), "", LIMIT), Usual::default());
    }

    #[test]
    fn only_the_newest_runs_count_and_no_longer_than_there_is_time() {
        let root = tempfile::tempdir().unwrap();
        for day in 1..=12 {
            let seconds = if day <= 2 { 1000.0 } else { f64::from(day) };
            run(root.path(), &format!("202611{day:02}T051505Z-1"), 1, vec![passed(seconds)]);
        }
        let usual = Usual::read(root.path(), "", LIMIT);
        assert_eq!(usual.scenario("s", "a"), Some(Duration::from_secs(7)));
        assert_eq!(Usual::read(root.path(), "", Duration::ZERO), Usual::default());
    }
}
