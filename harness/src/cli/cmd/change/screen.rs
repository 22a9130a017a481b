//! What people see while changes are made: on a terminal a table of devices and phases that changes, else a line for each
//! thing that ends; alerts; and questions.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, BufRead, IsTerminal, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{QueueSelector, tcflush, tcgetwinsize},
};
use tracing::Level;

use super::alert::{give, told};
use crate::{
    base::{dial::BoxFuture, text::plain},
    change::{
        self, Alert, Alerts, Answer, Authorizer, Entry, Key, Outcome, Plan, Progress, Question, Record,
        model::Phase,
    },
    cli::{change_args::Words, context::Cx},
    report::changes::Alerted,
};

/// How many devices are shown at once.
const HEIGHT: usize = 20;
/// How often a question looks whether it is still asked.
const ASKED: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// What people see. Shared by everybody who has something to say.
#[derive(Debug)]
pub(super) struct Screen {
    state: Mutex<State>,
    /// One question at a time.
    asking: tokio::sync::Mutex<()>,
    /// What is run for each alert.
    command: Option<Words>,
}

#[derive(Debug)]
struct State {
    is_live: bool,
    /// Where devices are: in which change, and how its phases went.
    devices: BTreeMap<String, Row>,
    /// In the order in which something happened to them, the last one last.
    recent: Vec<String>,
    /// Changes that are tried again.
    retries: BTreeMap<String, change::State>,
    drawn: usize,
    phases: usize,
    of: usize,
    /// What failed last of each row of a change on a device, and the end of what the device said then.
    failed: BTreeMap<Key, (Phase, String)>,
}

#[derive(Debug, Default)]
struct Row {
    /// The change, and it with its row.
    name: String,
    step: String,
    phases: Vec<(Phase, &'static str)>,
}

impl Screen {
    /// Of a run of `plan`; `command` is run for each alert.
    pub(super) fn new(cx: &Cx, plan: &Plan, command: Option<Words>) -> Self {
        let is_live = io::stderr().is_terminal() && cx.log.is_told(Level::INFO);
        let of = plan.steps().iter().map(|step| step.units.len()).sum();
        let (devices, recent, retries, failed) =
            (BTreeMap::new(), Vec::new(), BTreeMap::new(), BTreeMap::new());
        let state = State { is_live, devices, recent, retries, drawn: 0, phases: 0, of, failed };
        Self { state: Mutex::new(state), asking: tokio::sync::Mutex::default(), command }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Screen {
    fn happened(&self, entry: &Entry) {
        let mut state = self.state();
        match &entry.record {
            Record::Begin { key, phase, .. } => state.mark(key, *phase, "..."),
            Record::End { key, phase, outcome, .. } => {
                let (mark, why) = match outcome {
                    Outcome::Ok { .. } => ("ok", None),
                    Outcome::Already => ("already", None),
                    Outcome::Failed(failure) => {
                        state.failed.insert(key.clone(), (*phase, failure.tail.clone()));
                        ("FAILED", Some(failure.message.as_str()))
                    }
                };
                state.phases += 1;
                state.retries.remove(&key.step);
                state.mark(key, *phase, mark);
                if why.is_some() || !state.is_live {
                    state.clear();
                    let why = why.map(|why| format!(": {}", plain(why))).unwrap_or_default();
                    tracing::info!(target: "polder", "{}: {phase} {mark}{why}", plain(&key.to_string()));
                }
            }
            Record::Stopped { why } => {
                state.clear();
                tracing::info!(target: "polder", "nothing new is begun: {why}");
            }
            Record::Over { .. } => {
                state.clear();
                state.is_live = false;
            }
            Record::Dirty { .. } | Record::Resumed | Record::Undo => {}
        }
        state.draw();
    }

    fn retries(&self, step: &str, retry: change::State) {
        let mut state = self.state();
        state.retries.insert(step.to_owned(), retry);
        state.clear();
        tracing::info!(target: "polder", "{}: {retry}", plain(step));
        state.draw();
    }
}

impl State {
    fn mark(&mut self, key: &Key, phase: Phase, mark: &'static str) {
        let device = if key.device.is_empty() { "all" } else { &key.device };
        let step = plain(&Key { device: String::new(), ..key.clone() }.to_string());
        let row = self.devices.entry(device.to_owned()).or_default();
        if row.step != step {
            *row = Row { name: key.step.clone(), step, phases: Vec::new() };
        }
        match row.phases.iter_mut().find(|(other, _)| *other == phase) {
            Some((_, before)) => *before = mark,
            None => row.phases.push((phase, mark)),
        }
        self.recent.retain(|other| other != device);
        self.recent.push(device.to_owned());
    }

    /// Takes the table away.
    fn clear(&mut self) {
        if self.drawn > 0 {
            show(&format!("\x1b[{}A\x1b[J", self.drawn));
            self.drawn = 0;
        }
    }

    fn draw(&mut self) {
        if !self.is_live {
            return;
        }
        self.clear();
        let mut text = String::new();
        let shown = self.recent.len().saturating_sub(HEIGHT);
        let mut shown: Vec<&String> = self.recent.iter().skip(shown).collect();
        shown.sort();
        let width = shown.iter().map(|device| device.len()).max().unwrap_or_default();
        for device in &shown {
            let Some(row) = self.devices.get(*device) else { continue };
            let phases: Vec<String> =
                row.phases.iter().map(|(phase, mark)| format!("{phase} {mark}")).collect();
            let retry = self.retries.get(&row.name).map(|retry| format!("  {retry}")).unwrap_or_default();
            let _ = writeln!(text, "{:width$}  {}  {}{retry}", plain(device), row.step, phases.join("  "));
        }
        let _ = writeln!(
            text,
            "devices: {}, each with its changes and rows: {}, phases done: {}",
            self.devices.len(),
            self.of,
            self.phases
        );
        // A line that wraps would be two.
        let columns = tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
        let columns = if columns < 2 { 80 } else { columns };
        let cut = |line: &str| line.chars().take(columns - 1).chain(['\n']).collect::<String>();
        let text: String = text.lines().map(cut).collect();
        self.drawn = text.lines().count();
        show(&text);
    }
}

/// A terminal that is gone must not end what is being done.
fn show(text: &str) {
    let mut terminal = io::stderr();
    let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
}

impl Alerts for Screen {
    fn alert<'a>(&'a self, Alert { key, why }: &'a Alert) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let last = {
                let mut state = self.state();
                state.clear();
                state.failed.get(key).cloned()
            };
            let alert = Alerted {
                step: key.step.clone(),
                device: key.device.clone(),
                row: key.row.map(|row| row + 1),
                why: why.clone(),
                phase: last.as_ref().map(|(phase, _)| *phase),
                tail: last.map(|(_, tail)| tail).unwrap_or_default(),
            };
            tracing::error!(target: "polder", "ALERT: {}", told(key, &alert));
            if let Some(Words(command)) = &self.command
                && let Err(error) = give(&alert, command).await
            {
                tracing::error!(target: "polder", "the alert did not reach `--alert-command`: {error:#}");
            }
        })
    }
}

