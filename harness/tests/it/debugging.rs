//! Looking into what failed: suites that stand still until somebody at a terminal says to go on, what stays of portals, and
//! choices by chance that are made again.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use polder::base::random::Seeds;
use serde_json::Value;

use crate::{
    binary::{path, run, start_with},
    portal::Served,
};

const POLDER: &str = env!("CARGO_BIN_EXE_polder");
/// A machine has to come up in it.
const LIMIT: Duration = Duration::from_secs(180);

/// A command at a terminal, which util-linux's `script` makes.
struct Desk {
    child: Child,
    keys: Option<ChildStdin>,
    printed: Arc<Mutex<Vec<u8>>>,
}

impl Desk {
    fn open(line: &str, folder: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new("script");
        let line = format!("echo pid $$; exec {line}");
        command.args(["-q", "-e", "-f", "-c", &line, "/dev/null"]).current_dir(folder).env_remove("NEXTEST");
        command.env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped());
        prepare(&mut command);
        let mut child = command.spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&printed);
        std::thread::spawn(move || {
            let mut piece = [0; 1024];
            while let Ok(read @ 1..) = out.read(&mut piece) {
                all.lock().unwrap().extend(&piece[..read]);
            }
        });
        Self { keys: child.stdin.take(), child, printed }
    }

    /// A suite binary that stands still at failures; its runs are in `folder/polder`.
    fn suites(filter: &str, folder: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        let line = format!("{} {filter} --test-threads=3 --color=never", path("debugged").display());
        Self::open(&line, folder, |command| {
            command.env("POLDER_PAUSE", "failed").env("POLDER_OUTPUT_DIR", folder.join("polder"));
            prepare(command);
        })
    }

    fn press(&mut self, keys: &str) {
        self.keys.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock().unwrap()).into_owned()
    }

    fn see(&self, words: &str) -> String {
        let start = Instant::now();
        while !self.text().contains(words) {
            assert!(start.elapsed() < LIMIT, "no `{words}` in {}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.text()
    }

    fn pid(&self) -> rustix::process::Pid {
        let text = self.see("\n");
        let number = text.split_once("pid ").unwrap().1.split_whitespace().next().unwrap().to_owned();
        rustix::process::Pid::from_raw(number.parse().unwrap()).unwrap()
    }

    /// Its exit code, and all it said.
    fn end(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < LIMIT, "it does not end: {}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        };
        std::thread::sleep(Duration::from_millis(100));
        (status.code(), self.text())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // What runs at a terminal ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn polder(folder: &Path, args: &[&str]) -> (bool, String) {
    let ran = Command::new(POLDER).args(args).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &*String::from_utf8_lossy(&ran.stderr);
    (ran.status.success(), said)
}

fn events(folder: &Path, kind: &str) -> Vec<Value> {
    let lines = fs::read_to_string(folder.join("polder/latest/events.jsonl")).unwrap();
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].take());
    events.filter(|event| event["kind"] == kind).collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("pd").tempdir_in("/var/tmp").unwrap()
}

