//! One phase of a change on one device: asks the operator where that is to be done, opens a session when the first thing is to
//! be said in it, says it, and holds what comes back against the conditions.

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use regex_lite::Regex;

use super::{
    cond::{Facts, Results},
    desk::{Desk, Fault},
    driver::{Driver, DriverError, Request, Session, Target},
    model::{Check, Device, Exchange, Phase, Script, Step},
    operator::Ask,
    state_machine::{Failure, Key, Kind, Outcome, Place, Way, way},
    text::{Text, Vars},
};
use crate::base::{text::plain, time::Utc, wait::Deadline};

/// How much later than its deadline a driver may come back before it is given up.
const GRACE: Duration = Duration::from_secs(10);
/// How long a session may take to end.
const CLOSING: Duration = Duration::from_secs(30);
/// How much of what a device said goes into a report.
const TAIL: usize = 2000;

/// A phase to be run.
pub(super) struct Job {
    pub(super) key: Key,
    pub(super) place: Option<Place>,
    pub(super) phase: Phase,
    pub(super) script: Script,
    /// The change, for what undoes it.
    pub(super) step: Option<Arc<Step>>,
    pub(super) device: Device,
    pub(super) vars: Vars,
    pub(super) driver: Option<Arc<dyn Driver>>,
    /// How long a command may take that does not say it itself.
    pub(super) command_timeout: Duration,
    /// When all of it has to be done.
    pub(super) deadline: Deadline,
    /// Whether the operator is asked before something is undone, and after what.
    pub(super) ask: Option<String>,
    /// Whether the operator was asked everything that can be asked before it begins.
    pub(super) cleared: bool,
    /// Whether the operator has allowed its first command.
    pub(super) allowed: bool,
    /// Whether a wish to stop ends it before its next command. One that was heard before it began does not: it is what is left
    /// to be done then.
    pub(super) heeds_stop: bool,
    pub(super) session: Option<Box<dyn Session>>,
    pub(super) desk: Arc<Desk>,
}

/// What came of it.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) session: Option<Box<dyn Session>>,
    /// What was said, for the transcript.
    pub(super) said: String,
    pub(super) took: Duration,
}

impl Done {
    /// Whether the operator said no.
    pub(super) fn is_denied(&self) -> bool {
        matches!(&self.outcome, Outcome::Failed(failure) if failure.kind == Kind::Denied)
    }
}

impl Job {
    /// Whether the operator has something to say to it before it begins.
    pub(super) fn is_asking(&self) -> bool {
        let heed = self.desk.heed;
        let sends = self.script.exchanges.first().is_some_and(|exchange| exchange.send.is_some());
        !self.cleared && (self.ask.is_some() || self.script.pause && !heed.no_pause || heed.commands && sends)
    }

    /// Asks the operator; nothing has begun by then. What comes back is how it ended, if that was not a yes.
    pub(super) async fn clear(&mut self) -> Option<Done> {
        let start = Instant::now();
        self.cleared = true;
        let fault = self.questions().await.err()?;
        let results = Results::default();
        let outcome = Outcome::Failed(self.failure(fault, &results, false));
        Some(self.done(outcome, "", start))
    }

    async fn questions(&mut self) -> Result<(), Fault> {
        let desk = Arc::clone(&self.desk);
        if let Some(why) = self.ask.take() {
            desk.ask(&self.key, self.phase, Ask::Rollback(why)).await?;
        }
        if self.script.pause && !desk.heed.no_pause {
            desk.ask(&self.key, self.phase, Ask::Pause).await?;
        }
        let Some(send) = self.script.exchanges.first().and_then(|first| first.send.clone()) else {
            return Ok(());
        };
        if desk.heed.commands {
            let address = self.address().await.unwrap_or_default();
            self.vars.extend(address);
            self.know(&Results::default());
            // What has no value is told when it runs, and not sent then.
            if let Ok(send) = send.fill(&self.vars) {
                let shown = desk.secrets.hide(&send);
                desk.ask(&self.key, self.phase, Ask::Command(shown)).await?;
                self.allowed = true;
            }
        }
        Ok(())
    }

