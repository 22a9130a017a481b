//! Lets time pass for the model and does what it wants done. One lock around the whole state; each change is one transaction.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};

use super::{
    driver::{Driver, Target},
    faults::Waiting,
    model::{Device, Job, Model},
    routes::{self, Answer, Request},
};

/// How long the engine sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// The model with what is around it.
#[derive(Debug)]
pub(super) struct Engine {
    model: Mutex<Model>,
    driver: Arc<dyn Driver>,
    task_delay: Duration,
    pub(super) faults: Waiting,
    /// Counts how often the model went back to what it was: who works for what was before has nothing to tell it.
    lives: AtomicU64,
    jobs: mpsc::UnboundedSender<Job>,
    /// Something may be due earlier than was thought.
    sooner: Notify,
}

/// What the outer clock says, in milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Engine {
    /// The engine, and what must be run for its work to be done.
    pub(super) fn new(
        model: Model,
        driver: Arc<dyn Driver>,
        task_delay: Duration,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + use<>) {
        let (jobs, wanted) = mpsc::unbounded_channel();
        let engine = Arc::new(Self {
            model: Mutex::new(model),
            driver,
            task_delay,
            faults: Waiting::default(),
            lives: AtomicU64::new(0),
            jobs,
            sooner: Notify::new(),
        });
        // What was being done when the state was saved.
        engine.change(|_| ());
        (Arc::clone(&engine), work(engine, wanted))
    }

    /// Does something to the model as one transaction, at the time it is now.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        // Whoever panicked changed nothing that others could not go on with: parts are put in place whole.
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.clock.set(now());
        let result = change(&mut model);
        for job in model.take_jobs() {
            if job == Job::Wake {
                self.sooner.notify_one();
            } else {
                // Nobody works any more when the portal stops.
                let _ = self.jobs.send(job);
            }
        }
        result
    }

    /// Everything that is known, to go back to.
    pub(super) fn keep(&self) -> Model {
        self.change(|model| model.clone())
    }

    /// Goes back to what was known.
    pub(super) fn go_back(&self, kept: &Model) {
        self.change(|model| {
            self.lives.fetch_add(1, Ordering::Relaxed);
            model.go_back(kept);
        });
    }

    /// Answers a request. A mistake of ours is an answer, too.
    pub(super) async fn answer(&self, request: &Request) -> Answer {
        for mac in self.change(|model| routes::devices_read(model, request)) {
            self.read_back(&mac).await;
        }
        let answered = catch_unwind(AssertUnwindSafe(|| self.change(|model| routes::answer(model, request))));
        answered.unwrap_or_else(|_| Answer::broken(&format_args!("answering {} panicked", request.path)))
    }

    /// Takes over what a device runs, where somebody else may have changed that.
    async fn read_back(&self, mac: &str) {
        let Some(target) = self.change(|model| model.devices.get(mac).map(target)) else { return };
        match self.driver.read(&target).await {
            Ok(None) => {}
            Ok(Some(running)) => self.change(|model| model.observe(mac, Some(running))),
            Err(error) => {
                tracing::debug!("device {mac} does not tell what it runs: {error}");
                self.change(|model| model.observe(mac, None));
            }
        }
    }

    async fn push(&self, task: u64) {
        let life = self.lives.load(Ordering::Relaxed);
        tokio::time::sleep(self.task_delay).await;
        let push = self.change(|model| {
            let push = model.push_of(task)?;
            let device = model.devices.get(&push.device).map(target);
            Ok((device.ok_or_else(|| format!("device {} does not exist", push.device))?, push))
        });
        let result = match push {
            Ok((target, push)) => {
                tokio::time::sleep(Duration::from_millis(push.slow)).await;
                self.driver.push(&target, &push.config).await.map_err(|error| error.to_string())
            }
            Err(why) => Err(why),
        };
        self.change(|model| {
            if self.lives.load(Ordering::Relaxed) == life {
                model.finish_task(task, result);
            }
        });
    }
}

fn target(device: &Device) -> Target {
    Target { mac: device.mac.clone(), hostname: device.hostname.clone(), ip: device.ip.clone() }
}

async fn work(engine: Arc<Engine>, mut wanted: mpsc::UnboundedReceiver<Job>) {
    let mut works = JoinSet::new();
    loop {
        let due = engine.change(|model| {
            model.tick();
            model.next_tick()
        });
        let rest = due.map_or(IDLE, |due| Duration::from_millis(due.saturating_sub(now()).max(1))).min(IDLE);
        tokio::select! {
            job = wanted.recv() => {
                let engine = Arc::clone(&engine);
                match job {
                    Some(Job::Push { task }) => {
                        works.spawn(async move { engine.push(task).await });
                    }
                    Some(Job::Act { change, stage }) => engine.change(|model| model.act(&change, &stage)),
                    Some(Job::Wake) => {}
                    None => return,
                }
            }
            Some(_) = works.join_next() => {}
            () = engine.sooner.notified() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}
