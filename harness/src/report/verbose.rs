//! Everything that a run does, line by line as it happens: the log trees of all scenarios under way, mixed. A fold over events;
//! pure.

use std::collections::BTreeMap;

use crate::event::{RunEvent, Stamped, WaitEnd};

use super::{
    live::model::without,
    paint::{Line, Paint},
};

/// Operations under way, by suites, scenarios and their numbers.
#[derive(Debug, Default)]
pub(crate) struct Verbose {
    open: BTreeMap<(String, String, u64), Operation>,
}

#[derive(Debug)]
struct Operation {
    depth: usize,
    machine: Option<String>,
    text: String,
}

impl Verbose {
    /// Takes an event: the lines that tell of it, and the suite of which they do.
    pub(crate) fn take<'a>(&mut self, stamped: &'a Stamped) -> (&'a str, Vec<Line>) {
        (stamped.event.suite().unwrap_or_default(), self.lines(stamped))
    }

    fn lines(&mut self, stamped: &Stamped) -> Vec<Line> {
        let at = stamped.since_start;
        match &stamped.event {
            RunEvent::ScenarioStarted { suite, scenario, .. } => {
                vec![head(at, suite, scenario, 0).with(Paint::Bold, "begins")]
            }
            RunEvent::SpanStarted { suite, scenario, span, parent, machine, text } => {
                let depth = parent.map_or(0, |parent| self.depth(suite, scenario, Some(parent)));
                let text = without(text, machine);
                let line = head(at, suite, scenario, depth).and("@ ");
                let line = on(line, machine.as_deref()).and(&text);
                let operation = Operation { depth, machine: machine.clone(), text };
                self.open.insert((suite.clone(), scenario.clone(), *span), operation);
                vec![line]
            }
            RunEvent::SpanFinished { suite, scenario, span, seconds } => {
                let Some(operation) = self.open.remove(&(suite.clone(), scenario.clone(), *span)) else {
                    return Vec::new();
                };
                let Operation { depth, machine, text } = operation;
                let line = on(head(at, suite, scenario, depth).and("@ "), machine.as_deref());
                vec![line.and(&text).with(Paint::Faint, &format!(" ({seconds:.3} s)"))]
            }
            RunEvent::Log { suite, scenario, span, text } => {
                text.lines().map(|text| self.within(at, suite, scenario, *span).and(text)).collect()
            }
            RunEvent::Waiting { suite, scenario, span, what, seen } => {
                let line = self.within(at, suite, scenario, *span);
                vec![line.with(Paint::Faint, &format!("waits for {what}, last seen: {seen}"))]
            }
            RunEvent::Waited { suite, scenario, span, what, end, seen, seconds, .. } => {
                let line = self.within(at, suite, scenario, *span);
                let line = line.and(&format!("waited {seconds:.1} s for {what}: "));
                let (paint, word) = match end {
                    WaitEnd::True => (Paint::Green, "it came true"),
                    WaitEnd::Held => (Paint::Green, "it held"),
                    WaitEnd::Late => (Paint::Red, "time was up"),
                    WaitEnd::Hopeless => (Paint::Red, "it cannot come true any more"),
                    WaitEnd::Broken => (Paint::Red, "it did not hold"),
                    WaitEnd::CutShort => (Paint::Yellow, "given up"),
                };
                vec![line.with(paint, word).and(&format!(", last seen: {seen}"))]
            }
            RunEvent::MachineState { suite, scenario, machine, state } => {
                vec![on(head(at, suite, scenario, 0), Some(machine)).and(state)]
            }
            RunEvent::Fault { suite, scenario, text, .. } => {
                vec![head(at, suite, scenario, 0).with(Paint::Yellow, text)]
            }
            RunEvent::Change { suite, scenario, change, device, phase, error, seconds, .. } => {
                let line =
                    head(at, suite, scenario, 0).and(&format!("{change}: {phase} {device} ({seconds:.1} s)"));
                vec![match error {
                    Some(error) => line.and(": ").with(Paint::Red, error),
                    None => line,
                }]
            }
            RunEvent::Collected { suite, scenario, items, missing, .. } => {
                let text = format!("{items} items collected, {missing} could not be had");
                vec![head(at, suite, scenario, 0).and(&text)]
            }
            _ => Vec::new(),
        }
    }

    /// A line of an operation, with its machine: operations on several are under way together.
    fn within(&self, at: f64, suite: &str, scenario: &str, span: Option<u64>) -> Line {
        let key = span.map(|span| (suite.to_owned(), scenario.to_owned(), span));
        let operation = key.and_then(|key| self.open.get(&key));
        let line = head(at, suite, scenario, self.depth(suite, scenario, span));
        on(line, operation.and_then(|operation| operation.machine.as_deref()))
    }

    /// How deep what belongs to an operation stands.
    fn depth(&self, suite: &str, scenario: &str, span: Option<u64>) -> usize {
        let key = span.map(|span| (suite.to_owned(), scenario.to_owned(), span));
        key.and_then(|key| self.open.get(&key)).map_or(0, |operation| operation.depth + 1)
    }
}