    /// Runs it. It always comes back, with the session if that is still good for something.
    pub(super) async fn run(mut self) -> Done {
        let start = Instant::now();
        let mut results = Results::default();
        let mut said = String::new();
        let mut sent = false;
        let told = self.tell(&mut results, &mut said, &mut sent).await;
        results.duration_ms = start.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        self.know(&results);
        let outcome = match told.and_then(|()| self.judge(&results)) {
            Ok(true) => Outcome::Already,
            Ok(false) => Outcome::Ok { sent },
            Err(fault) => Outcome::Failed(self.failure(fault, &results, sent)),
        };
        self.done(outcome, &said, start)
    }

    fn done(&mut self, outcome: Outcome, said: &str, start: Instant) -> Done {
        let result = match &outcome {
            Outcome::Ok { .. } => "ok".to_owned(),
            Outcome::Already => "nothing to do".to_owned(),
            Outcome::Failed(failure) => format!("failed: {}", failure.message),
        };
        let at = Utc::from(SystemTime::UNIX_EPOCH + Duration::from_millis(self.desk.clock.now()));
        let said = self.desk.secrets.hide(said);
        let said = format!("--- {at} {}: {}: {result}\n{said}", self.key, self.phase);
        Done { outcome, session: self.session.take(), said, took: start.elapsed() }
    }

    /// Says everything, in order.
    async fn tell(&mut self, results: &mut Results, said: &mut String, sent: &mut bool) -> Result<(), Fault> {
        let address = self.address().await;
        let script = std::mem::take(&mut self.script);
        let mut failed = None;
        for (number, exchange) in script.exchanges.iter().enumerate() {
            if let Some(message) = failed.take() {
                return Err(Fault::new(Kind::Exit, message));
            }
            match &address {
                Err(message) => return Err(Fault::new(Kind::Connect, message.clone())),
                Ok(address) => self.vars.extend(address.clone()),
            }
            self.know(results);
            let is_allowed = number == 0 && self.allowed;
            let failure = self.exchange(exchange, is_allowed, results, said, sent).await?;
            failed = failure.filter(|_| !exchange.ignore_exit);
            // What the last one says is for the conditions to judge, where there are any.
            let is_last = number + 1 == script.exchanges.len();
            if is_last && !(script.checks.is_empty() && script.already.is_empty()) {
                failed = None;
            }
        }
        self.script = script;
        match failed {
            Some(message) => Err(Fault::new(Kind::Exit, message)),
            None => Ok(()),
        }
    }

    /// What only a running change knows, by the names in `scope`.
    fn know(&mut self, results: &Results) {
        let values = [
            ("cmdoutput", results.cmdoutput.clone()),
            ("command.output", results.cmdoutput.clone()),
            ("exitcode", results.exitcode.unwrap_or_default().to_string()),
            ("run.name", self.desk.run.clone()),
            ("run.attempt", self.key.attempt.to_string()),
            ("run.phase", self.phase.to_string()),
        ];
        self.vars.extend(values.map(|(name, value)| (name.to_owned(), value)));
    }

    /// What only a running change knows of the device's address, if it is needed.
    async fn address(&mut self) -> Result<Vars, String> {
        let script = &self.script;
        let mut found = Vars::new();
        if script.exchanges.is_empty() {
            return Ok(found);
        }
        let name = self.device.attributes.get("fqdn").map_or(self.device.name.as_str(), String::as_str);
        found.insert("device.fqdn".to_owned(), name.to_owned());
        let needed = script.keys().iter().any(|(key, _)| *key == "device.ipaddress");
        if needed && !self.vars.contains_key("device.ipaddress") {
            let limit = self.deadline.min(Deadline::within(self.command_timeout)).left();
            let address = tokio::time::timeout(limit, tokio::net::lookup_host((name, 0))).await;
            // Time that is over is over, however quickly it was found.
            let address = address.ok().filter(|_| !limit.is_zero());
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            let address = address.unwrap_or(Err(late)).map(|mut all| all.next());
            match address {
                Ok(Some(address)) => {
                    found.insert("device.ipaddress".to_owned(), address.ip().to_string());
                }
                Ok(None) => return Err(format!("`{name}` has no address; give the device an `ipaddress`")),
                Err(error) => {
                    return Err(format!("cannot find `{name}`: {error}; give the device an `ipaddress`"));
                }
            }
        }
        Ok(found)
    }

