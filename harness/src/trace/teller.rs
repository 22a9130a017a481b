//! Where everything that happens in a run is told: an event is stamped when it is told, and whoever takes events gets all
//! of them, in one order, each at a pace of its own. Does not know who that is.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use crate::event::{RunEvent, Stamped};

use super::layer::{Log, Recorder, lock};

/// An event with its time, and the log of the scenario that it ends.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) stamped: Stamped,
    pub(crate) log: Log,
}

/// Takes events of a run; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Teller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    recorder: Recorder,
    /// Those who listen. They are told under the lock: that makes one order, in which times never go back.
    lanes: Mutex<Vec<Sender<Arc<Told>>>>,
}

impl Teller {
    /// The run begins now; logs of scenarios are taken from `recorder`.
    pub(crate) fn new(recorder: Recorder) -> Self {
        Self(Arc::new(Inner { start: Instant::now(), recorder, lanes: Mutex::default() }))
    }

    /// Everything that is told from now on.
    pub(crate) fn listen(&self) -> Receiver<Arc<Told>> {
        let (lane, told) = channel();
        lock(&self.0.lanes).push(lane);
        told
    }

    /// Tells an event; never waits for those who listen.
    pub(crate) fn send(&self, event: RunEvent) {
        let log = match &event {
            // Now: another one of that name may begin before anybody has read of this one's end.
            RunEvent::ScenarioFinished { suite, scenario, .. } => self.0.recorder.take(suite, scenario),
            _ => Log::default(),
        };
        let mut lanes = lock(&self.0.lanes);
        let stamped = Stamped::new(self.elapsed(), event);
        let told = Arc::new(Told { stamped, log });
        lanes.retain(|lane| lane.send(Arc::clone(&told)).is_ok());
    }

    /// What is told after this, nobody hears; who listens is at the end once all before it is read.
    pub(crate) fn end(&self) {
        lock(&self.0.lanes).clear();
    }

    /// How long the run has taken.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: String) -> RunEvent {
        RunEvent::Log { suite: "s".into(), scenario: "a".into(), span: None, text }
    }

    #[test]
    fn all_hear_the_same_in_one_order_and_times_never_go_back() {
        let teller = Teller::new(Recorder::default());
        let (first, second) = (teller.listen(), teller.listen());
        let many = |name: &'static str| {
            let teller = teller.clone();
            std::thread::spawn(move || {
                (0..500).for_each(|number| teller.send(log(format!("{name}{number}"))));
            })
        };
        let threads = ["a", "b", "c"].map(many);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        teller.end();
        teller.send(log("too late".into()));
        let heard: Vec<Arc<Told>> = first.into_iter().collect();
        assert_eq!(heard.len(), 1500);
        assert!(heard.iter().map(|told| told.stamped.since_start).is_sorted());
        assert!(second.into_iter().zip(&heard).all(|(one, other)| Arc::ptr_eq(&one, other)));
        let of_b = heard.iter().filter_map(|told| match &told.stamped.event {
            RunEvent::Log { text, .. } => text.strip_prefix('b').map(str::to_owned),
            _ => None,
        });
        assert!(of_b.eq((0..500).map(|number| number.to_string())));
    }

    #[test]
    fn an_event_has_the_time_at_which_it_was_told_whenever_it_is_read() {
        let teller = Teller::new(Recorder::default());
        let heard = teller.listen();
        teller.send(log("now".into()));
        let latest = teller.elapsed().as_secs_f64();
        std::thread::sleep(Duration::from_millis(50));
        assert!(heard.recv().unwrap().stamped.since_start <= latest);
    }

    #[test]
    fn who_does_not_listen_any_more_holds_up_nobody() {
        let teller = Teller::new(Recorder::default());
        let (gone, heard) = (teller.listen(), teller.listen());
        drop(gone);
        teller.send(log("still".into()));
        assert!(heard.recv().is_ok());
    }
}
