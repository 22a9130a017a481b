//! What is done to a running environment and set back again: guards, each of which heals when it is dropped, and machines
//! kept apart. What is done to machines is in `mishap.rs`, to links in `link.rs`.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, task::JoinHandle};
use tracing::{Instrument, Span};

use super::{
    Env, EnvError, Vm,
    error::{chain, file},
    host::limits,
};
use crate::{
    base::{
        dial::BoxFuture,
        process::{self, ProcessError},
        random::Seeds,
    },
    lab::keeper::{
        Kept, keep,
        spec::{Keep, outer_port},
    },
    trace::FAULT,
};

/// Something wrong that was asked for; it is recorded with the run. It heals when this is dropped: that begins at once, and
/// a suite waits for its end before it judges the scenario; [`Fault::heal`] waits itself. When this process dies, a process
/// in the lab heals what was done to links; everything else stays until the machine or the lab ends.
#[must_use = "it heals when this is dropped"]
pub struct Fault {
    number: u64,
    what: Told,
    /// Sets it back; absent: it is set back.
    undo: Option<Undo>,
    healing: Healing,
    /// Where it is set back when this is dropped, by whatever thread.
    runtime: Handle,
}

/// What is told of a fault.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// What is wrong, in words.
    pub(super) what: String,
    /// With which machine, or at whose link.
    pub(super) machine: Option<String>,
    /// Where chance begins, if it has a part in it.
    pub(super) seed: Option<u64>,
}

type Undo = BoxFuture<'static, Result<(), EnvError>>;

impl Fault {
    /// Notes what is wrong now, and how it is set back.
    pub(super) fn new(
        what: Told,
        healing: &Healing,
        undo: impl Future<Output = Result<(), EnvError>> + Send + 'static,
    ) -> Self {
        tracing::info!(target: FAULT, machine = what.machine, seed = what.seed, "{}", what.what);
        let number = healing.begin(&what.what);
        Self {
            number,
            what,
            undo: Some(Box::pin(undo)),
            healing: healing.clone(),
            runtime: Handle::current(),
        }
    }

    /// What is wrong, in words.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what.what
    }

    /// Where chance begins, if it has a part in it: the same numbers are the same losses.
    #[must_use]
    pub fn seed(&self) -> Option<u64> {
        self.what.seed
    }

    /// Sets everything back and waits until it is.
    ///
    /// # Errors
    /// It could not be set back.
    pub async fn heal(mut self) -> Result<(), EnvError> {
        let result = match self.undo.as_mut() {
            Some(undo) => undo.await,
            None => Ok(()),
        };
        self.undo = None;
        self.healing.end(self.number);
        over(&self.what, &result);
        result
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let Some(mut undo) = self.undo.take() else { return };
        self.healing.end(self.number);
        let _inside = self.runtime.enter();
        // Its first step is taken here, so that what is done next comes after it.
        let first = undo.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let what = std::mem::take(&mut self.what);
        let rest = async move {
            let result = match first {
                Poll::Ready(result) => result,
                Poll::Pending => undo.await,
            };
            over(&what, &result);
            result
        };
        self.healing.add(self.runtime.spawn(rest.instrument(Span::current())));
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({})", self.what.what)
    }
}

fn over(told: &Told, result: &Result<(), EnvError>) {
    let Told { what, machine, seed } = told;
    match result {
        Ok(()) => tracing::info!(target: FAULT, machine, seed, "no longer: {what}"),
        Err(error) => {
            tracing::error!(target: FAULT, machine, seed, "could not be set back: {what}: {}", chain(error));
        }
    }
}

/// What is wrong with an environment, and what of it is being set back since its faults were dropped; clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Healing(Arc<Mutex<Wrong>>);

#[derive(Debug, Default)]
struct Wrong {
    /// Faults that somebody holds, or has forgotten: what they are, and since when.
    held: BTreeMap<u64, (String, Instant)>,
    tasks: Vec<Task>,
    last: u64,
}

type Task = JoinHandle<Result<(), EnvError>>;