fn head(at: f64, suite: &str, scenario: &str, depth: usize) -> Line {
    let name = format!("{at:8.3} {suite}::{scenario} ");
    Line::default().with(Paint::Faint, &name).and(&"  ".repeat(depth))
}

fn on(line: Line, machine: Option<&str>) -> Line {
    match machine {
        Some(machine) => line.with(Paint::machine(machine), machine).and(": "),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_of_it_is_told_where_it_belongs() {
        let (suite, scenario) = (|| "net".to_owned(), || "pings".to_owned());
        let span = |span, parent, machine: Option<&str>, text: &str| RunEvent::SpanStarted {
            suite: suite(),
            scenario: scenario(),
            span,
            parent,
            machine: machine.map(str::to_owned),
            text: text.into(),
        };
        let log = |span, text: &str| RunEvent::Log {
            suite: suite(),
            scenario: scenario(),
            span,
            text: text.into(),
        };
        let ended =
            |span| RunEvent::SpanFinished { suite: suite(), scenario: scenario(), span, seconds: 0.25 };
        let waited = |end| RunEvent::Waited {
            suite: suite(),
            scenario: scenario(),
            span: Some(2),
            what: "port 80".into(),
            end,
            seen: "refused".into(),
            history: String::new(),
            looks: 2,
            seconds: 1.5,
        };
        let mut verbose = Verbose::default();
        let mut text = String::new();
        for (n, event) in [
            RunEvent::ScenarioStarted {
                suite: suite(),
                scenario: scenario(),
                prerequisite: false,
                attempt: 1,
                place: None,
            },
            span(1, None, Some("web"), "reboot machine=web"),
            span(2, Some(1), Some("web"), "wait_for_port machine=web port=80"),
            RunEvent::Waiting {
                suite: suite(),
                scenario: scenario(),
                span: Some(2),
                what: "port 80".into(),
                seen: "refused".into(),
            },
            waited(WaitEnd::Late),
            log(Some(2), "one\ntwo"),
            ended(2),
            ended(1),
            ended(7),
            log(None, "mine"),
            RunEvent::MachineState {
                suite: suite(),
                scenario: scenario(),
                machine: "web".into(),
                state: "up".into(),
            },
            RunEvent::SuiteProgress { suite: suite(), text: "has a line already".into() },
        ]
        .into_iter()
        .enumerate()
        {
            let stamped = Stamped::new(Duration::from_millis(500 * n as u64), event);
            for line in verbose.take(&stamped).1 {
                text += &format!("{}\n", line.fit(200, false));
            }
        }
        insta::assert_snapshot!(text, @r"
           0.000 net::pings begins
           0.500 net::pings @ web: reboot
           1.000 net::pings   @ web: wait_for_port port=80
           1.500 net::pings     web: waits for port 80, last seen: refused
           2.000 net::pings     web: waited 1.5 s for port 80: time was up, last seen: refused
           2.500 net::pings     web: one
           2.500 net::pings     web: two
           3.000 net::pings   @ web: wait_for_port port=80 (0.250 s)
           3.500 net::pings @ web: reboot (0.250 s)
           4.500 net::pings mine
           5.000 net::pings web: up
        ");
        assert!(verbose.open.is_empty());
        let line =
            &verbose.take(&Stamped::new(Duration::ZERO, span(1, None, Some("web"), "x machine=web"))).1[0];
        assert!(line.fit(200, true).contains(&Paint::machine("web").on("web")), "{}", line.fit(200, true));
    }
}
