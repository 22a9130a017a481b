//! Whose a process is, by the time at which it began, and what is told of what is left. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Kinds of what is left, as they are written.
pub(super) const PROCESS: &str = "process";
pub(super) const LAB: &str = "lab";
pub(super) const MOUNT: &str = "mount";
pub(super) const FAULT: &str = "fault";
pub(super) const ENVIRONMENT: &str = "environment";
pub(in crate::suite) const PORTAL: &str = "portal";

/// What wardens of labs call themselves.
const WARDEN: &str = "polder-warden";

/// Something that is left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::suite) struct Leak {
    /// The step during which it came to be.
    pub(in crate::suite) scenario: String,
    /// One of the words above.
    pub(in crate::suite) kind: &'static str,
    /// What, for people.
    pub(in crate::suite) what: String,
}

/// In one text.
pub(in crate::suite) fn told(leaks: &[Leak]) -> String {
    let lines = leaks.iter().map(|leak| format!("{}, since `{}`", leak.what, leak.scenario));
    let lines: Vec<String> = lines.collect();
    format!("the suite has ended and left\n{}", lines.join("\n"))
}

/// Microseconds since boot.
pub(super) type Micros = u64;

/// How exactly the kernel says when a process began: it did so at that time or less than this later.
const TICK: Micros = 10_000;

/// A child of ours. What is below it goes with it: it is never told by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) began: Micros,
    /// Whether it has ended, and nobody has asked how.
    pub(super) is_dead: bool,
    /// Its arguments.
    pub(super) argv: Vec<String>,
}

/// What the suites of this process did when.
#[derive(Debug, Default)]
pub(super) struct Times {
    suites: BTreeMap<String, Course>,
}

#[derive(Debug)]
struct Course {
    began: Micros,
    ended: Option<Micros>,
    /// Steps in the order in which they began; attempts at one are one.
    steps: Vec<(Micros, String)>,
    /// Children by number and begin, and the step at whose end they were seen first.
    seen: BTreeMap<(i32, Micros), String>,
}

impl Times {
    pub(super) fn begin(&mut self, suite: &str, now: Micros) {
        self.suites.insert(
            suite.to_owned(),
            Course { began: now, ended: None, steps: Vec::new(), seen: BTreeMap::new() },
        );
    }

    pub(super) fn step(&mut self, suite: &str, scenario: &str, now: Micros) {
        if let Some(course) = self.suites.get_mut(suite)
            && course.steps.last().is_none_or(|(_, last)| last != scenario)
        {
            course.steps.push((now, scenario.to_owned()));
        }
    }

    /// A step has ended, with these children there.
    pub(super) fn seen(&mut self, suite: &str, scenario: &str, children: &[Process]) {
        let Some(course) = self.suites.get_mut(suite) else { return };
        for child in children {
            course.seen.entry((child.pid, child.began)).or_insert_with(|| scenario.to_owned());
        }
    }

    /// The suite has ended. What nobody can be asked about any more is forgotten.
    pub(super) fn end(&mut self, suite: &str, now: Micros) {
        if let Some(course) = self.suites.get_mut(suite) {
            course.ended = Some(now);
        }
        let running = self.suites.values().filter(|course| course.ended.is_none());
        let oldest = running.map(|course| course.began).min();
        self.suites
            .retain(|_, course| course.ended.is_none_or(|ended| oldest.is_some_and(|begun| ended >= begun)));
    }

    /// The step of a suite that was under way at that time, or had been last.
    pub(super) fn step_at(&self, suite: &str, when: Micros) -> String {
        let steps = self.suites.get(suite).map(|course| course.steps.as_slice()).unwrap_or_default();
        let last = steps.iter().rfind(|(began, _)| *began <= when).or_else(|| steps.first());
        last.map_or_else(|| "environment".to_owned(), |(_, name)| name.clone())
    }

    /// The step of a suite to which a process is due. Of those that may have been under way, it is the one at whose end it was
    /// seen first.
    fn step_of(&self, suite: &str, process: &Process) -> String {
        let steps = self.suites.get(suite).map(|course| course.steps.as_slice()).unwrap_or_default();
        let before = steps.iter().rfind(|(began, _)| *began <= process.began);
        let within = process.began.saturating_add(1)..process.began.saturating_add(TICK);
        let same = steps.iter().filter(|(began, _)| within.contains(began));
        let may: Vec<&String> = before.into_iter().chain(same).map(|(_, step)| step).collect();
        let seen = self.suites.get(suite).and_then(|course| course.seen.get(&(process.pid, process.began)));
        let found = may.iter().find(|step| Some(**step) == seen).or(may.last());
        found.map_or_else(|| self.step_at(suite, process.began), |step| (*step).clone())
    }

