//! From `tracing` to a tree per scenario, and to log events. Does not decide what is printed.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    io::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Span, Subscriber,
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

use super::{
    teller::Teller,
    tree::{Tree, Weight},
};

/// Target of lines written with `log!`.
pub(crate) const LOG: &str = "polder::log";
/// Target of lines about faults that were made on purpose; they have the fields of [`RunEvent::Fault`].
pub(crate) const FAULT: &str = "polder::fault";
/// Target of lines about changes; they have the fields of [`RunEvent::Change`], or those of [`RunEvent::ChangeReported`].
pub(crate) const CHANGE: &str = "polder::change";
/// Target of lines about machines that are otherwise now; they have the fields of [`RunEvent::MachineState`].
pub(crate) const MACHINE: &str = "polder::machine";
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
    pub(crate) fn install(&self, events: Teller) {
        let layer = Recording { recorder: self.clone(), events };
        // Waits that go on are for those who watch, and in no log.
        let filter = filter().with_target(WAIT, LevelFilter::TRACE);
        let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    }

    /// The span of a scenario; what happens inside it is recorded.
    pub(crate) fn scenario(&self, suite: &str, scenario: &str) -> Span {
        tracing::info_span!(target: SCENARIO, parent: None, "scenario", suite, scenario)
    }

    /// The log of a scenario; it is not kept here any longer.
    pub(crate) fn take(&self, suite: &str, scenario: &str) -> Log {
        Log(lock(&self.trees).remove(&(suite.to_owned(), scenario.to_owned())))
    }
}

/// The log of a scenario that has ended, made to text only when somebody wants it.
#[derive(Debug, Default)]
pub(crate) struct Log(Option<Arc<Live>>);

impl Log {
    /// All of it; empty when nothing was recorded.
    pub(crate) fn whole(&self) -> String {
        self.0.as_ref().map(|live| lock(&live.tree).render()).unwrap_or_default()
    }

    /// What matters of it to who reads of the failure.
    pub(crate) fn folded(&self) -> String {
        self.0.as_ref().map(|live| lock(&live.tree).render_folded()).unwrap_or_default()
    }

    /// One with these lines, all of the first moment.
    #[cfg(test)]
    pub(crate) fn of_lines(lines: &[&str]) -> Self {
        let mut tree = Tree::default();
        lines.iter().for_each(|line| tree.line(None, Duration::ZERO, (*line).to_owned(), Weight::Detail));
        let live = Live { key: Key::default(), start: Instant::now(), tree: Mutex::new(tree) };
        Self(Some(Arc::new(live)))
    }
}

/// Ours in detail, of others what they call information or worse.
pub(crate) fn filter() -> Targets {
    Targets::new().with_default(LevelFilter::INFO).with_target("polder", LevelFilter::DEBUG)
}

struct Recording {
    recorder: Recorder,
    events: Teller,
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
        self.events.send(started);
        span.extensions_mut().insert(Opened(Instant::now()));
        span.extensions_mut().insert(Node { id: Some(entry), ..parent });
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let target = event.metadata().target();
        let goes_on = target == WAIT && *event.metadata().level() == Level::TRACE;
        let weight = match (target, *event.metadata().level()) {
            (_, Level::ERROR) => Weight::Wrong,
            (WAIT, _) if fields.ends_badly() => Weight::Wrong,
            (LOG | FAULT, _) => Weight::Said,
            _ => Weight::Detail,
        };
        let more: Option<Told> = match target {
            CHANGE => Some(Box::new(fields.of_change())),
            MACHINE => Some(Box::new(fields.of_machine())),
            WAIT if goes_on => Some(Box::new(fields.of_waiting())),
            WAIT => Some(Box::new(fields.of_wait())),
            FAULT => Some(Box::new(fields.of_fault())),
            _ => None,
        };
        let text = if more.is_some() { fields.message } else { fields.text("") };
        let node = context.event_span(event).and_then(|span| span.extensions().get::<Node>().cloned());
        if let Some(Node { live, id }) = node {
            if !goes_on {
                lock(&live.tree).line(id, live.elapsed(), text.clone(), weight);
            }
            let (suite, scenario) = live.key.clone();
            if let Some(more) = more {
                self.events.send(more(suite.clone(), scenario.clone(), id));
            }
            match target {
                // All of it is in its own event.
                WAIT | MACHINE | FAULT => {}
                _ => self.events.send(RunEvent::Log { suite, scenario, span: id, text }),
            }
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
            self.events.send(RunEvent::SpanFinished { suite, scenario, span: *entry, seconds });
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

    /// Whether the wait that they tell of was in vain.
    fn ends_badly(&self) -> bool {
        !matches!(WaitEnd::of(&self.field("end")), WaitEnd::True | WaitEnd::Held)
    }

    /// The machine that they tell of, once it is known whose.
    fn of_machine(&self) -> impl FnOnce(String, String, Option<u64>) -> RunEvent + use<> {
        let [machine, state] = ["machine", "state"].map(|name| self.field(name));
        move |suite, scenario, _| RunEvent::MachineState { suite, scenario, machine, state }
    }

    /// The wait that they tell of, which goes on, once it is known whose.
    fn of_waiting(&self) -> impl FnOnce(String, String, Option<u64>) -> RunEvent + use<> {
        let [what, seen] = ["what", "seen"].map(|name| self.field(name));
        move |suite, scenario, span| RunEvent::Waiting { suite, scenario, span, what, seen }
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
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tracing::Instrument;

    use super::*;

    #[tokio::test]
    async fn waits_are_told_with_what_was_seen_and_only_those_that_waited() {
        use crate::base::wait::{Look, wait_for};
        let recorder = Recorder::default();
        let teller = Teller::new(recorder.clone());
        let events = teller.listen();
        let layer = Recording { recorder: recorder.clone(), events: teller };
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
            if let RunEvent::Waited { what, end, seen, history, looks, .. } = &event.stamped.event {
                told.push((what.clone(), *end, seen.clone(), history.lines().count(), *looks));
            }
        }
        let expected = [
            ("a boat".to_owned(), WaitEnd::True, "fog".to_owned(), 2, 2),
            ("rain".to_owned(), WaitEnd::CutShort, "sun".to_owned(), 0, 1),
        ];
        assert_eq!(told, expected);
        let text = recorder.take("demo", "boots").whole();
        assert!(text.contains("s for a boat: true, last seen: fog\n"), "{text}");
    }

    #[test]
    fn spans_and_lines_reach_their_scenario_only() {
        let recorder = Recorder::default();
        let teller = Teller::new(recorder.clone());
        let events = teller.listen();
        let layer = Recording { recorder: recorder.clone(), events: teller };
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
        let text = recorder.take("demo", "boots").whole();
        let lines: Vec<&str> = text.lines().map(|line| line.get(10..).unwrap_or(line)).collect();
        assert!(lines[0].starts_with("@ exec machine=web argv=id ("), "{text}");
        assert_eq!(lines[1..], ["  ended status=0"]);
        assert_eq!(recorder.take("demo", "boots").whole(), "", "taken once");
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
        let next = || events.try_recv().unwrap().stamped.event.clone();
        assert_eq!(next(), started);
        assert_eq!(next(), log("boots", Some(0), "ended status=0"));
        let finished = next();
        assert!(
            matches!(&finished, RunEvent::SpanFinished { span: 0, seconds, .. } if *seconds < 60.0),
            "{finished:?}"
        );
        assert_eq!(next(), log("other", None, "elsewhere"));
        assert!(events.try_recv().is_err());
    }
}
