//! A suite on real machines whose test binary, warden or daemon is killed or stopped at random moments of its life.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use polder::lab::sweep;
use rustix::process::{Pid, Signal};

use crate::{arena, binary};

/// How long a life takes here at most; kills fall into the first part of it as well as into the last.
const LIFE: Duration = Duration::from_secs(14);
/// A binary that lost its lab collects what it can and ends.
const MOURNING: Duration = Duration::from_secs(30);
/// The longest deadline of a call to libvirt, and what is granted beyond it.
const HUNG: Duration = Duration::from_secs(22);

struct Life {
    binary: i32,
    folder: PathBuf,
    root: PathBuf,
}

impl Life {
    /// Starts the suite with folders of its own below `ground`.
    fn start(ground: &Path, number: u64) -> Self {
        let (root, folder) = (ground.join("labs"), ground.join(format!("out-{number}")));
        fs::create_dir_all(&folder).unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(std::env::var("POLDER_TEST_BINARY").unwrap());
        command.env("POLDER_RUNTIME_DIR", &root).env("POLDER_OUTPUT_DIR", &folder).env_remove("NEXTEST");
        let binary =
            arena::start(command.stdout(Stdio::from(log.try_clone().unwrap())).stderr(Stdio::from(log)));
        Self { binary, folder, root }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    fn is_over(&self) -> bool {
        arena::descendants().iter().all(|&(pid, _)| pid != self.binary)
    }
}

fn ground() -> PathBuf {
    PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap())
}

fn in_arena(test: &str) {
    let dir = tempfile::Builder::new().prefix("pl").tempdir_in("/var/tmp").unwrap();
    let vars = [
        ("POLDER_TEST_ROOT", dir.path().display().to_string()),
        ("POLDER_TEST_BINARY", binary::path("pair").display().to_string()),
    ];
    arena::in_own_process(test, &vars);
}

#[test]
#[ignore = "a process of `nothing_outlives_a_killed_suite`"]
fn kills_process() {
    arena::become_subreaper();
    let (rounds, mut dice) = arena::campaign(6);
    let (mut slowest, mut hits) = (Duration::ZERO, [0; 3]);
    for round in 0..rounds {
        let life = Life::start(&ground(), round);
        let moment = Duration::from_millis(dice.below(u64::try_from(LIFE.as_millis()).unwrap()));
        let start = Instant::now();
        while start.elapsed() < moment && !life.is_over() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let warden = arena::warden(life.binary);
        let victim = usize::try_from(round % 3).unwrap();
        let (name, survivor) = match (victim, warden) {
            (1, Some(warden)) => {
                arena::kill(warden);
                ("warden", Some(life.binary))
            }
            (2, Some(warden)) => {
                arena::kill(warden);
                arena::kill(life.binary);
                ("warden and binary", None)
            }
            _ => {
                arena::kill(life.binary);
                ("binary", None)
            }
        };
        hits[victim] += 1;
        let when = format!("round {round}, killed the {name} after {moment:?}");
        let took = arena::emptied_but(survivor, arena::LIMIT);
        let took = took.unwrap_or_else(|left| panic!("{when}: {left}\n{}", life.log()));
        slowest = slowest.max(took);
        if survivor.is_some() {
            arena::emptied_but(None, MOURNING)
                .unwrap_or_else(|left| panic!("{when}: {left}\n{}", life.log()));
        }
        sweep(&life.root).unwrap();
        let remains = arena::remains(&life.root);
        assert!(remains.is_empty(), "{when}: {remains:?}");
    }
    println!(
        "{rounds} kills (binary {}, warden {}, both {}): nothing left, slowest {} ms",
        hits[0],
        hits[1],
        hits[2],
        slowest.as_millis()
    );
}

#[test]
fn nothing_outlives_a_killed_suite() {
    in_arena("lives::kills_process");
}

/// The daemon of the lab below us, once it is there.
fn daemon(life: &Life) -> Option<i32> {
    // Not one that is only asked for its version.
    let serves = |pid: i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        !line.is_empty() && !String::from_utf8_lossy(&line).contains("--version")
    };
    let daemons = arena::descendants().into_iter().filter(|(_, name)| name == "libvirtd").map(|(pid, _)| pid);
    daemons.into_iter().find(|pid| serves(*pid)).or_else(|| {
        assert!(!life.is_over(), "it ended before its daemon was seen:\n{}", life.log());
        None
    })
}

#[test]
#[ignore = "a process of `a_suite_whose_daemon_hangs_ends`"]
fn hangs_process() {
    arena::become_subreaper();
    // Right when the daemon appears; while networks and domains are made; while machines boot; in a scenario.
    for (round, delay) in [0, 150, 1500].into_iter().map(Some).chain([None]).enumerate() {
        let life = Life::start(&ground(), u64::try_from(round).unwrap());
        let pid = loop {
            if let Some(pid) = daemon(&life) {
                break pid;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        match delay {
            Some(delay) => std::thread::sleep(Duration::from_millis(delay)),
            None => {
                while !life.log().contains("they_see_each_other") && !life.is_over() {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP);
        let took = arena::emptied_but(None, HUNG + Duration::from_secs(20));
        let took = took.unwrap_or_else(|left| panic!("stopped after {delay:?} ms: {left}\n{}", life.log()));
        let log = life.log();
        println!("daemon stopped {delay:?} ms after it appeared: ended after {:.1} s", took.as_secs_f64());
        match delay {
            // Scenarios need ssh alone: they go on, and the end of the lab needs nobody's help.
            None => assert!(log.contains("test result: ok"), "{log}"),
            Some(_) if log.contains("test result: ok") => {}
            Some(_) => {
                let said =
                    log.contains("libvirt did not ") || log.contains("start libvirtd: it did not listen");
                assert!(said, "it does not say what hung:\n{log}");
                assert!(took < HUNG, "stopped after {delay:?} ms, it took {took:?}:\n{log}");
            }
        }
        assert_eq!(arena::remains(&life.root), Vec::<String>::new());
    }
}

#[test]
fn a_suite_whose_daemon_hangs_ends() {
    in_arena("lives::hangs_process");
}
