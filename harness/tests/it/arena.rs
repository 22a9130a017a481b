//! A process that plays host for kill tests: as subreaper it inherits whatever its victims leave, so that "nothing is
//! left" is a question about its own descendants and nobody else's.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions};

/// How long anything may take to vanish after a kill.
pub(crate) const LIMIT: Duration = Duration::from_secs(2);

/// Runs one of this binary's ignored tests as a process of its own, with the output passed on.
pub(crate) fn in_own_process(test: &str, vars: &[(&str, String)]) {
    let status = ours(test, vars).status().unwrap();
    assert!(status.success(), "{test} failed");
}

/// The command that runs one of this binary's ignored tests.
pub(crate) fn ours(test: &str, vars: &[(&str, String)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", test, "--nocapture", "--quiet"])
        .envs(vars.iter().map(|(k, v)| (k, v)));
    command
}

/// Rounds and seed of a campaign: a sample by default, the whole of it in a soak.
pub(crate) fn campaign(rounds: u64) -> (u64, Dice) {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    let seed = number("POLDER_SOAK_SEED").unwrap_or(20_261_121);
    let rounds = number("POLDER_SOAK_ROUNDS").unwrap_or(rounds);
    eprintln!("{rounds} rounds, seed {seed}");
    (rounds, Dice(seed))
}

/// Reproducible chance (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The most memory this process has had at once until now, in MiB.
pub(crate) fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.unwrap().parse::<u64>().unwrap() >> 10
}

/// Makes this process the one to which orphans fall.
pub(crate) fn become_subreaper() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
}

/// Starts a victim and returns its number; the subreaper reaps it with everything else.
pub(crate) fn start(command: &mut Command) -> i32 {
    i32::try_from(command.stdin(Stdio::null()).spawn().unwrap().id()).unwrap()
}

/// Parent of every process of this host.
fn parents() -> BTreeMap<i32, i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect()
}

/// Children of a process.
pub(crate) fn children(of: i32) -> Vec<i32> {
    parents().into_iter().filter(|&(_, parent)| parent == of).map(|(pid, _)| pid).collect()
}

/// The warden below an owner, if it is there already.
pub(crate) fn warden(owner: i32) -> Option<i32> {
    let is_warden =
        |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.starts_with(b"polder-warden"));
    children(owner).into_iter().find(is_warden)
}

/// Process 1 below a warden, if it is there already: the child that is number 1 in a process namespace.
pub(crate) fn process1(warden: i32) -> Option<i32> {
    let is_first = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|l| l.starts_with("NSpid:") && l.ends_with("\t1"))
    };
    children(warden).into_iter().find(is_first)
}

/// Sends SIGKILL.
pub(crate) fn kill(pid: i32) {
    let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}

/// What is alive below this process, as (number, command).
pub(crate) fn descendants() -> Vec<(i32, String)> {
    let parents = parents();
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let below = |mut pid: i32| {
        while let Some(&parent) = parents.get(&pid) {
            if parent == me {
                return true;
            }
            pid = parent;
        }
        false
    };
    let name =
        |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    parents.keys().filter(|&&pid| below(pid)).map(|&pid| (pid, name(pid))).collect()
}

/// Every process below `root`; without one, every process there is to be seen.
pub(crate) fn all_below(root: Option<i32>) -> Vec<i32> {
    let parents = parents();
    let below = |mut pid: i32| {
        while let Some(&parent) = parents.get(&pid) {
            if Some(parent) == root {
                return true;
            }
            pid = parent;
        }
        root.is_none()
    };
    parents.keys().copied().filter(|&pid| below(pid)).collect()
}

/// Waits until nothing is alive below this process, reaping on the way.
///
/// Returns how long it took, or what is still there after [`LIMIT`].
pub(crate) fn emptied() -> Result<Duration, String> {
    emptied_but(None, LIMIT)
}

/// As [`emptied`], with another limit, and not minding the process `but`.
pub(crate) fn emptied_but(but: Option<i32>, limit: Duration) -> Result<Duration, String> {
    let start = Instant::now();
    loop {
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        let mut left = descendants();
        left.retain(|&(pid, _)| Some(pid) != but);
        if left.is_empty() {
            return Ok(start.elapsed());
        }
        if start.elapsed() > limit {
            return Err(format!("still alive after {limit:?}: {left:?}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What labs left below `root`: folders, and mounts of this process's own view.
pub(crate) fn remains(root: &Path) -> Vec<String> {
    let folders = fs::read_dir(root).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir());
    let mut found: Vec<String> = folders.map(|p: PathBuf| p.display().to_string()).collect();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = root.display().to_string();
    found.extend(mounts.lines().filter(|line| line.contains(&root)).map(str::to_owned));
    found
}