impl Authorizer for Screen {
    fn answer<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let _turn = self.asking.lock().await;
            if !io::stdin().is_terminal() {
                tracing::warn!(
                    target: "polder",
                    "{question} No: there is no terminal; `--autobackout` and `--nopause` go on without asking"
                );
                return Answer::No;
            }
            let was_live = {
                let mut state = self.state();
                state.clear();
                std::mem::replace(&mut state.is_live, false)
            };
            let text = plain(&question.to_string());
            let open = Open { screen: self, was_live, is_asked: Arc::new(AtomicBool::new(true)) };
            let is_asked = Arc::clone(&open.is_asked);
            let asked = tokio::task::spawn_blocking(move || ask(&text, &is_asked)).await;
            asked.ok().and_then(Result::ok).unwrap_or(Answer::No)
        })
    }
}

/// A question that is open. When it goes, nobody waits for its answer any more.
struct Open<'s> {
    screen: &'s Screen,
    was_live: bool,
    is_asked: Arc<AtomicBool>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.is_asked.store(false, Ordering::Relaxed);
        self.screen.state().is_live = self.was_live;
    }
}

/// Asks on the terminal; what is no answer is a no. Leaves what is typed to others once it is not asked any more.
fn ask(question: &str, is_asked: &AtomicBool) -> io::Result<Answer> {
    let stdin = io::stdin();
    // What was typed before it was asked is no answer to it, but to one that is not asked any more.
    tcflush(&stdin, QueueSelector::IFlush)?;
    show(&format!("{question} [y]es, [n]o and end it, [s]kip it, yes to [a]ll like it: "));
    let mut answer = String::new();
    loop {
        let mut typed = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut typed, Some(&ASKED)) {
            _ if !is_asked.load(Ordering::Relaxed) => return Ok(Answer::No),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => return Err(error.into()),
        }
    }
    stdin.lock().read_line(&mut answer)?;
    Ok(match answer.trim().chars().next() {
        Some('y' | 'Y') => Answer::Yes,
        Some('a' | 'A') => Answer::All,
        Some('s' | 'S') => Answer::Skip,
        _ => Answer::No,
    })
}
