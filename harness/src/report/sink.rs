//! The run's folder: `events.jsonl` as it happens, what failures leave, old runs removed. The only writer of reports.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    event::{Outcome, RunEvent, Stamped, scenario_folder},
    trace::{Log, Told},
    workdir::paths::FOLDER as WORKDIR,
};

use super::retention::{self, Found};

/// The file of events in a run's folder, and the link to the newest one beside it.
pub(crate) const EVENTS: &str = "events.jsonl";
pub(crate) const LATEST: &str = "latest";
/// Marks a run of which environments stay, in [`WORKDIR`] in the folders of their suites.
const KEPT: &str = "kept";

/// Bytes of lines that are written together at most.
const BATCH: usize = 64 * 1024;

/// A run's folder, open for writing.
#[derive(Debug)]
pub(crate) struct Sink {
    run: String,
    folder: PathBuf,
    /// Locked as long as this process lives: that tells a run under way from one that has ended, however it did.
    events: File,
    /// Lines that are not written yet.
    pending: Vec<u8>,
}

/// A folder or file of a report that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the report: {}", path.display())]
pub(crate) struct SinkError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Where runs lie: the folder `POLDER_OUTPUT_DIR`, else `polder` in cargo's target folder, which is above the binary.
#[must_use]
pub fn output_root() -> PathBuf {
    if let Some(root) = env::var_os("POLDER_OUTPUT_DIR") {
        return PathBuf::from(root);
    }
    let binary = env::current_exe().unwrap_or_default();
    let target = binary.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.unwrap_or(Path::new("target")).join("polder")
}

impl Sink {
    /// Makes the folder of a new run below `root`, points `latest` at it and removes old ones.
    pub(crate) fn create(root: &Path, now: SystemTime) -> Result<Self, SinkError> {
        let run = retention::run_id(now, std::process::id());
        let folder = root.join(&run);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        let path = folder.join(EVENTS);
        let events = File::create(&path).map_err(at(&path))?;
        flock(&events, FlockOperation::LockExclusive).map_err(|e| at(&path)(e.into()))?;
        point(root, &run).map_err(at(&root.join(LATEST)))?;
        // Two binaries may remove the same one; what cannot be removed now will be met again.
        for name in retention::to_remove(found(root), now) {
            let _ = fs::remove_dir_all(root.join(name));
        }
        Ok(Self { run, folder, events, pending: Vec::new() })
    }

    /// The run's name.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// The run's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes events in their order. Those that have come meanwhile are written at once, so that little is lost with us.
    pub(crate) fn write<'a>(&mut self, events: impl IntoIterator<Item = &'a Told>) -> Result<(), SinkError> {
        let mut result = Ok(());
        for Told { stamped, log } in events {
            result = result.and(self.line(stamped)).and(self.leave(&stamped.event, log));
            if self.pending.len() > BATCH {
                result = result.and(self.flush());
            }
        }
        result.and(self.flush())
    }

    fn line(&mut self, stamped: &Stamped) -> Result<(), SinkError> {
        let before = self.pending.len();
        serde_json::to_writer(&mut self.pending, stamped).map_err(|error| {
            // Never half a line.
            self.pending.truncate(before);
            at(&self.folder.join(EVENTS))(error.into())
        })?;
        self.pending.push(b'\n');
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let lines = std::mem::take(&mut self.pending);
        self.events.write_all(&lines).map_err(|error| at(&self.folder.join(EVENTS))(error))
    }

    /// Leaves what is to be found of an event in the run's folder: for a failed scenario its error and log, for a failed
    /// attempt its error.
    fn leave(&self, event: &RunEvent, log: &Log) -> Result<(), SinkError> {
        match event {
            RunEvent::ScenarioFinished {
                suite,
                scenario,
                outcome: Outcome::Failed { error, .. } | Outcome::ExpectedFailure { error, .. },
                ..
            } => {
                let folder = scenario_folder(&self.folder, suite, scenario);
                keep(&folder, &[("error.txt", &format!("{error}\n")), ("log.txt", &log.whole())])
            }
            RunEvent::AttemptFailed { suite, scenario, attempt, error, .. } => {
                let folder = scenario_folder(&self.folder, suite, scenario);
                keep(&folder.join(format!("attempt-{attempt}")), &[("error.txt", &format!("{error}\n"))])
            }
            RunEvent::EnvironmentKept { suite, .. } => keep(&self.folder, &[(KEPT, suite)]),
            _ => Ok(()),
        }
    }
}

/// Writes what is left of a failure.
fn keep(folder: &Path, files: &[(&str, &str)]) -> Result<(), SinkError> {
    fs::create_dir_all(folder).map_err(at(folder))?;
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(at(&path))?;
    }
    Ok(())
}