impl Healing {
    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, what: &str) -> u64 {
        let mut wrong = self.wrong();
        wrong.last += 1;
        let number = wrong.last;
        wrong.held.insert(number, (what.to_owned(), Instant::now()));
        number
    }

    fn end(&self, number: u64) {
        self.wrong().held.remove(&number);
    }

    fn add(&self, task: Task) {
        self.wrong().tasks.push(task);
    }

    async fn wait(&self) -> Result<(), EnvError> {
        let tasks = std::mem::take(&mut self.wrong().tasks);
        let mut errors = Vec::new();
        for task in tasks {
            // One that panicked or was ended with its runtime says nothing.
            errors.extend(task.await.ok().and_then(Result::err));
        }
        EnvError::all(errors)
    }
}

impl Env {
    /// Faults that nobody has set back or dropped, and how long they have been there.
    #[must_use]
    pub fn unhealed(&self) -> Vec<(String, Duration)> {
        let wrong = self.site().healing().wrong();
        wrong.held.values().map(|(what, since)| (what.clone(), since.elapsed())).collect()
    }

    /// Says where the seeds of faults are from, from now on.
    pub(crate) fn seed(&self, seeds: Seeds) {
        self.site().seed(seeds);
    }

    /// Waits until everything is set back whose fault was dropped.
    ///
    /// # Errors
    /// What could not be set back since this was called last.
    pub async fn healed(&self) -> Result<(), EnvError> {
        self.site().healing().wait().await
    }
}

/// Packets on their way into a file, until this is dropped. [`Capture::stop`] waits until all of them are there.
#[derive(Debug)]
#[must_use = "it stops when this is dropped"]
pub struct Capture {
    kept: Kept,
    path: PathBuf,
}

impl Capture {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stops it, and returns the file, complete.
    ///
    /// # Errors
    /// It did not stop in time.
    pub async fn stop(self) -> Result<PathBuf, EnvError> {
        self.kept.release().await?;
        Ok(self.path)
    }
}

/// Captures what crosses an interface.
pub(super) async fn capture(env: &Env, interface: &str, path: &Path) -> Result<Capture, EnvError> {
    let running = env.site().running()?;
    let out = std::fs::File::create(path).map_err(file("write", path))?;
    let asked = Keep::Capture { interface: interface.to_owned() };
    let kept = keep(&*running.lab, &asked, Some(out.into())).await?;
    Ok(Capture { kept, path: path.to_owned() })
}

impl Env {
    /// Keeps groups of machines apart: no frame of a machine reaches one of another group, on whatever net. Machines in no
    /// group reach everybody, and everybody reaches the nets' gateways. Partitions add up, and hold when machines are
    /// started again; NICs that are attached later are not part of them.
    ///
    /// # Errors
    /// The environment is not started, or the rules cannot be set.
    pub async fn partition(&self, groups: &[&[&Vm]]) -> Result<Fault, EnvError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let running = self.site().running()?;
        let ports: Vec<Vec<String>> = groups.iter().map(|group| self.ports(group)).collect();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let table = format!("{}{}-{number}", tables_of(&self.state().uuid), std::process::id());
        let asked = Keep::Hold {
            before: vec![vec!["nft".to_owned(), partition_rules(&table, &ports)]],
            after: vec![["nft", "delete", "table", "bridge", &table].map(str::to_owned).into()],
        };
        let kept = keep(&*running.lab, &asked, None).await?;
        let apart: Vec<String> = groups.iter().map(|group| names(group)).collect();
        let what = format!("machines are kept apart: {}", apart.join(" | "));
        let told = Told { what, ..Told::default() };
        Ok(Fault::new(told, self.site().healing(), async move { Ok(kept.release().await?) }))
    }

    /// The interfaces at the host's ends of machines' cables, in whatever way they are plugged in.
    fn ports(&self, group: &[&Vm]) -> Vec<String> {
        let attached = self.state().attached;
        let nics = group.iter().flat_map(|vm| {
            let attached = attached.get(vm.name()).into_iter().flatten();
            vm.plan().nics.iter().chain(attached)
        });
        nics.flat_map(|nic| [nic.tap.clone(), outer_port(&nic.tap)]).collect()
    }
}

fn names(group: &[&Vm]) -> String {
    group.iter().map(|vm| vm.name().as_str()).collect::<Vec<_>>().join(", ")
}

/// How the names of an environment's tables begin: on a host that others use, they are found by that.
fn tables_of(uuid: &str) -> String {
    format!("polder-{}-", uuid.get(..8).unwrap_or(uuid))
}

