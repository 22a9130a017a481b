//! SIGKILL at random moments over everyone who could clean up: nothing of a lab remains.

use std::{path::PathBuf, process::Stdio, time::Duration};

use polder::lab::{Hermetic, Lab, LabHost, LabSpec, LabState, Payload, sweep};

use crate::arena;

fn host() -> LabHost {
    let root = PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    LabHost { cache: root.clone(), root, launcher: std::env::current_exe().unwrap() }
}

/// Owns a lab in which something sleeps; ends when the lab does.
#[test]
#[ignore = "a process of `labs_leave_nothing_whoever_is_killed`"]
fn owner() {
    let host = host();
    let argv = vec!["sleep".to_owned(), "1000".to_owned()];
    let payload = Payload::Command { argv, env: vec![], log: None, offline: true };
    let spec = LabSpec { payload, env: None, binds: vec![] };
    // The lab is started by a thread that ends at once: a lab belongs to the process.
    let start = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Hermetic::start(&host, spec, Duration::from_secs(20)))
    };
    let Ok(lab) = std::thread::spawn(start).join().unwrap() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut state = lab.state();
        let _ = state.wait_for(|s| *s != LabState::Running).await;
        let _ = lab.end(Duration::from_secs(2)).await;
    });
}

#[test]
#[ignore = "a process of `labs_leave_nothing_whoever_is_killed`"]
fn arena_process() {
    arena::become_subreaper();
    let root = host().root;
    let (rounds, mut dice) = arena::campaign(40);
    let (mut slowest, mut hits) = (Duration::ZERO, [0; 5]);
    for round in 0..rounds {
        let mut command = arena::ours("kills::owner", &[]);
        let owner = arena::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        std::thread::sleep(Duration::from_micros(dice.below(60_000)));
        let warden = arena::warden(owner);
        let process1 = warden.and_then(arena::process1);
        let victim = dice.below(5);
        let name = match (victim, warden, process1) {
            (0, ..) | (_, None, _) => {
                arena::kill(owner);
                hits[0] += 1;
                "owner"
            }
            (1, Some(warden), _) => {
                arena::kill(warden);
                hits[1] += 1;
                "warden"
            }
            (2, _, Some(process1)) => {
                arena::kill(process1);
                hits[2] += 1;
                "process 1"
            }
            (3, Some(warden), _) => {
                arena::kill(warden);
                arena::kill(owner);
                hits[3] += 1;
                "warden and owner"
            }
            (_, Some(warden), _) => {
                arena::kill(owner);
                arena::kill(warden);
                hits[4] += 1;
                "owner and warden"
            }
        };
        let took = arena::emptied().unwrap_or_else(|left| panic!("round {round}, killed {name}: {left}"));
        slowest = slowest.max(took);
        if name.contains("and") {
            sweep(&root).unwrap(); // nobody was left to do it: the next start does
        }
        let remains = arena::remains(&root);
        assert!(remains.is_empty(), "round {round}, killed {name}: {remains:?}");
    }
    println!(
        "{rounds} kills (owner {}, warden {}, process 1 {}, warden+owner {}, owner+warden {}): nothing left, slowest {} ms",
        hits[0],
        hits[1],
        hits[2],
        hits[3],
        hits[4],
        slowest.as_millis()
    );
}

#[test]
fn labs_leave_nothing_whoever_is_killed() {
    let dir = tempfile::Builder::new().prefix("pk").tempdir_in("/var/tmp").unwrap();
    let root = dir.path().display().to_string();
    arena::in_own_process("kills::arena_process", &[("POLDER_TEST_ROOT", root)]);
}