    /// All that ran at that time; `None` while one of them besides `suite` still runs, because it may be that one's.
    fn suites_at(&self, suite: &str, when: Micros) -> Option<Vec<&str>> {
        let latest = when.saturating_add(TICK - 1);
        let ran = |course: &Course| course.began <= latest && course.ended.is_none_or(|ended| when <= ended);
        let there: Vec<_> = self.suites.iter().filter(|(_, course)| ran(course)).collect();
        let decided = there.iter().all(|(name, course)| *name == suite || course.ended.is_some());
        decided.then(|| there.into_iter().map(|(name, _)| name.as_str()).collect())
    }

    /// Of what began at that time and is still there, the step of `suite` that it is due to, and words for those of others that it
    /// may be due to as well; nothing where it is not known to be this suite's.
    pub(super) fn due(&self, suite: &str, began: Micros) -> Option<(String, String)> {
        let suites = self.suites_at(suite, began).filter(|all| all.contains(&suite))?;
        let others = suites.iter().filter(|other| **other != suite);
        let others: Vec<String> =
            others.map(|other| format!("`{other}::{}`", self.step_at(other, began))).collect();
        let or = if others.is_empty() { String::new() } else { format!(" (or of {})", others.join(" or ")) };
        Some((self.step_at(suite, began), or))
    }

    /// What is left of `suite` among our children. `kept` are wardens of labs that stay because they were asked to.
    pub(super) fn left(&self, suite: &str, children: &[Process], kept: &BTreeSet<i32>) -> Vec<Leak> {
        let mut alive: Vec<&Process> =
            children.iter().filter(|process| !process.is_dead && !kept.contains(&process.pid)).collect();
        alive.sort_by_key(|process| (process.began, process.pid));
        let leak = |process: &Process| {
            let (_, or) = self.due(suite, process.began)?;
            let (kind, what) = match process.argv.first().is_some_and(|name| name == WARDEN) {
                true => (LAB, format!("a lab, whose warden is process {}{or}", process.pid)),
                false => (PROCESS, format!("process {} `{}`{or}", process.pid, shown(&process.argv))),
            };
            Some(Leak { scenario: self.step_of(suite, process), kind, what })
        };
        alive.into_iter().filter_map(leak).collect()
    }
}