#[test]
fn a_suite_stands_still_with_its_machines_goes_on_and_leaves_them() {
    let folder = folder();
    let mut desk = Desk::suites("debugged::", folder.path(), |command| {
        command.env("POLDER_KEEP", "failed").env("POLDER_SEED", "11");
    });
    let said = desk.see("Enter goes on, q and Enter ends the run");
    let suite = folder.path().join("polder/latest").canonicalize().unwrap().join("debugged");
    let cd = format!("cd {}", suite.display());
    for words in [&cd, "`breaks` failed", "polder shell only", "polder console only", "less breaks/log.txt"] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    // It is an environment like any other for whoever comes from another terminal.
    assert_eq!(polder(&suite, &["exec", "only", "--", "cat", "/root/mark"]), (true, "only changed\n".into()));
    let (_, status) = polder(&suite, &["status"]);
    assert!(status.contains("running"), "{status}");
    let (seen, told) = polder(&suite, &["exec", "only", "--", "touch", "/root/seen"]);
    assert!(seen, "{told}");
    let way = suite.join("portal.env");
    let line = format!(". {}; exec {POLDER} cvp configlets", way.display());
    let asked = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
    let configlets = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(configlets.contains("polder-debugged-") && configlets.contains("-ntp"), "{asked:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&way).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "the portal's password is in it");
    desk.press("\r");
    let (code, said) = desk.end();
    assert!(said.contains("debugged::goes_on ... ok"), "{said}");
    assert_eq!(code, Some(101), "{said}");
    assert!(!way.exists() && !suite.join("portal-ca.pem").exists());
    let paused = &events(folder.path(), "paused")[0];
    assert_eq!((&paused["scenario"], &paused["machines"]), (&"breaks".into(), &serde_json::json!(["only"])));
    assert_eq!(events(folder.path(), "resumed").len(), 1);
    // What is done to machines by chance has a seed of the run, and its events say with which machine.
    let faults = events(folder.path(), "fault");
    let seed = Seeds::new(11, &["debugged", "goes_on", "1"]).next();
    assert!(faults.len() == 2 && faults.iter().all(|fault| fault["seed"] == seed), "{seed}: {faults:?}");
    assert!(faults.iter().all(|fault| fault["machine"] == "only"), "{faults:?}");

    // Afterwards machines and portal stay: the change is undone, what the portal knew is as the suite left it.
    assert!(!polder(&suite, &["exec", "only", "--", "cat", "/root/mark"]).0);
    let kept = &events(folder.path(), "portal_kept")[0];
    assert_eq!(kept["state"], suite.join("portal.json").display().to_string());
    let run = suite.parent().unwrap().display().to_string();
    let (entered, told) = polder(&suite, &["enter", &run]);
    assert!(
        !entered && told.contains("name a machine (only)") && told.contains("polder cvp serve --state"),
        "{told}"
    );
    let (_, told) = polder(&suite, &["-f", "json", "enter", &run]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["portal"], kept["state"]);
    let mut desk = Desk::open(&format!("{POLDER} enter {run}"), folder.path(), |_| {});
    desk.see("as the suite left it");
    desk.press(&format!("{POLDER} cvp configlets; echo seen $?\r"));
    let said = desk.see("seen 0");
    assert!(said.contains("portal: https://127.0.0.1:") && said.contains("-ntp"), "{said}");
    desk.press("exit\r");
    desk.end();
    let (destroyed, told) = polder(&suite, &["destroy", "--yes"]);
    assert!(destroyed, "{told}");
}

#[test]
fn others_go_on_no_limit_runs_on_and_one_is_asked_after_the_other() {
    let folder = folder();
    let mut desk = Desk::suites("limited also beside", folder.path(), |_| {});
    desk.see("beside::passes ... ok");
    desk.see("stands still");
    std::thread::sleep(Duration::from_millis(2_500));
    let asked = |said: &str| said.matches("Enter goes on").count();
    assert_eq!(asked(&desk.text()), 1, "{}", desk.text());
    desk.press("\r");
    desk.see("goes on, after it stood still");
    let start = Instant::now();
    while asked(&desk.text()) < 2 {
        assert!(start.elapsed() < LIMIT, "{}", desk.text());
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    desk.press("\r");
    let (code, said) = desk.end();
    assert!(said.contains("limited::goes_on ... ok"), "its two seconds were over: {said}");
    assert_eq!(code, Some(101));
}

#[test]
fn q_and_a_signal_end_the_run_instead() {
    for keys in ["q\r", "\x03"] {
        let folder = folder();
        let mut desk = Desk::suites("limited", folder.path(), |_| {});
        desk.see("q and Enter ends the run");
        desk.press(keys);
        let (code, said) = desk.end();
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("limited::goes_on ... not run: stopped by the operator"), "{said}");
    }
}

#[test]
fn where_nobody_can_be_asked_or_the_word_says_nothing_nothing_starts() {
    let refused = |value: &str, words: &str| {
        let ran = start_with("debugged", &["limited"], |command| {
            command.env("POLDER_PAUSE", value);
        });
        let ran = ran.wait();
        assert_eq!(ran.code, Some(2), "{}", ran.notes);
        assert!(ran.notes.contains(words) && !ran.root().exists(), "{}", ran.notes);
    };
    refused("failed", "POLDER_PAUSE is set, and there is no terminal");
    refused("sometimes", "POLDER_PAUSE is `sometimes`; set it to `never` or `failed`");
    let ran = start_with("debugged", &["--list"], |command| {
        command.env("POLDER_PAUSE", "failed");
    });
    assert_eq!(ran.wait().code, Some(0), "nothing is run");
}

#[test]
fn who_is_killed_while_it_stands_still_leaves_a_run_like_any_other() {
    let folder = folder();
    let desk = Desk::suites("bare", folder.path(), |_| {});
    desk.see("q and Enter ends the run");
    let run = folder.path().join("polder/latest").canonicalize().unwrap();
    assert!(run.join("bare/portal.env").is_file());
    rustix::process::kill_process(desk.pid(), rustix::process::Signal::KILL).unwrap();
    desk.end();
    let file = folder.path().join("run.tar.gz");
    let (made, told) = polder(
        folder.path(),
        &["report", &run.display().to_string(), "--bundle", &file.display().to_string()],
    );
    assert!(made && told.contains("bare/portal.env: it is secret"), "{told}");
    let (opened, told) = polder(folder.path(), &["report", "run.tar.gz"]);
    assert!(opened && told.contains("the end of the run is not known"), "{told}");
    let page = fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    assert!(page.contains("broken on purpose"), "{page}");
    let facts: Value =
        serde_json::from_slice(&fs::read(folder.path().join("run/host.json")).unwrap()).unwrap();
    assert!(facts["facts"]["kernel"].is_string() && facts["facts"]["libvirt"].is_string(), "{facts}");
    // And once more is no surprise.
    let (again, told) = polder(folder.path(), &["report", "run.tar.gz"]);
    assert!(!again && told.contains("is there already; name another place"), "{told}");
    assert!(polder(folder.path(), &["report", "run.tar.gz", "--into", "other"]).0);
}

#[test]
fn what_a_kept_suite_did_at_a_portal_that_is_there_is_set_back_by_gc() {
    let folder = folder();
    let served = Served::start(folder.path(), &[]);
    let variables: Vec<(&str, String)> = vec![
        ("POLDER_CVP_URL", served.says("url")),
        ("POLDER_CVP_USER", served.says("username")),
        ("POLDER_CVP_PASSWORD", served.says("password")),
        ("POLDER_CVP_CA_FILE", served.says("ca_file")),
        ("CVP_HOST", served.says("url")),
        ("CVP_USER", served.says("username")),
        ("CVP_PASS", served.says("password")),
        ("CVP_CA_FILE", served.says("ca_file")),
        ("POLDER_CACHE_DIR", folder.path().join("cache").display().to_string()),
        ("XDG_CONFIG_HOME", folder.path().display().to_string()),
    ];
    let ran = start_with("debugged", &["bare"], |command| {
        command.env("POLDER_KEEP", "failed").envs(variables.iter().cloned());
    });
    let ran = ran.wait();
    assert_eq!(ran.code, Some(101), "{}", ran.notes);
    assert!(ran.notes.contains(&served.says("url").replace("https://", "")), "{}", ran.notes);
    let kept = ran.events().into_iter().find(|event| event["kind"] == "portal_kept").unwrap();
    assert!(kept["portal"].is_string() && kept["state"].is_null(), "{kept}");
    let ask = |args: &[&str]| {
        let mut command = Command::new(POLDER);
        command.args(args).current_dir(folder.path()).envs(variables.iter().cloned()).stdin(Stdio::null());
        let asked = command.output().unwrap();
        String::from_utf8_lossy(&asked.stdout).into_owned() + &*String::from_utf8_lossy(&asked.stderr)
    };
    let before = ask(&["cvp", "configlets"]);
    assert!(before.contains("polder-bare-"), "{before}");
    let told = ask(&["gc"]);
    let after = ask(&["cvp", "configlets"]);
    assert!(!after.contains("polder-bare-"), "{told}{after}");
    served.stop();
}

#[test]
fn the_same_seed_makes_the_same_choices_and_a_failure_says_which() {
    let chosen = |seed: &str, filter: &[&str]| {
        let ran = start_with("debugged", filter, |command| {
            command.env("POLDER_SEED", seed);
        });
        let ran = ran.wait();
        assert_eq!(ran.code, Some(101), "{}", ran.notes);
        (ran.file("by_chance/chooses/chosen"), ran)
    };
    let (first, ran) = chosen("7", &["by_chance"]);
    assert_eq!(ran.events()[0]["seed"], 7);
    let hint = "chance had a part in it; with POLDER_SEED=7 it makes the same choices again";
    assert!(ran.file("by_chance/chooses/error.txt").contains(hint) && ran.out.contains(hint), "{}", ran.out);
    assert!(!ran.file("by_chance/fails_without_it/error.txt").contains("chance"));
    assert!(ran.file("report.html").contains("seed 7"));
    // Whatever else runs.
    assert_eq!(first, chosen("7", &["chooses", "beside", "limited"]).0);
    assert_ne!(first, chosen("8", &["by_chance"]).0);
    let lines: Vec<&str> = first.lines().collect();
    assert_eq!(lines.len(), 6, "two attempts: {first}");
    assert!(lines[..3] != lines[3..] && lines[0] != lines[2], "each has its own: {first}");

    let unsaid = run("debugged", &["by_chance"]);
    let seed = unsaid.events()[0]["seed"].as_u64().unwrap().to_string();
    assert_eq!(unsaid.file("by_chance/chooses/chosen"), chosen(&seed, &["by_chance"]).0);
    for wrong in ["x", "-1", "9007199254740992", "1.5"] {
        let ran = start_with("debugged", &["by_chance"], |command| {
            command.env("POLDER_SEED", wrong);
        });
        let ran = ran.wait();
        assert_eq!(ran.code, Some(2), "{wrong}");
        assert!(ran.notes.contains("POLDER_SEED is `"), "{}", ran.notes);
    }
}
