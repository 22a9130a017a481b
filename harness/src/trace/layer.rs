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

use crate::{
    base::wait::WAIT,
    event::{RunEvent, WaitEnd},
};

use super::tree::Tree;

/// Target of lines written with `log!`.
pub(crate) const LOG: &str = "polder::log";
/// Target of lines about faults that were made on purpose; they have the fields of [`RunEvent::Fault`].
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

/// An event with fields of its own, once it is known whose it is, and of which span.
type Told = Box<dyn FnOnce(String, String, Option<u64>) -> RunEvent>;

/// When a span began.
struct Opened(Instant);

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
        let machine = Some(fields.field("machine")).filter(|machine| !machine.is_empty());
        let text = fields.text(attributes.metadata().name());
        let began = parent.live.elapsed();
        let entry = lock(&parent.live.tree).open(parent.id, began, text.clone());
        let (suite, scenario) = parent.live.key.clone();
        let started =
            RunEvent::SpanStarted { suite, scenario, span: entry, parent: parent.id, machine, text };
        let _ = self.events.send(started);
        span.extensions_mut().insert(Opened(Instant::now()));
        span.extensions_mut().insert(Node { id: Some(entry), ..parent });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let target = event.metadata().target();
        let more: Option<Told> = match target {
            CHANGE => Some(Box::new(fields.of_change())),
            WAIT => Some(Box::new(fields.of_wait())),
            FAULT => Some(Box::new(fields.of_fault())),
            _ => None,
        };
        let text = if more.is_some() { fields.message } else { fields.text("") };
        let node = context.event_span(event).and_then(|span| span.extensions().get::<Node>().cloned());
        if let Some(Node { live, id }) = node {
            lock(&live.tree).line(id, live.elapsed(), text.clone());
            let (suite, scenario) = live.key.clone();
            if let Some(more) = more {
                let _ = self.events.send(more(suite.clone(), scenario.clone(), id));
            }
            let _ = match target {
                // All of it is in its own event.
                WAIT | FAULT => return,
                _ => self.events.send(RunEvent::Log { suite, scenario, span: id, text }),
            };
        } else if target == LOG {
            // From a task the scenario spawned without its span: better here than nowhere.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let extensions = span.extensions();
        if let (Some(Node { live, id: Some(entry) }), Some(Opened(began))) =
            (extensions.get(), extensions.get())
        {
            lock(&live.tree).close(*entry, live.elapsed());
            let ((suite, scenario), seconds) = (live.key.clone(), began.elapsed().as_secs_f64());
            let _ = self.events.send(RunEvent::SpanFinished { suite, scenario, span: *entry, seconds });
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
    fn of_change(&self) -> impl FnOnce(String, String, Option<u64>) -> RunEvent + use<> {
        let [change, device, phase, error, seconds, transcript] =
            ["change", "device", "phase", "error", "seconds", "transcript"].map(|name| self.field(name));
        let [state, report] = ["state", "report"].map(|name| self.field(name));
        move |suite, scenario, _| match report.is_empty() {
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

    /// The fault that they tell of, once it is known whose.
    fn of_fault(&self) -> impl FnOnce(String, String, Option<u64>) -> RunEvent + use<> {
        let (text, machine, seed) = (self.message.clone(), self.field("machine"), self.field("seed"));
        let machine = (!machine.is_empty()).then_some(machine);
        move |suite, scenario, _| RunEvent::Fault { suite, scenario, text, machine, seed: seed.parse().ok() }
    }

    /// The wait that they tell of, once it is known whose.
    fn of_wait(&self) -> impl FnOnce(String, String, Option<u64>) -> RunEvent + use<> {
        let [what, end, seen, history, looks, seconds] =
            ["what", "end", "seen", "history", "looks", "seconds"].map(|name| self.field(name));
        move |suite, scenario, span| RunEvent::Waited {
            suite,
            scenario,
            span,
            what,
            end: WaitEnd::of(&end),
            seen,
            history,
            looks: looks.parse().unwrap_or_default(),
            seconds: seconds.parse().unwrap_or_default(),
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
    use tracing::Instrument;

    use super::*;

    #[tokio::test]
    async fn waits_are_told_with_what_was_seen_and_only_those_that_waited() {
        use crate::base::wait::{Look, wait_for};
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        let recorder = Recorder::default();
        let layer = Recording { recorder: recorder.clone(), events: sender };
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter()));
        let _scope = tracing::subscriber::set_default(subscriber);
        let scenario = recorder.scenario("demo", "boots");
        let ms = Duration::from_millis;
        let work = async {
            let mut looks = ["sea", "fog"].into_iter();
            let mut look = move || looks.next().map_or(Look::Ready(()), |seen| Look::NotYet(seen.to_owned()));
            wait_for("a boat", ms(60_000), ms(1), || std::future::ready(look())).await.unwrap();
            wait_for("land", ms(60_000), ms(1), || std::future::ready(Look::Ready(()))).await.unwrap();
            // Whose wait it is, is over before.
            let never =
                wait_for::<(), _, _>("rain", ms(60_000), ms(60_000), async || Look::NotYet("sun".into()));
            assert!(tokio::time::timeout(ms(20), never).await.is_err());
        };
        work.instrument(scenario).await;
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            if let RunEvent::Waited { what, end, seen, history, looks, .. } = event {
                told.push((what, end, seen, history.lines().count(), looks));
            }
        }
        let expected = [
            ("a boat".to_owned(), WaitEnd::True, "fog".to_owned(), 2, 2),
            ("rain".to_owned(), WaitEnd::CutShort, "sun".to_owned(), 0, 1),
        ];
        assert_eq!(told, expected);
        let text = recorder.take("demo", "boots");
        assert!(text.contains("s for a boat: true, last seen: fog\n"), "{text}");
    }

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
                let exec = tracing::info_span!(target: "polder::guest", "exec", machine = "web", argv = "id");
                exec.in_scope(|| {
                    tracing::debug!(target: "polder::guest", status = 0, "ended");
                    tracing::debug!(target: "chatty", "not ours, not wanted");
                });
            });
            recorder.scenario("demo", "other").in_scope(|| tracing::info!("elsewhere"));
        });
        let text = recorder.take("demo", "boots");
        let lines: Vec<&str> = text.lines().map(|line| line.get(10..).unwrap_or(line)).collect();
        assert!(lines[0].starts_with("exec machine=web argv=id ("), "{text}");
        assert_eq!(lines[1..], ["  ended status=0"]);
        assert_eq!(recorder.take("demo", "boots"), "", "taken once");
        let log = |scenario: &str, span, text: &str| RunEvent::Log {
            suite: "demo".into(),
            scenario: scenario.into(),
            span,
            text: text.into(),
        };
        let (suite, scenario) = ("demo".to_owned(), "boots".to_owned());
        let started = RunEvent::SpanStarted {
            suite,
            scenario,
            span: 0,
            parent: None,
            machine: Some("web".into()),
            text: "exec machine=web argv=id".into(),
        };
        assert_eq!(events.try_recv().unwrap(), started);
        assert_eq!(events.try_recv().unwrap(), log("boots", Some(0), "ended status=0"));
        let finished = events.try_recv().unwrap();
        assert!(
            matches!(&finished, RunEvent::SpanFinished { span: 0, seconds, .. } if *seconds < 60.0),
            "{finished:?}"
        );
        assert_eq!(events.try_recv().unwrap(), log("other", None, "elsewhere"));
        assert!(events.try_recv().is_err());
    }
}