/// Arguments for people.
fn shown(argv: &[String]) -> String {
    const LONGEST: usize = 120;
    let text = crate::base::text::plain(&argv.join(" "));
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Mounts of the text of `/proc/self/mountinfo` that lie in folders of steps, below `folder` of their suite.
pub(super) fn mounts(mountinfo: &str, folder: &Path) -> Vec<Leak> {
    let places = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    let below = places.filter_map(|place| {
        let step = place.strip_prefix(folder).ok()?.components().next()?;
        let scenario = step.as_os_str().to_string_lossy().into_owned();
        Some(Leak { scenario, kind: MOUNT, what: format!("a mount at {}", place.display()) })
    });
    below.collect()
}

/// A path as the kernel writes it there: blanks and the like as `\` and three octal digits.
fn unescaped(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits =
            after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, began: Micros, argv: &[&str]) -> Process {
        Process {
            pid,
            began: began * TICK,
            is_dead: false,
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    /// In ticks, `a` from 10 to 50, `b` from 30, still running.
    fn times() -> Times {
        let mut times = Times::default();
        times.begin("a", 10 * TICK);
        times.step("a", "one", 11 * TICK);
        times.step("a", "two", 20 * TICK);
        times.begin("b", 30 * TICK);
        times.step("b", "other", 31 * TICK);
        times.step("a", "three", 40 * TICK);
        times.step("a", "three", 45 * TICK);
        times.end("a", 50 * TICK);
        times
    }

    fn left(times: &Times, suite: &str, processes: &[Process]) -> Vec<String> {
        let leaks = times.left(suite, processes, &BTreeSet::from([99]));
        leaks.into_iter().map(|leak| format!("{} {} {}", leak.scenario, leak.kind, leak.what)).collect()
    }

    #[test]
    fn a_process_is_of_the_step_in_which_it_began() {
        let times = times();
        let sleep = |began| [process(7, began, &["sleep", "9"])];
        assert_eq!(left(&times, "a", &sleep(5)), [""; 0], "it was there before");
        assert_eq!(left(&times, "a", &sleep(10)), ["one process process 7 `sleep 9`"]);
        assert_eq!(left(&times, "a", &sleep(20)), ["two process process 7 `sleep 9`"]);
        assert_eq!(left(&times, "a", &sleep(29)), ["two process process 7 `sleep 9`"]);
        assert_eq!(left(&times, "a", &sleep(55)), [""; 0], "it came after");
    }

    #[test]
    fn of_steps_within_a_tick_it_is_the_one_at_whose_end_it_was_there() {
        let mut times = Times::default();
        let sleep = process(7, 12, &["sleep", "9"]);
        times.begin("a", 10 * TICK);
        let steps = [("one", vec![]), ("two", vec![sleep.clone()]), ("three", vec![sleep.clone()])];
        for (after, (step, children)) in (0..).zip(steps) {
            times.step("a", step, 12 * TICK + after);
            times.seen("a", step, &children);
        }
        times.step("a", "later", 15 * TICK);
        times.seen("a", "later", &[process(8, 12, &["sleep", "8"])]);
        assert_eq!(left(&times, "a", &[sleep]), ["two process process 7 `sleep 9`"]);
        // Seen first at the end of one in which it did not begin.
        assert_eq!(
            left(&times, "a", &[process(8, 12, &["sleep", "8"])]),
            ["three process process 8 `sleep 8`"]
        );
    }

    #[test]
    fn what_may_be_of_two_is_told_when_both_have_ended() {
        let mut times = times();
        let sleep = [process(7, 41, &["sleep", "9"])];
        assert_eq!(left(&times, "a", &sleep), [""; 0]);
        times.begin("c", 60 * TICK);
        assert_eq!(left(&times, "b", &sleep), ["other process process 7 `sleep 9` (or of `a::three`)"]);
        times.end("b", 70 * TICK);
        assert_eq!(left(&times, "c", &sleep), [""; 0], "it is told once");
    }

    #[test]
    fn what_has_an_age_is_due_to_the_step_in_which_it_began() {
        let times = times();
        assert_eq!(times.due("a", 21 * TICK), Some(("two".to_owned(), String::new())));
        assert_eq!(
            (times.due("a", 5 * TICK), times.due("a", 41 * TICK), times.due("b", 29 * TICK)),
            (None, None, None)
        );
        assert_eq!(times.due("b", 41 * TICK), Some(("other".to_owned(), " (or of `a::three`)".to_owned())));
    }

    #[test]
    fn labs_are_labs_and_neither_the_dead_nor_those_that_stay_are_leaks() {
        let times = times();
        let zombie = Process { is_dead: true, ..process(5, 12, &[]) };
        let all = [
            zombie,
            process(20, 21, &["polder-warden"]),
            process(7, 12, &["sh", "-c", "sleep 9"]),
            // What stays because it was asked to.
            process(99, 12, &["polder-warden"]),
            // Of another suite.
            process(30, 55, &["polder-warden"]),
        ];
        assert_eq!(
            left(&times, "a", &all),
            ["one process process 7 `sh -c sleep 9`", "two lab a lab, whose warden is process 20"]
        );
        let long = [process(7, 12, &["\x1b[31m", &"x".repeat(500)])];
        assert!(left(&times, "a", &long)[0].ends_with("xxx...`"));
    }

    #[test]
    fn suites_are_forgotten_when_nobody_can_be_asked_about_them() {
        let mut times = times();
        assert_eq!(times.suites.len(), 2);
        times.end("b", 60 * TICK);
        assert_eq!(times.suites.len(), 0);
        assert_eq!(times.step_at("b", 40 * TICK), "environment");
    }

    #[test]
    fn mounts_are_of_the_step_in_whose_folder_they_are() {
        let info = "22 1 0:5 / /run/a.b/x rw - tmpfs tmpfs rw\n23 1 0:5 / /run/a/my\\040step/mnt rw - tmpfs t rw\nodd\n\
                    24 1 0:5 / /run/a rw - tmpfs t rw\n25 1 0:5 / /run/a/b\\9 rw - tmpfs t rw\n";
        let leaks = mounts(info, Path::new("/run/a"));
        let told: Vec<String> =
            leaks.iter().map(|leak| format!("{}: {}", leak.scenario, leak.what)).collect();
        assert_eq!(told, ["my step: a mount at /run/a/my step/mnt", "b\\9: a mount at /run/a/b\\9"]);
    }
}
