//! From `tracing` to a tree per scenario, and to log events. Does not decide what is printed.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    io::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedSender;
use tracing::{
    Event, Span, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer, filter::Targets, layer::Context, layer::SubscriberExt, registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::event::RunEvent;

use super::tree::Tree;

/// Target of lines written with `log!`.
pub(crate) const LOG: &str = "polder::log";
/// Target of lines about faults that were made on purpose.
pub(crate) const FAULT: &str = "polder::fault";
/// Target of lines about changes; they have the fields of [`RunEvent::Change`], or those of [`RunEvent::ChangeReported`].
pub(crate) const CHANGE: &str = "polder::change";
/// Target of the span that stands for a scenario.
const SCENARIO: &str = "polder::scenario";

/// Keeps a tree for each scenario under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder {
    trees: Arc<Mutex<HashMap<Key, Arc<Live>>>>,
}

type Key = (String, String);

/// The tree of a scenario under way.
#[derive(Debug)]
struct Live {
    key: Key,
    start: Instant,
    tree: Mutex<Tree>,
}

impl Recorder {
    /// Records from now on, for the rest of the process; lines also go to `events`.
    ///
    /// Where the binary has a subscriber of its own already, that one stays and there are no trees.
    pub(crate) fn install(events: UnboundedSender<RunEvent>) -> Self {
        let recorder = Self::default();
        let layer = Recording { recorder: recorder.clone(), events };
        let _ = tracing_subscriber::registry().with(layer.with_filter(filter())).try_init();
        recorder
    }

    /// The span of a scenario; what happens inside it is recorded.
    pub(crate) fn scenario(&self, suite: &str, scenario: &str) -> Span {
        tracing::info_span!(target: SCENARIO, parent: None, "scenario", suite, scenario)
    }

    /// The tree of a scenario as text; it is not kept any longer.
    pub(crate) fn take(&self, suite: &str, scenario: &str) -> String {
        let live = lock(&self.trees).remove(&(suite.to_owned(), scenario.to_owned()));
        live.map(|live| lock(&live.tree).render()).unwrap_or_default()
    }
}

/// Ours in detail, of others what they call information or worse.
pub(crate) fn filter() -> Targets {
    Targets::new().with_default(LevelFilter::INFO).with_target("polder", LevelFilter::DEBUG)
}

struct Recording {
    recorder: Recorder,
    events: UnboundedSender<RunEvent>,
}

/// What a span inside a scenario knows: its tree, and its entry there (none for the scenario itself).
#[derive(Clone)]
struct Node {
    live: Arc<Live>,
    id: Option<u64>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recording {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if attributes.metadata().target() == SCENARIO {
            let live = Live { key: fields.key(), start: Instant::now(), tree: Mutex::default() };
            let live = Arc::new(live);
            lock(&self.recorder.trees).insert(live.key.clone(), Arc::clone(&live));
            span.extensions_mut().insert(Node { live, id: None });
            return;
        }
        let Some(parent) = span.parent().and_then(|parent| parent.extensions().get::<Node>().cloned()) else {
            return;
        };
        let text = fields.text(attributes.metadata().name());
        let entry = lock(&parent.live.tree).open(parent.id, parent.live.elapsed(), text);
        span.extensions_mut().insert(Node { id: Some(entry), ..parent });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let is_change = event.metadata().target() == CHANGE;
        let of_change = is_change.then(|| fields.of_change());
        let text = if is_change { fields.message } else { fields.text("") };
        let node = context.event_span(event).and_then(|span| span.extensions().get::<Node>().cloned());
        if let Some(Node { live, id }) = node {
            lock(&live.tree).line(id, live.elapsed(), text.clone());
            let (suite, scenario) = live.key.clone();
            if let Some(of_change) = of_change {
                let _ = self.events.send(of_change(suite.clone(), scenario.clone()));
            }
            let _ = self.events.send(match event.metadata().target() {
                FAULT => RunEvent::Fault { suite, scenario, text },
                _ => RunEvent::Log { suite, scenario, text },
            });
        } else if event.metadata().target() == LOG {
            // From a task the scenario spawned without its span: better here than nowhere.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let node = context.span(&id).and_then(|span| span.extensions().get::<Node>().cloned());
        if let Some(Node { live, id: Some(entry) }) = node {
            lock(&live.tree).close(entry, live.elapsed());
        }
    }
}

impl Live {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Fields of a span or event.
#[derive(Default)]
pub(crate) struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    /// `name` or the message, then the other fields.
    pub(crate) fn text(self, name: &str) -> String {
        let mut text = if self.message.is_empty() { name.to_owned() } else { self.message };
        for (field, value) in self.others {
            let _ = write!(text, " {field}={value}");
        }
        text
    }

    fn key(self) -> Key {
        (self.field("suite"), self.field("scenario"))
    }

    fn field(&self, wanted: &str) -> String {
        self.others
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    }

    /// The phase of a change that they tell of, or what became of all of it, once it is known whose.
    fn of_change(&self) -> impl FnOnce(String, String) -> RunEvent + use<> {
        let [change, device, phase, error, seconds, transcript] =
            ["change", "device", "phase", "error", "seconds", "transcript"].map(|name| self.field(name));
        let [state, report] = ["state", "report"].map(|name| self.field(name));
        move |suite, scenario| match report.is_empty() {
            true => RunEvent::Change {
                suite,
                scenario,
                change,
                device,
                phase,
                error: (!error.is_empty()).then_some(error),
                seconds: seconds.parse().unwrap_or_default(),
                transcript,
            },
            false => RunEvent::ChangeReported { suite, scenario, change, state, report },
        }
    }

    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

/// A panic elsewhere must not silence the log of what it led to.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_lines_reach_their_scenario_only() {
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        let recorder = Recorder::default();
        let layer = Recording { recorder: recorder.clone(), events: sender };
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("outside");
            let scenario = recorder.scenario("demo", "boots");
            scenario.in_scope(|| {
                let exec = tracing::info_span!(target: "polder::guest", "exec", vm = "web", argv = "id");
                exec.in_scope(|| {
                    tracing::debug!(target: "polder::guest", status = 0, "ended");
                    tracing::debug!(target: "chatty", "not ours, not wanted");
                });
            });
            recorder.scenario("demo", "other").in_scope(|| tracing::info!("elsewhere"));
        });
        let text = recorder.take("demo", "boots");
        let lines: Vec<&str> = text.lines().map(|line| line.get(10..).unwrap_or(line)).collect();
        assert!(lines[0].starts_with("exec vm=web argv=id ("), "{text}");
        assert_eq!(lines[1..], ["  ended status=0"]);
        assert_eq!(recorder.take("demo", "boots"), "", "taken once");
        let log = |scenario: &str, text: &str| RunEvent::Log {
            suite: "demo".into(),
            scenario: scenario.into(),
            text: text.into(),
        };
        assert_eq!(events.try_recv().unwrap(), log("boots", "ended status=0"));
        assert_eq!(events.try_recv().unwrap(), log("other", "elsewhere"));
        assert!(events.try_recv().is_err());
    }
}
