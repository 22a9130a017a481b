//! What CI systems make of lines: groups that fold, notes at places in the source. Events in, lines out; and a guard, so
//! that no text of others is taken for a command.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write},
};

use crate::event::{Outcome, RunEvent, Stamped};

/// Characters of an error that are shown at its place; all of it is in the log.
const SHOWN: usize = 4_000;

/// Whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    GitHub,
    GitLab,
}

impl System {
    /// The one in which we run, by the environment.
    pub(crate) fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let is_set = |name: &str| variable(name).is_some_and(|value| value == "true");
        match (is_set("GITHUB_ACTIONS"), is_set("GITLAB_CI")) {
            (true, _) => Some(Self::GitHub),
            (false, true) => Some(Self::GitLab),
            (false, false) => None,
        }
    }
}

/// What is told of suites under way, kept until each has ended: their lines would be mixed, and groups cannot be.
#[derive(Debug)]
pub(crate) struct Ci {
    system: System,
    /// The folder of the source, below which places are named.
    root: String,
    /// The folder below that in which cargo's workspace is: places are as seen from there.
    below: String,
    suites: BTreeMap<String, Detail>,
    /// The time of what was told last.
    now: f64,
    /// Where scenarios are written.
    places: BTreeMap<(String, String), String>,
    /// Errors of first attempts.
    attempts: BTreeMap<(String, String), (u32, String)>,
    groups: usize,
}

#[derive(Debug, Default)]
struct Detail {
    since: f64,
    lines: String,
    failed: usize,
}

impl Ci {
    /// For a log of `system`; `root` is the folder with the source.
    pub(crate) fn new(system: System, root: Option<String>) -> Self {
        let (suites, places, attempts) = Default::default();
        let (root, below) = (root.unwrap_or_default(), String::new());
        Self { system, root, below, suites, now: 0.0, places, attempts, groups: 0 }
    }

    /// With cargo's workspace in this folder below the source's.
    pub(crate) fn below(self, folder: &str) -> Self {
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Self { below, ..self }
    }

    /// Keeps a line of a suite.
    pub(crate) fn note(&mut self, suite: &str, line: &str) {
        let lines = &mut self.suites.entry(suite.to_owned()).or_default().lines;
        let _ = writeln!(lines, "{line}");
    }

    /// Takes an event: what is to be written because of it, whole lines.
    pub(crate) fn take(&mut self, stamped: &Stamped) -> String {
        let key = |suite: &String, scenario: &String| (suite.clone(), scenario.clone());
        self.now = stamped.time;
        match &stamped.event {
            RunEvent::SuiteStarted { suite, .. } => {
                self.suites.entry(suite.clone()).or_default().since = stamped.time;
            }
            RunEvent::ScenarioStarted { suite, scenario, place: Some(place), .. } => {
                self.places.insert(key(suite, scenario), place.clone());
            }
            RunEvent::AttemptFailed { suite, scenario, error, .. } => {
                self.attempts.entry(key(suite, scenario)).or_insert((0, error.clone())).0 += 1;
            }
            RunEvent::ScenarioFinished { suite, scenario, outcome, .. } => {
                let (failed, name) =
                    (self.attempts.remove(&key(suite, scenario)), format!("{suite}::{scenario}"));
                let place = self.places.remove(&key(suite, scenario));
                match (outcome, failed) {
                    (Outcome::Failed { error, .. }, _) => {
                        self.suites.entry(suite.clone()).or_default().failed += 1;
                        return self.mark("error", &name, place_in(error).or(place), error);
                    }
                    (Outcome::Passed, Some((times, error))) => {
                        let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
                        let text = format!("passed after it had failed {times}, first with: {error}");
                        return self.mark("notice", &name, place_in(&error).or(place), &text);
                    }
                    _ => {}
                }
            }
            RunEvent::SuiteFinished { suite, .. } => {
                let detail = self.suites.remove(suite).unwrap_or_default();
                return self.group(suite, &detail);
            }
            _ => {}
        }
        String::new()
    }

