//! Watching over machines while something else is done with them: their consoles for what the kernel says, and the journals
//! of those that have one for units and cores.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{
    Env, EnvError, Vm,
    emulator::{EmulatorLog, Losses},
    host::limits,
};
use crate::{
    base::{
        follow::{Follow, length},
        wait::{Deadline, Pauses},
    },
    event::Trouble,
    guest::{Command, Status},
    health::{
        Sighting,
        journal::{self, News, Said},
    },
    image::Ability,
    provider::libvirt::DomainState,
};

/// Between two looks at consoles, and at how machines are.
const PAUSE: Duration = Duration::from_millis(200);
const STATE_PAUSE: Duration = Duration::from_secs(1);
/// Until a journal that was lost is followed again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a journal may take until all is heard that had happened, when it is followed already and when that begins;
/// both are stretched by the time factor.
const HEARD: Duration = Duration::from_secs(2);
const BEGUN: Duration = Duration::from_secs(10);
/// Until a journal is nudged first and ever after, while it is waited for.
const NUDGE: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(250));

impl Vm {
    /// Says that from now on until the running step of the suite ends, this trouble is what is wanted of the machine: no
    /// scenario is blamed for it.
    pub fn expect(&self, trouble: Trouble) {
        self.tolerance().expected.insert(trouble);
    }

    /// Says that no scenario is ever blamed for this trouble of the machine.
    pub fn allow(&self, trouble: Trouble) {
        self.tolerance().allowed.insert(trouble);
    }
}

impl Env {
    /// As [`Vm::expect`], for all machines.
    pub fn expect(&self, trouble: Trouble) {
        self.vms().iter().for_each(|vm| vm.expect(trouble));
    }

    /// As [`Vm::allow`], for all machines.
    pub fn allow(&self, trouble: Trouble) {
        self.vms().iter().for_each(|vm| vm.allow(trouble));
    }

    /// Watches over all machines from now on; `told` hears of all trouble as soon as it is noticed, also of what was to be.
    pub async fn watch(&self, told: impl Fn(&Sighting) + Send + Sync + 'static) -> Watch {
        let factor = self.time_factor();
        let mut watched = Vec::new();
        for vm in self.vms() {
            let console = vm.spec().console.clone();
            let begin = length(&console).await;
            let heard = vm.spec().ssh.is_some() && vm.plan().abilities.has(Ability::Journal);
            let journal = heard.then(Journal::default);
            let emulator = EmulatorLog::of(&vm).await;
            watched.push(Watched {
                vm,
                emulator,
                console: tokio::sync::Mutex::new(Follow::new(console, begin)),
                panicked: AtomicBool::new(false),
                crashed: AtomicBool::new(false),
                journal,
            });
        }
        let eye = Arc::new(Eye {
            env: self.clone(),
            watched,
            told: Box::new(told),
            seen: Mutex::default(),
            losses: Losses::default(),
            looking: tokio::sync::Mutex::default(),
            begun: Instant::now(),
            factor,
        });
        let mut tasks = JoinSet::new();
        for (at, _) in eye.watched.iter().enumerate().filter(|(_, one)| one.journal.is_some()) {
            let eye = Arc::clone(&eye);
            tasks.spawn(async move { eye.follow(at).await });
        }
        eye.hear(BEGUN).await;
        let looking = Arc::clone(&eye);
        tasks.spawn(async move {
            loop {
                looking.look().await;
                tokio::time::sleep(PAUSE).await;
            }
        });
        let looking = Arc::clone(&eye);
        tasks.spawn(async move {
            loop {
                looking.look_for_crashed().await;
                tokio::time::sleep(STATE_PAUSE).await;
            }
        });
        Watch { eye, _tasks: tasks }
    }
}

/// Machines that are watched, until this is dropped.
pub struct Watch {
    eye: Arc<Eye>,
    _tasks: JoinSet<()>,
}