/// Removes the rules of an environment that nobody was left to remove, and says how many tables that were.
pub(super) async fn clear(uuid: &str) -> Result<usize, EnvError> {
    let mut cleared = 0;
    for table in partitions().await.into_iter().filter(|table| table.starts_with(&tables_of(uuid))) {
        forget_partition(&table).await?;
        cleared += 1;
    }
    Ok(cleared)
}

/// The tables of rules by which machines on this host are kept apart, of all environments: their names are `polder-`, the
/// beginning of the environment's id, the process that asked for it, and a number.
pub(crate) async fn partitions() -> Vec<String> {
    // Who may not look at rules, or lacks the program, has made none.
    let listed = process::stdout(&["nft", "list", "tables", "bridge"], limits::COMMAND).await;
    let listed = listed.unwrap_or_default();
    let names = listed.lines().filter_map(|line| line.strip_prefix("table bridge "));
    names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("polder-")).collect()
}

/// Removes such a table.
pub(crate) async fn forget_partition(table: &str) -> Result<(), ProcessError> {
    process::stdout(&["nft", "delete", "table", "bridge", table], limits::COMMAND).await.map(drop)
}

/// A table of rules by which what comes from one group does not go to another one.
fn partition_rules(table: &str, groups: &[Vec<String>]) -> String {
    let list = |ports: &[String]| {
        let quoted: Vec<String> = ports.iter().map(|port| format!("\"{port}\"")).collect();
        format!("{{ {} }}", quoted.join(", "))
    };
    let mut rules = String::new();
    for (i, from) in groups.iter().enumerate().filter(|(_, from)| !from.is_empty()) {
        let others = groups.iter().enumerate().filter(|(j, _)| *j != i);
        let others: Vec<String> = others.flat_map(|(_, ports)| ports.iter().cloned()).collect();
        if !others.is_empty() {
            rules += &format!("iifname {} oifname {} drop; ", list(from), list(&others));
        }
    }
    format!(
        "table bridge {table} {{ chain forward {{ type filter hook forward priority filter; policy accept; {rules}}}; }}"
    )
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicBool, time::Duration};

    use super::*;

    fn rain() -> Told {
        Told { what: "it rains".to_owned(), ..Told::default() }
    }

    /// A fault that is set back after a moment, and whether it is.
    fn fault(healing: &Healing) -> (Fault, Arc<AtomicBool>) {
        let over = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&over);
        let undo = async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            set.store(true, Ordering::Relaxed);
            Ok(())
        };
        (Fault::new(rain(), healing, undo), over)
    }

    #[tokio::test]
    async fn who_waits_finds_what_was_dropped_healed() {
        let healing = Healing::default();
        let (dropped, over) = fault(&healing);
        // By a thread that knows no runtime.
        std::thread::spawn(move || drop(dropped)).join().unwrap();
        assert!(!over.load(Ordering::Relaxed));
        healing.wait().await.unwrap();
        assert!(over.load(Ordering::Relaxed));

        let (given_up, over) = fault(&healing);
        assert!(tokio::time::timeout(Duration::from_millis(5), given_up.heal()).await.is_err());
        healing.wait().await.unwrap();
        assert!(over.load(Ordering::Relaxed), "it heals also when nobody waits for it any more");
    }

    #[tokio::test]
    async fn what_cannot_be_set_back_is_told_once() {
        let healing = Healing::default();
        drop(Fault::new(rain(), &healing, async { Err(EnvError::NotStarted) }));
        assert!(healing.wait().await.is_err());
        healing.wait().await.unwrap();
    }

    #[test]
    fn every_group_is_kept_from_every_other() {
        let groups =
            [vec!["a".to_owned(), "b".to_owned()], vec![], vec!["c".to_owned()], vec!["d".to_owned()]];
        insta::assert_snapshot!(partition_rules("t", &groups), @r#"table bridge t { chain forward { type filter hook forward priority filter; policy accept; iifname { "a", "b" } oifname { "c", "d" } drop; iifname { "c" } oifname { "a", "b", "d" } drop; iifname { "d" } oifname { "a", "b", "c" } drop; }; }"#);
        assert!(!partition_rules("t", &groups[..2]).contains("drop"), "there is nobody to be kept from");
    }
}