/// Replaces the link `latest`; a reader finds the old or the new one.
fn point(root: &Path, run: &str) -> io::Result<()> {
    let fresh = root.join(format!(".{LATEST}-{run}"));
    std::os::unix::fs::symlink(run, &fresh)?;
    fs::rename(&fresh, root.join(LATEST))
}

fn found(root: &Path) -> Vec<Found> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let found = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok().filter(|name| retention::is_run_id(name))?;
        let begun = entry.metadata().and_then(|data| data.modified()).ok()?;
        Some(Found { ended: ended(&entry.path()) && !is_kept(&entry.path()), name, begun })
    };
    entries.filter_map(found).collect()
}

/// Whether environments of a run stay, and nobody has destroyed the last of them yet.
fn is_kept(folder: &Path) -> bool {
    let suites = fs::read_dir(folder).into_iter().flatten().flatten();
    folder.join(KEPT).is_file() && suites.into_iter().any(|suite| suite.path().join(WORKDIR).is_dir())
}

/// Whether nobody holds the lock of a run; a folder without the file was left by one that did not get far.
fn ended(folder: &Path) -> bool {
    match File::open(folder.join(EVENTS)) {
        Ok(file) => flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> SinkError + use<> {
    let path = path.to_owned();
    move |source| SinkError { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Fault;

    #[test]
    fn of_many_events_each_is_a_line_and_what_cannot_be_left_keeps_no_other_from_it() {
        let root = tempfile::tempdir().unwrap();
        let mut sink = Sink::create(root.path(), SystemTime::now()).unwrap();
        // In the way of the folder of what failed.
        fs::write(sink.folder().join("demo"), "").unwrap();
        let event = |n: u64| RunEvent::ScenarioFinished {
            suite: "demo".into(),
            scenario: format!("s{n}"),
            outcome: Outcome::Failed { fault: Fault::Product, error: "x".repeat(1000) },
            seconds: 1.5,
        };
        let told =
            |n| Told { stamped: Stamped::new(Duration::from_millis(n), event(n)), log: Log::default() };
        let many: Vec<Told> = (0..200).map(told).collect();
        let error = sink.write(&many).unwrap_err();
        assert!(error.to_string().contains("/demo/s0"), "{error}");
        let lines = fs::read_to_string(root.path().join(LATEST).join(EVENTS)).unwrap();
        let read: Vec<Stamped> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read.len(), many.len());
        assert!(read.iter().zip(&many).all(|(read, told)| read.event == told.stamped.event));
    }

    #[test]
    fn a_failure_leaves_its_error_and_log() {
        let root = tempfile::tempdir().unwrap();
        let mut sink = Sink::create(root.path(), SystemTime::now()).unwrap();
        let event = RunEvent::ScenarioFinished {
            suite: "net::demo".into(),
            scenario: "boots".into(),
            outcome: Outcome::Failed { fault: Fault::Product, error: "no boat".into() },
            seconds: 1.5,
        };
        let told = Told {
            stamped: Stamped::new(Duration::from_millis(1_500), event.clone()),
            log: Log::of_lines(&["a log"]),
        };
        sink.write([&told]).unwrap();
        let latest = root.path().join(LATEST);
        assert_eq!(fs::read_to_string(latest.join("net.demo/boots/error.txt")).unwrap(), "no boat\n");
        assert_eq!(fs::read_to_string(latest.join("net.demo/boots/log.txt")).unwrap(), "    0.000 a log\n");
        let lines = fs::read_to_string(latest.join(EVENTS)).unwrap();
        let read: Stamped = serde_json::from_str(lines.trim_end()).unwrap();
        assert_eq!((read.since_start, read.event), (1.5, event));
    }

    #[test]
    fn a_run_under_way_is_known_by_its_lock() {
        let root = tempfile::tempdir().unwrap();
        let sink = Sink::create(root.path(), SystemTime::now()).unwrap();
        fs::create_dir(root.path().join("20000101T000000Z-1")).unwrap();
        fs::create_dir(root.path().join("unrelated")).unwrap();
        let ended = |root: &Path| {
            let mut found: Vec<(String, bool)> = found(root).into_iter().map(|f| (f.name, f.ended)).collect();
            found.sort();
            found
        };
        let run = sink.run().to_owned();
        assert_eq!(ended(root.path()), [("20000101T000000Z-1".into(), true), (run.clone(), false)]);
        drop(sink);
        // A process that another test just starts holds what we had open until it has become another program.
        let expected = [("20000101T000000Z-1".into(), true), (run, true)];
        for _ in 0..500 {
            if ended(root.path()) == expected {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(ended(root.path()), expected);
    }

    #[test]
    fn a_root_that_cannot_be_written_is_named() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Sink::create(&file, SystemTime::now()).unwrap_err();
        assert!(error.to_string().contains("/file/"), "{error}");
    }
}
