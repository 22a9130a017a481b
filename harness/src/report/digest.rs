//! A run as a short page in Markdown, as GitHub shows it beside a job. A pure fold over its events.

use std::{collections::BTreeMap, fmt::Write};

use crate::event::{Outcome, RunEvent};

use super::model::is_scenario;

/// Failures that are told; a job's pages may not be long.
const FAILURES: usize = 50;
/// Characters of an error's first line.
const SHOWN: usize = 300;

/// What is told of a run.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    suites: BTreeMap<String, Counts>,
    /// Names and errors.
    failures: Vec<(String, String)>,
    flaky: Vec<String>,
    attempts: BTreeMap<String, u32>,
}

#[derive(Debug, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    others: usize,
    seconds: f64,
}

impl Digest {
    /// Takes an event.
    pub(crate) fn take(&mut self, event: &RunEvent) {
        match event {
            RunEvent::AttemptFailed { suite, scenario, attempt, .. } => {
                self.attempts.insert(format!("{suite}::{scenario}"), *attempt);
            }
            RunEvent::ScenarioFinished { suite, scenario, outcome, .. } => {
                let name = format!("{suite}::{scenario}");
                let had_failed = self.attempts.remove(&name).is_some();
                let counts = self.suites.entry(suite.clone()).or_default();
                match outcome {
                    Outcome::Failed { error, .. } => {
                        counts.failed += 1;
                        self.failures.push((name, error.lines().next().unwrap_or_default().to_owned()));
                    }
                    _ if !is_scenario(scenario) => {}
                    Outcome::Passed => {
                        counts.passed += 1;
                        self.flaky.extend(had_failed.then_some(name));
                    }
                    _ => counts.others += 1,
                }
            }
            RunEvent::SuiteFinished { suite, seconds, .. } => {
                self.suites.entry(suite.clone()).or_default().seconds = *seconds;
            }
            _ => {}
        }
    }

    /// The page.
    pub(crate) fn page(&self) -> String {
        let mut page =
            "| suite | passed | failed | others | time |\n| --- | ---: | ---: | ---: | ---: |\n".to_owned();
        for (suite, Counts { passed, failed, others, seconds }) in &self.suites {
            let mark = if *failed > 0 { "❌" } else { "✅" };
            let _ = writeln!(
                page,
                "| {mark} {} | {passed} | {failed} | {others} | {seconds:.1} s |",
                plain(suite)
            );
        }
        if !self.failures.is_empty() {
            page.push_str("\n**Failures**\n\n");
        }
        for (name, error) in self.failures.iter().take(FAILURES) {
            let _ = writeln!(page, "- {}: {}", plain(name), plain(error));
        }
        let more = self.failures.len().saturating_sub(FAILURES);
        if more > 0 {
            let _ = writeln!(page, "- and {more} more");
        }
        if !self.flaky.is_empty() {
            let names: Vec<String> = self.flaky.iter().take(FAILURES).map(|name| plain(name)).collect();
            let _ = writeln!(page, "\n**Flaky**: {}", names.join(", "));
        }
        page.push('\n');
        page
    }
}

/// Text in which nothing is markup.
fn plain(text: &str) -> String {
    let text = crate::base::text::plain(text);
    let mut out = String::new();
    for c in text.chars().take(SHOWN) {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Nobody is told, nothing is linked.
            '@' | '#' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '|' | '!' | '~' | '$' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Fault;

    fn finished(suite: &str, scenario: &str, outcome: Outcome) -> RunEvent {
        RunEvent::ScenarioFinished { suite: suite.into(), scenario: scenario.into(), outcome, seconds: 1.0 }
    }

    fn failed(error: &str) -> Outcome {
        Outcome::Failed { fault: Fault::Product, error: error.into() }
    }

    #[test]
    fn suites_are_a_table_and_what_failed_is_named() {
        let mut digest = Digest::default();
        let again = RunEvent::AttemptFailed {
            suite: "net".into(),
            scenario: "b".into(),
            attempt: 1,
            fault: Fault::Product,
            error: "x".into(),
            seconds: 0.1,
        };
        for event in [
            finished("net", "environment", Outcome::Passed),
            finished("net", "a", Outcome::Passed),
            again,
            finished("net", "b", Outcome::Passed),
            finished("net", "c", Outcome::NotRun { reason: "x".into() }),
            RunEvent::SuiteFinished { suite: "net".into(), usage: None, seconds: 12.34 },
            finished("disk", "a_b", failed("| <b> `x` @you [a](b)\nsecond")),
            finished("disk", "teardown", failed("y")),
        ] {
            digest.take(&event);
        }
        insta::assert_snapshot!(digest.page(), @r"
        | suite | passed | failed | others | time |
        | --- | ---: | ---: | ---: | ---: |
        | ❌ disk | 0 | 2 | 0 | 0.0 s |
        | ✅ net | 2 | 0 | 1 | 12.3 s |

        **Failures**

        - disk::a\_b: \| &lt;b&gt; \`x\` &#64;you \[a\]\(b\)
        - disk::teardown: y

        **Flaky**: net::b
        ");
    }

    #[test]
    fn it_stays_short() {
        let mut digest = Digest::default();
        (0..1000).for_each(|n| digest.take(&finished("s", &format!("a{n}"), failed(&"x".repeat(10_000)))));
        assert!(digest.page().len() < 50_000 && digest.page().contains("- and 950 more\n"));
    }
}