    /// One exchange; what the driver takes for a failure comes back.
    async fn exchange(
        &mut self,
        exchange: &Exchange,
        is_allowed: bool,
        results: &mut Results,
        said: &mut String,
        sent: &mut bool,
    ) -> Result<Option<String>, Fault> {
        let fill = |text: &Option<Text>| {
            let filled = text.as_ref().map(|text| text.fill(&self.vars)).transpose();
            filled.map_err(|error| Fault::new(Kind::Eval, error.to_string()))
        };
        let (expect, send) = (fill(&exchange.expect)?, fill(&exchange.send)?);
        let expect = expect.map(|expect| {
            Regex::new(&expect).map_err(|error| {
                Fault::new(Kind::Eval, format!("`{expect}` is no regular expression: {error}"))
            })
        });
        let expect = expect.transpose()?;
        if let Some(send) = send.as_ref().filter(|_| self.desk.heed.commands && !is_allowed) {
            let shown = self.desk.secrets.hide(send);
            let ask = Ask::Command(shown);
            match self.heeds_stop && Phase::FORWARD.contains(&self.phase) {
                true => self.desk.ask_amid(&self.key, self.phase, ask).await?,
                false => self.desk.ask(&self.key, self.phase, ask).await?,
            }
        }
        self.alone(results).await?;
        let limit = match exchange.timeout {
            Some(Duration::ZERO) => self.deadline.left(),
            Some(limit) => limit,
            None => self.command_timeout,
        };
        let deadline = self.deadline.min(Deadline::within(limit));
        if deadline.passed() {
            let message = "there was no time left for it".to_owned();
            results.timed_out = true;
            return Err(Fault { kind: Kind::Timeout, message });
        }
        self.open(deadline, results).await?;
        if let Some(expect) = &expect {
            let _ = writeln!(said, "? {expect}");
        }
        for line in send.iter().flat_map(|send| send.split('\n')) {
            let _ = writeln!(said, "> {line}");
        }
        let Some(session) = &mut self.session else {
            return Err(Fault::new(Kind::Internal, "there is no session"));
        };
        let request = Request { expect: expect.as_ref(), send: send.as_deref(), so_far: results };
        let answer = tokio::time::timeout(deadline.left() + GRACE, session.exchange(request, deadline)).await;
        let answer = answer.unwrap_or_else(|_| Err(self.late("the driver did not come back")));
        // Who could not be reached, or refused it, has not begun it.
        let begun = !matches!(answer, Err(DriverError::Connect { .. } | DriverError::Refused { .. }));
        *sent |= send.is_some() && begun;
        self.vars.extend(send.clone().map(|send| ("command.send".to_owned(), send)));
        let mut hear = |text: &str| {
            for line in text.lines() {
                let _ = writeln!(said, "< {}", plain(line));
            }
        };
        match answer {
            Ok(answer) => {
                hear(&answer.output);
                answer.add_to(results);
                let what = || send.as_deref().or(exchange.expect.as_ref().map(|_| "what was expected"));
                let failure = answer
                    .failure
                    .as_ref()
                    .map(|failure| format!("`{}`: {failure}", what().unwrap_or_default()));
                Ok(failure)
            }
            Err(error) => {
                if let Some(answer) = error.said() {
                    hear(&answer.output);
                    answer.add_to(results);
                }
                results.timed_out = matches!(error, DriverError::TimedOut { .. });
                // Nobody knows what the session would say next.
                self.close().await;
                Err(Fault::new(kind(&error), error.to_string()))
            }
        }
    }

    /// Waits until no other session with the device is being closed: it never sees two of one change at once. That is not the
    /// time of what is said next.
    async fn alone(&mut self, results: &mut Results) -> Result<(), Fault> {
        let closed = self.desk.closed(self.device.name.as_str());
        let limit = self.deadline.min(Deadline::within(CLOSING + GRACE)).left();
        if self.session.is_some() || tokio::time::timeout(limit, closed).await.is_ok() {
            return Ok(());
        }
        results.timed_out = true;
        let error = self.late("the session before did not end");
        Err(Fault::new(Kind::Connect, error.to_string()))
    }