    /// What is left of suites that did not end.
    pub(crate) fn rest(&mut self) -> String {
        let left = std::mem::take(&mut self.suites);
        left.iter().map(|(suite, detail)| self.group(suite, detail)).collect()
    }

    fn group(&mut self, suite: &str, detail: &Detail) -> String {
        if detail.lines.is_empty() {
            return String::new();
        }
        self.groups += 1;
        let lines: String = detail.lines.lines().map(|line| format!("{}\n", harmless(line))).collect();
        match self.system {
            System::GitHub => format!("::group::{}\n{lines}::endgroup::\n", escape(suite, false)),
            System::GitLab => {
                let name = format!("suite_{}_{}", std::process::id(), self.groups);
                let options = if detail.failed == 0 { "[collapsed=true]" } else { "" };
                let (suite, now) = (harmless(suite), self.now);
                format!(
                    "\x1b[0Ksection_start:{:.0}:{name}{options}\r\x1b[0K{suite}\n{lines}\x1b[0Ksection_end:{now:.0}:{name}\r\x1b[0K\n",
                    detail.since
                )
            }
        }
    }

    /// A note at a place in the source, where the system has such.
    fn mark(&self, kind: &str, title: &str, place: Option<String>, text: &str) -> String {
        if self.system != System::GitHub {
            return String::new();
        }
        let place = place.as_deref().and_then(|place| place.rsplit_once(':'));
        let at = place.map_or(String::new(), |(file, line)| {
            let file = if file.starts_with('/') {
                file.strip_prefix(&self.root).unwrap_or(file).trim_start_matches('/').to_owned()
            } else {
                format!("{}{file}", self.below)
            };
            format!("file={},line={},", escape(&file, true), escape(line, true))
        });
        let short: String = text.chars().take(SHOWN).collect();
        format!("::{kind} {at}title={}::{}\n", escape(title, true), escape(&short, false))
    }
}

/// The place that an error names, as `file:line`: where it came from, or where it panicked.
fn place_in(error: &str) -> Option<String> {
    let last = error.lines().next_back()?.strip_prefix("at ");
    let first = error.lines().next()?.strip_prefix("panicked at ").map(|place| place.trim_end_matches(':'));
    let (place, _column) = last.or(first)?.rsplit_once(':')?;
    let (_, line) = place.rsplit_once(':')?;
    line.bytes().all(|byte| byte.is_ascii_digit()).then(|| place.to_owned())
}

/// As it stands in a command of GitHub's: as the text of one, or as one of its properties.
fn escape(text: &str, is_property: bool) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    if is_property { text.replace(':', "%3A").replace(',', "%2C") } else { text }
}

/// A line that neither system takes for a command.
pub(crate) fn harmless(line: &str) -> String {
    let blanks = line.len() - line.trim_start().len();
    let (blanks, rest) = line.split_at(blanks);
    // GitHub's commands begin a line, older ones stand anywhere; GitLab's stand anywhere.
    let rest = match rest.strip_prefix("::") {
        Some(rest) => format!(": :{rest}"),
        None => rest.to_owned(),
    };
    let rest = rest.replace("##[", "## [").replace("##vso[", "##vso [");
    let rest = rest.replace("section_start:", "section_start :").replace("section_end:", "section_end :");
    // What is shown as a line's beginning is one to some.
    format!("{blanks}{}", rest.replace("\r", "\\r"))
}

/// A stream whose lines are harmless. A line is written when it is whole.
#[derive(Debug)]
pub(crate) struct Guarded<W: Write> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> Guarded<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, line: Vec::new() }
    }

    fn pass(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.out.write_all(harmless(&String::from_utf8_lossy(&line)).as_bytes())
    }
}