impl Watch {
    /// All trouble since this was asked last; what had happened until now is among it, as far as machines answer. What was
    /// expected is not expected any more.
    pub async fn settle(&self) -> Vec<Sighting> {
        self.eye.look_for_crashed().await;
        self.eye.hear(HEARD).await;
        for Watched { vm, .. } in &self.eye.watched {
            vm.tolerance().expected.clear();
        }
        std::mem::take(&mut self.eye.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at once for what [`Watch::failure`] tells.
    pub async fn look_for_lost(&self) -> Option<EnvError> {
        self.eye.look_for_crashed().await;
        self.failure()
    }

    /// The first machine whose emulator died although nobody ended it, and that does not run again.
    #[must_use]
    pub fn failure(&self) -> Option<EnvError> {
        self.eye.losses.first()
    }

    /// Comes back only when there is such a machine.
    pub async fn lost(&self) -> EnvError {
        self.eye.losses.any().await
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch({} machines)", self.eye.watched.len())
    }
}

/// Who watches.
struct Eye {
    env: Env,
    watched: Vec<Watched>,
    told: Box<dyn Fn(&Sighting) + Send + Sync>,
    seen: Mutex<Vec<Sighting>>,
    losses: Losses,
    /// Held by who looks how machines are.
    looking: tokio::sync::Mutex<()>,
    begun: Instant,
    factor: f64,
}

struct Watched {
    vm: Vm,
    emulator: EmulatorLog,
    console: tokio::sync::Mutex<Follow>,
    /// Whether the panic is told that its emulator knows of, or will.
    panicked: AtomicBool,
    /// Whether its emulator knew of one.
    crashed: AtomicBool,
    journal: Option<Journal>,
}

/// A journal that is followed.
struct Journal {
    /// The way to who follows it; replaced when that is lost.
    line: Mutex<Option<mpsc::Sender<std::io::Result<Vec<u8>>>>>,
    /// The first mark. Those below it are others': who has followed this journal before what the machine goes on from.
    first: u64,
    /// The next mark that is asked for.
    asked: AtomicU64,
    course: watch::Sender<Course>,
    /// Whether it did not answer in time: it is not waited for again before it is heard.
    deaf: AtomicBool,
}

/// How far a journal is followed.
#[derive(Debug, Clone, Copy)]
struct Course {
    /// The last mark that was heard.
    heard: u64,
    /// Whether somebody follows it, or is about to.
    followed: bool,
}

impl Eye {
    fn see(&self, vm: &Vm, trouble: Trouble, text: String) {
        let expected = vm.tolerance().covers(trouble);
        let sighting = Sighting { machine: vm.name().clone(), trouble, text, expected };
        (self.told)(&sighting);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(sighting);
    }

    /// Looks at all consoles.
    async fn look(&self) {
        for Watched { vm, console, panicked, journal, .. } in &self.watched {
            for line in console.lock().await.lines().await {
                match Trouble::of_kernel(&line) {
                    // A journal has it as well.
                    Some(Trouble::CoreDump) if journal.is_some() => {}
                    Some(trouble) => {
                        panicked.fetch_or(trouble == Trouble::Panic, Ordering::Relaxed);
                        self.see(vm, trouble, line);
                    }
                    None => {}
                }
            }
        }
    }

    /// Looks for machines that ended unasked, and for those whose kernels have panicked without a word: some are stopped
    /// before their consoles have it.
    async fn look_for_crashed(&self) {
        let Ok(running) = self.env.site().running() else { return self.look().await };
        // One at a time: what one has found lost, another one that asked before would find running.
        let _one = self.looking.lock().await;
        let mut died = BTreeSet::new();
        for Watched { vm, emulator, .. } in &self.watched {
            if emulator.died().await {
                died.insert(vm.name());
            }
        }
        let ask = async || {
            // One that hangs is found out before what may take as long as a domain needs to start.
            running.connection.answers(limits::COMMAND).await?;
            running.connection.domains(self.env.scaled(limits::DOMAIN)).await
        };
        let mut states = ask().await.unwrap_or_default();
        let is_running = |one: &Watched| states.get(one.vm.domain()) == Some(&DomainState::Running);
        if self.watched.iter().any(|one| died.contains(one.vm.name()) && is_running(one)) {
            // Either libvirt is not done with its end yet, or somebody has started it again.
            tokio::time::sleep(PAUSE).await;
            states = ask().await.unwrap_or_default();
        }
        // What consoles say tells more.
        self.look().await;
        for Watched { vm, panicked, crashed, .. } in &self.watched {
            self.losses.note(vm.name(), died.contains(vm.name()), states.get(vm.domain()));
            let is_crashed = states.get(vm.domain()) == Some(&DomainState::Crashed);
            if is_crashed && !panicked.swap(true, Ordering::Relaxed) {
                self.see(vm, Trouble::Panic, "it has crashed, and its console does not say why".to_owned());
            }
            if crashed.swap(is_crashed, Ordering::Relaxed) && !is_crashed {
                panicked.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Waits until all is heard that journals have by now, of machines that can be asked.
    async fn hear(&self, limit: Duration) {
        let mut asked = Vec::new();
        for one in &self.watched {
            let Some(journal) = one.journal.as_ref().filter(|journal| !journal.deaf.load(Ordering::Relaxed))
            else {
                continue;
            };
            if one.vm.is_connected().await {
                journal.course.send_modify(|course| course.followed = true);
                asked.push((journal, journal.ask()));
            }
        }
        let deadline = Deadline::within(limit.mul_f64(self.factor));
        let is_over = |mark: u64, course: &Course| course.heard >= mark || !course.followed;
        let heard = async {
            for (journal, mark) in &asked {
                let mut course = journal.course.subscribe();
                let all = course.wait_for(|course| is_over(*mark, course));
                if tokio::time::timeout(deadline.left(), all).await.is_err() {
                    journal.deaf.store(true, Ordering::Relaxed);
                }
            }
        };
        let nudge = async {
            let mut pauses = Pauses::between(NUDGE.0, NUDGE.1);
            while !deadline.passed() {
                pauses.pause(deadline).await;
                let late = asked.iter().filter(|(journal, mark)| !is_over(*mark, &journal.course.borrow()));
                late.for_each(|(journal, _)| journal.write("\n"));
            }
            std::future::pending().await
        };
        tokio::select! {
            () = heard => {}
            () = nudge => {}
        }
    }

    /// Follows a journal for as long as there is one, each time from where it was lost. Makes no connection of its own: who
    /// fails to make one disturbs those who wait for the same.
    async fn follow(&self, at: usize) {
        let Some(Watched { vm, journal: Some(journal), .. }) = self.watched.get(at) else { return };
        loop {
            let connected = vm.is_connected().await;
            journal.course.send_modify(|course| course.followed = connected);
            if connected && self.follow_once(vm, journal).await == Some(journal::ABSENT) {
                journal.deaf.store(true, Ordering::Relaxed);
                journal.course.send_modify(|course| course.followed = false);
                return;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Follows a journal until it is lost; the status with which that ended, where it has one.
    async fn follow_once(&self, vm: &Vm, journal: &Journal) -> Option<i32> {
        let (line, input) = mpsc::channel(64);
        let (output, mut chunks) = mpsc::channel(64);
        *journal.line.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        // What waits for a mark that was asked of the former hears this one.
        journal.ask();
        let cursor = vm.heard().clone();
        let (script, args) = journal::follow(cursor.as_deref());
        let goes_on = cursor.is_some() && journal.course.borrow().heard > 0;
        let mut news =
            if goes_on { News::all(journal.first) } else { News::since(self.begun.elapsed(), journal.first) };
        let command = Command::script(script).args(args);
        let read = async {
            let mut rest = Vec::new();
            while let Some(Ok(chunk)) = chunks.recv().await {
                rest.extend(chunk);
                while let Some(end) = rest.iter().position(|&b| b == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    let line = journal::read(&String::from_utf8_lossy(&line));
                    journal.deaf.store(false, Ordering::Relaxed);
                    let place = line.cursor.clone();
                    news.of(line).into_iter().for_each(|said| self.hear_one(vm, journal, said));
                    // What comes before the first mark is read once more where that does not come.
                    if place.is_some() && journal.course.borrow().heard > 0 {
                        *vm.heard() = place;
                    }
                }
            }
        };
        match tokio::join!(vm.follow(&command, input, output), read) {
            (Ok(Status::Code(code)), ()) => Some(code),
            _ => None,
        }
    }

    fn hear_one(&self, vm: &Vm, journal: &Journal, said: Said) {
        match said {
            Said::Mark(mark) => journal.course.send_modify(|course| course.heard = mark),
            Said::Trouble(trouble, text) => self.see(vm, trouble, text),
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        let course = watch::Sender::new(Course { heard: 0, followed: true });
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let first = u64::try_from(now.as_micros()).unwrap_or_default();
        Self {
            line: Mutex::default(),
            first,
            asked: AtomicU64::new(first),
            course,
            deaf: AtomicBool::new(false),
        }
    }
}

impl Journal {
    /// Has another mark written, and says which.
    fn ask(&self) -> u64 {
        let mark = self.asked.fetch_add(1, Ordering::Relaxed);
        self.write(&format!("{mark}\n"));
        mark
    }

    fn write(&self, text: &str) {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = line.map(|line| line.try_send(Ok(text.as_bytes().to_vec())));
        // Nobody is there to write it: when somebody is, a later one is written.
        let _ = sent;
    }
}