    /// Opens a session, unless there is one.
    async fn open(&mut self, deadline: Deadline, results: &mut Results) -> Result<(), Fault> {
        if self.session.is_some() {
            return Ok(());
        }
        let Some(driver) = self.driver.clone() else {
            return Err(Fault::new(Kind::Internal, "there is no driver that could carry its commands"));
        };
        let target = Target { device: &self.device, vars: &self.vars };
        let opened = tokio::time::timeout(deadline.left() + GRACE, driver.open(target, deadline)).await;
        match opened.unwrap_or_else(|_| Err(self.late("no session was opened"))) {
            Ok(session) => {
                self.session = Some(session);
                Ok(())
            }
            Err(error) => {
                results.timed_out = matches!(error, DriverError::TimedOut { .. });
                Err(Fault::new(Kind::Connect, error.to_string()))
            }
        }
    }

    fn late(&self, what: &str) -> DriverError {
        let device = self.device.name.to_string();
        DriverError::TimedOut { device, what: what.to_owned(), said: Box::default() }
    }

    async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            close(session, self.key.clone()).await;
        }
    }

    /// Whether there is nothing left to do; fails with the first condition that does not hold.
    fn judge(&self, results: &Results) -> Result<bool, Fault> {
        let holds = |check: &Check| {
            let facts = Facts { results, values: &self.vars };
            let held = check.condition.holds(&facts);
            held.map(|held| (held, facts)).map_err(|error| Fault::new(Kind::Eval, error.to_string()))
        };
        if !self.script.already.is_empty() {
            let mut all = true;
            for check in &self.script.already {
                all = all && holds(check)?.0;
            }
            if all {
                return Ok(true);
            }
        }
        for check in &self.script.checks {
            let (held, facts) = holds(check)?;
            if !held {
                let operands = check.condition.operands(&facts);
                let operands: Vec<String> = operands
                    .into_iter()
                    .map(|(name, value)| format!("{name} is {}", short(&self.desk.secrets.hide(&value))))
                    .collect();
                let said = match &check.message {
                    Some(message) => format!("{message}: `{}` is not true", check.condition),
                    None => format!("`{}` is not true", check.condition),
                };
                let seen =
                    if operands.is_empty() { String::new() } else { format!(" ({})", operands.join(", ")) };
                return Err(Fault::new(Kind::Check, format!("{said}{seen}")));
            }
        }
        Ok(false)
    }

    /// As it is written down; with it the way in which the change is undone after it.
    fn failure(&self, fault: Fault, results: &Results, sent: bool) -> Failure {
        let hide = |text: &str| self.desk.secrets.hide(text);
        let way = match self.step.as_ref().map(|step| way(step, results, &self.vars)) {
            Some(Way::Alert(text)) => Way::Alert(hide(&text)),
            Some(way) => way,
            None => Way::None,
        };
        let output = hide(&results.cmdoutput);
        let skip = output.chars().count().saturating_sub(TAIL);
        let tail = output.chars().skip(skip).collect();
        Failure { kind: fault.kind, message: hide(&fault.message), sent, way, tail }
    }
}

/// Ends a session; that it did not end in order is told, and changes nothing.
pub(super) async fn close(session: Box<dyn Session>, key: Key) {
    let deadline = Deadline::within(CLOSING);
    match tokio::time::timeout(CLOSING + GRACE, session.close(deadline)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(target: "polder", "{key}: the session did not end well: {error}"),
        Err(_) => tracing::warn!(target: "polder", "{key}: the session did not end in {CLOSING:?}"),
    }
}

fn kind(error: &DriverError) -> Kind {
    match error {
        DriverError::Connect { .. } => Kind::Connect,
        DriverError::Refused { .. } => Kind::Refused,
        DriverError::TimedOut { .. } => Kind::Timeout,
        DriverError::Lost { .. } => Kind::Lost,
    }
}

/// The end of a long value.
fn short(value: &str) -> String {
    const LONGEST: usize = 200;
    let length = value.chars().count();
    if length <= LONGEST {
        return value.to_owned();
    }
    format!("...{}", value.chars().skip(length - LONGEST).collect::<String>())
}