impl<W: Write> Write for Guarded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    self.line.extend(end);
                    self.pass()?;
                    self.out.write_all(b"\n")?;
                }
                None => self.line.extend(piece),
            }
        }
        Ok(bytes.len())
    }

    /// What is no line yet is shown, too: one that shows a letter for each scenario grows slowly.
    fn flush(&mut self) -> io::Result<()> {
        self.pass()?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Guarded<W> {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Fault;

    fn stamped(time: f64, event: RunEvent) -> Stamped {
        Stamped { time, ..Stamped::new(Duration::ZERO, event) }
    }

    fn finished(scenario: &str, outcome: Outcome) -> Stamped {
        let (suite, scenario) = ("net::demo".into(), scenario.into());
        stamped(1_000.0, RunEvent::ScenarioFinished { suite, scenario, outcome, seconds: 1.0 })
    }

    fn failed(error: &str) -> Outcome {
        Outcome::Failed { fault: Fault::Product, error: error.into() }
    }

    fn begun(scenario: &str) -> Stamped {
        let (suite, scenario) = ("net::demo".into(), scenario.into());
        let place = Some("tests/demo.rs:7".into());
        stamped(900.0, RunEvent::ScenarioStarted { suite, scenario, prerequisite: false, attempt: 1, place })
    }

    #[rstest::rstest]
    #[case(&[], None)]
    #[case(&[("CI", "true")], None)]
    #[case(&[("GITHUB_ACTIONS", "true")], Some(System::GitHub))]
    #[case(&[("GITLAB_CI", "true")], Some(System::GitLab))]
    #[case(&[("GITHUB_ACTIONS", "false"), ("GITLAB_CI", "")], None)]
    fn the_environment_says_whose_log_it_is(#[case] set: &[(&str, &str)], #[case] expected: Option<System>) {
        let variable =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        assert_eq!(System::of(variable), expected);
    }

    #[rstest::rstest]
    // Where the error came from, where it panicked, else where the scenario is.
    #[case(
        "no\ncaused by: EIO\nat /src/tests/a.rs:42:9",
        "file=tests/a.rs,line=42,title=net%3A%3Ademo%3A%3Aa::no%0Acaused by: EIO%0Aat /src/tests/a.rs:42:9"
    )]
    #[case(
        "panicked at tests/b.rs:3:5:\nboats",
        "file=tests/b.rs,line=3,title=net%3A%3Ademo%3A%3Aa::panicked at tests/b.rs:3:5:%0Aboats"
    )]
    #[case("no", "file=tests/demo.rs,line=7,title=net%3A%3Ademo%3A%3Aa::no")]
    #[case("at home", "file=tests/demo.rs,line=7,title=net%3A%3Ademo%3A%3Aa::at home")]
    // What is in it ends neither the command nor a property, nor begins another one.
    #[case(
        "100%\r\n::set-env name=x::y",
        "file=tests/demo.rs,line=7,title=net%3A%3Ademo%3A%3Aa::100%25%0D%0A::set-env name=x::y"
    )]
    #[case(
        "x\nat a,line=1::b:1:2",
        "file=a%2Cline=1%3A%3Ab,line=1,title=net%3A%3Ademo%3A%3Aa::x%0Aat a,line=1::b:1:2"
    )]
    fn failures_are_at_their_places(#[case] error: &str, #[case] expected: &str) {
        let mut ci = Ci::new(System::GitHub, Some("/src".into()));
        assert_eq!(ci.take(&begun("a")), "");
        assert_eq!(ci.take(&finished("a", failed(error))), format!("::error {expected}\n"));
        let mut ci = Ci::new(System::GitLab, None);
        ci.take(&begun("a"));
        assert_eq!(ci.take(&finished("a", failed(error))), "");
    }

    #[test]
    fn places_are_as_seen_from_the_source_wherever_the_workspace_is() {
        let mut ci = Ci::new(System::GitHub, Some("/src".into())).below("web");
        ci.take(&begun("a"));
        let told = ci.take(&finished("a", failed("no")));
        assert!(told.starts_with("::error file=web/tests/demo.rs,line=7,"), "{told}");
        ci.take(&begun("a"));
        let told = ci.take(&finished("a", failed("no\nat /src/other/a.rs:42:9")));
        assert!(told.starts_with("::error file=other/a.rs,line=42,"), "{told}");
    }

    #[test]
    fn what_passes_is_not_told_unless_it_had_failed() {
        let mut ci = Ci::new(System::GitHub, None);
        assert_eq!(ci.take(&finished("a", Outcome::Passed)), "");
        let again = || {
            let (suite, scenario, error) = ("net::demo".into(), "a".into(), "no".into());
            RunEvent::AttemptFailed {
                suite,
                scenario,
                attempt: 1,
                fault: Fault::Product,
                error,
                seconds: 1.0,
            }
        };
        ci.take(&stamped(1.0, again()));
        ci.take(&stamped(1.0, again()));
        assert_eq!(
            ci.take(&finished("a", Outcome::Passed)),
            "::notice title=net%3A%3Ademo%3A%3Aa::passed after it had failed 2 times, first with: no\n"
        );
        assert_eq!(ci.take(&finished("unseen", failed("x"))), "::error title=net%3A%3Ademo%3A%3Aunseen::x\n");
    }

    #[test]
    fn the_lines_of_a_suite_are_together_and_none_is_a_command() {
        let end = || RunEvent::SuiteFinished { suite: "net::demo".into(), usage: None, seconds: 1.0 };
        let begin = || RunEvent::SuiteStarted { suite: "net::demo".into(), place: None };
        let mut ci = Ci::new(System::GitHub, None);
        ci.take(&stamped(900.0, begin()));
        ci.note("net::demo", "web: is up\n  ::endgroup::");
        ci.note("other", "unfinished");
        assert_eq!(
            ci.take(&stamped(1.0, end())),
            "::group::net::demo\nweb: is up\n  : :endgroup::\n::endgroup::\n"
        );
        assert_eq!(ci.take(&stamped(1.0, end())), "", "nothing to tell");
        assert_eq!(ci.rest(), "::group::other\nunfinished\n::endgroup::\n");

        let mut ci = Ci::new(System::GitLab, None);
        let id = std::process::id();
        for (number, fails, options) in [(1, false, "[collapsed=true]"), (2, true, "")] {
            ci.take(&stamped(900.4, begin()));
            ci.note("net::demo", "\x1b[0Ksection_end:1:suite_1\r\x1b[0K");
            if fails {
                ci.take(&finished("a", failed("no")));
            }
            assert_eq!(
                ci.take(&stamped(1000.6, end())),
                format!(
                    "\x1b[0Ksection_start:900:suite_{id}_{number}{options}\r\x1b[0Knet::demo\n\x1b[0Ksection_end :1:suite_1\\r\x1b[0K\n\
                     \x1b[0Ksection_end:1001:suite_{id}_{number}\r\x1b[0K\n"
                )
            );
        }
    }

    #[rstest::rstest]
    #[case("plain a::b", "plain a::b")]
    #[case("::error::x", ": :error::x")]
    #[case("\t ::add-mask::x", "\t : :add-mask::x")]
    #[case("x ##[error]y", "x ## [error]y")]
    #[case("a\r::error::x", "a\\r::error::x")]
    #[case("section_start:1:a", "section_start :1:a")]
    fn no_line_is_a_command(#[case] line: &str, #[case] expected: &str) {
        assert_eq!(harmless(line), expected);
        // However it is written.
        for pieces in [1, 2, 100] {
            let mut out = Vec::new();
            let mut guarded = Guarded::new(&mut out);
            line.as_bytes().chunks(pieces).for_each(|piece| guarded.write_all(piece).unwrap());
            guarded.write_all(b"\nend").unwrap();
            drop(guarded);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\nend"));
        }
    }
}
