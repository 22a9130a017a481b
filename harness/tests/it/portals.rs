//! Suites with a session at a portal: of their own, or at `polder cvp serve`, where nothing of them is left, whatever way
//! they end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use polder::cvp::{Client, CvpSpec, Inventory};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    arena,
    binary::{Ran, Running, start_with},
    portal::Served,
};

/// Variables that say which portal is meant, for whoever runs a suite or `gc`.
type Variables = Vec<(&'static str, String)>;

/// Suites whose journals are in a folder of ours.
fn start(filter: &[&str], cache: &Path, variables: &Variables) -> Running {
    start_with("portals", filter, |command| {
        // The portal of whoever runs the tests is not ours.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("POLDER_CVP_"))
        {
            command.env_remove(name);
        }
        command.env("POLDER_CACHE_DIR", cache).env("XDG_CONFIG_HOME", cache).envs(variables.iter().cloned());
    })
}

fn run(filter: &[&str], cache: &Path, variables: &Variables) -> Ran {
    start(filter, cache, variables).wait()
}

fn journals(cache: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache.join("portals")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// What is recorded in `suite`'s archive, which is whole and has no secret in it.
fn recorded(ran: &Ran, suite: &str) -> Vec<String> {
    let archive: Value = serde_json::from_str(&ran.file(&format!("{suite}/cvp.har"))).unwrap();
    let entries = archive["log"]["entries"].as_array().unwrap();
    assert!(!archive.to_string().contains("\"sessionId\\\":\\\"s"), "a session's id");
    entries.iter().map(|entry| entry["comment"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_suite_has_a_session_at_a_portal_of_its_own() {
    let cache = tempfile::tempdir().unwrap();
    let ran = run(&["tidy::", "with_state::"], cache.path(), &vec![]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.notes);
    assert_eq!(ran.result(), "ok. 3 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out");
    assert!(ran.notes.contains("tidy: portal at https://127.0.0.1:"), "{}", ran.notes);
    let asked = recorded(&ran, "tidy");
    for what in ["log in", "log out", "look up the configlet"] {
        assert!(asked.iter().any(|asked| asked.starts_with(what)), "no `{what}` in {asked:?}");
    }
    assert_eq!(journals(cache.path()), [""; 0].map(PathBuf::from));
}

#[test]
fn sessions_are_closed_after_failures_and_what_they_leave_fails_the_suite() {
    let cache = tempfile::tempdir().unwrap();
    let ran = run(&["panics::", "leaky::"], cache.path(), &vec![]);
    assert_eq!(ran.code, Some(101), "{}", ran.notes);
    let mut outcomes = ran.outcomes();
    outcomes.sort();
    assert_eq!(
        outcomes,
        [
            "leaky::makes_things_behind_the_sessions_back ... ok",
            "leaky::portal ... FAILED",
            "panics::in_the_middle ... FAILED",
        ]
    );
    // Its deployment was set back after the panic, and that is in the archive as well.
    let asked = recorded(&ran, "panics");
    assert!(asked.iter().any(|asked| asked.starts_with("delete the configlet polder-panics-")), "{asked:?}");
    assert_eq!(asked.last().map(String::as_str), Some("log out"));
    assert!(ran.out.contains("/panics/cvp.har\n"), "{}", ran.out);
    let error = ran.file("leaky/portal/error.txt");
    for words in
        ["cannot delete the configlet `polder-leaky-", "-held` is in use by leaf-1", "-mine` is still there"]
    {
        assert!(error.contains(words), "no `{words}` in {error}");
    }
    let events = ran.events();
    let leaks: Vec<_> = events.iter().filter(|event| event["kind"] == "leak").collect();
    let [leak] = leaks.as_slice() else { panic!("{leaks:?}") };
    assert_eq!((&leak["suite"], &leak["leak"]), (&"leaky".into(), &"portal".into()));
    assert!(leak["what"].as_str().unwrap().ends_with("-mine`"), "{leak}");
    assert_eq!(journals(cache.path()), [""; 0].map(PathBuf::from));
}

#[test]
fn bad_variables_are_refused_all_at_once_before_anything_starts() {
    let cache = tempfile::tempdir().unwrap();
    let variables = vec![
        ("POLDER_CVP_URL", "ftp://x".to_owned()),
        ("POLDER_CVP_PASSWORD", "s3cret".to_owned()),
        ("POLDER_CVP_INSECURE", "yes".to_owned()),
    ];
    let ran = run(&["tidy::"], cache.path(), &variables);
    assert_eq!(ran.code, Some(2));
    for words in ["POLDER_CVP_URL: `ftp://x`", "but POLDER_CVP_USER is not", "POLDER_CVP_INSECURE: only `1`"]
    {
        assert!(ran.notes.contains(words), "no `{words}` in {}", ran.notes);
    }
    assert!(!ran.notes.contains("s3cret") && !ran.root().exists(), "{}", ran.notes);
}

/// `polder cvp serve`, with a configlet `shared` on the container `Demo`.
struct There {
    served: Served,
    client: Client,
    variables: Variables,
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
}

impl There {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let served = Served::start(folder.path(), &["--task-delay", "15"]);
        let variables = vec![
            ("POLDER_CVP_URL", served.says("url")),
            ("POLDER_CVP_USER", served.says("username")),
            ("POLDER_CVP_PASSWORD", served.says("password")),
            ("POLDER_CVP_CA_FILE", served.says("ca_file")),
        ];
        let find = |name: &str| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| value.clone())
        };
        let client = Client::new(CvpSpec::from_variables(&find).unwrap().unwrap(), None).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let there = Self { served, client, variables, runtime, folder };
        there.runtime.block_on(there.furnish());
        there
    }

    async fn furnish(&self) {
        let client = &self.client;
        let shared = client.add_configlet("shared", "ip domain-name a.test\n").await.unwrap();
        let demo = client.inventory().await.unwrap().container("Demo").unwrap().clone();
        let tasks = client.put_on_container(&demo, &[shared]).await.unwrap();
        client.run_tasks(&tasks, Duration::from_secs(30), |_| {}).await.unwrap();
    }

    /// Where journals are.
    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn gc(&self, variables: &Variables) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.arg("gc").current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("XDG_CONFIG_HOME", self.folder.path()).env("POLDER_CACHE_DIR", self.cache());
        command.env("POLDER_RUNTIME_DIR", self.folder.path().join("labs"));
        command.envs(variables.iter().cloned()).output().unwrap()
    }

    /// Everything but histories: what is there, who holds it, what runs, and what is pending.
    fn state(&self) -> String {
        self.runtime.block_on(async {
            let client = &self.client;
            let Inventory { devices, containers } = client.inventory().await.unwrap();
            let mut all = format!("{containers:?}\n");
            for one in client.configlets().await.unwrap() {
                all += &format!("{}: {:?}\n", one.name, one.text);
            }
            let mut holders = client.holders().await.unwrap();
            holders.sort_by(|a, b| (&a.configlet, &a.object).cmp(&(&b.configlet, &b.object)));
            all += &format!("{holders:#?}\n");
            for device in devices {
                let runs = client.running_config(&device.mac).await.unwrap();
                // Marks between sections are nothing a device runs.
                let lines = runs.lines().filter(|line| !matches!(line.trim(), "!" | "end" | ""));
                let runs = lines.collect::<Vec<_>>().join("\n");
                all += &format!("{} in {}: {runs}\n", device.hostname, device.container);
            }
            // Those without a name of ours the portal makes itself for tasks that it executes.
            let changes = client.changes().await.unwrap();
            for change in changes.iter().filter(|change| change.name.starts_with("polder-")) {
                all += &format!("{}\n", change.name);
            }
            all + &format!("{:?}", client.tasks(Some("Pending")).await.unwrap())
        })
    }
}

#[test]
fn a_portal_that_is_there_is_as_it_was_also_after_ctrl_c() {
    let there = There::new();
    let before = there.state();
    let ran = run(&["tidy::", "panics::"], &there.cache(), &there.variables);
    assert_eq!(
        ran.result(),
        "FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out",
        "{}",
        ran.out
    );
    assert_eq!(there.state(), before);
    assert!(!ran.notes.contains("warning"), "these variables are known: {}", ran.notes);
    let running = start(&["endless::"], &there.cache(), &there.variables);
    running.until(&running.scenario("endless", "goes_on_and_on").join("begun"));
    assert_ne!(there.state(), before);
    let text = fs::read_to_string(&journals(&there.cache())[0]).unwrap();
    assert!(text.contains(&there.served.says("url")) && text.contains("\"cvpadmin\""), "{text}");
    assert!(!text.contains(&there.served.says("password")), "{text}");
    running.signal(Signal::INT);
    let ran = running.wait();
    assert_eq!(ran.code, Some(4), "{}{}", ran.out, ran.notes);
    assert_eq!(there.state(), before);
    assert_eq!(journals(&there.cache()), [""; 0].map(PathBuf::from));
    there.served.stop();
}

#[test]
fn gc_says_what_it_needs_and_forgets_portals_that_are_gone() {
    let there = There::new();
    let before = there.state();
    let own = start(&["endless::"], &there.cache(), &vec![]);
    let other = start(&["endless::"], &there.cache(), &there.variables);
    for mut running in [own, other] {
        running.until(&running.scenario("endless", "goes_on_and_on").join("begun"));
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }
    assert_eq!(journals(&there.cache()).len(), 2);
    let url = there.served.says("url");

    let bad = there.gc(&vec![("POLDER_CVP_TOKEN", "s3cret".to_owned())]);
    let told = String::from_utf8(bad.stderr).unwrap();
    assert!(bad.status.code() == Some(2) && told.contains("POLDER_CVP_URL is not set"), "{told}");
    let without = there.gc(&vec![]);
    let told = String::from_utf8(without.stderr).unwrap();
    let wanted = format!(
        "nobody is logged in to {url} as `cvpadmin`, where it was done: set POLDER_CVP_URL={url}, and \
         POLDER_CVP_USER=cvpadmin, POLDER_CVP_PASSWORD or POLDER_CVP_TOKEN"
    );
    assert!(told.contains(&wanted), "{told}");
    assert_eq!(without.status.code(), Some(3), "something is left that needs a person");
    assert_eq!(journals(&there.cache()).len(), 1, "the one at a portal that is gone is not there any more");

    let said = there.gc(&there.variables);
    let told = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{told}{}", String::from_utf8_lossy(&said.stderr));
    assert!(
        told.contains("to be set back: ") && told.contains("delete the configlet `polder-endless-"),
        "{told}"
    );
    assert_eq!((there.state(), journals(&there.cache())), (before, vec![]));
    let said = there.gc(&there.variables);
    assert_eq!(String::from_utf8(said.stdout).unwrap().trim(), "nothing to remove");
    there.served.stop();
}

#[test]
fn sessions_that_were_killed_anywhere_are_set_back() {
    let there = There::new();
    let before = there.state();
    let mut variables = there.variables.clone();
    variables.push(("FIXTURE_BUSY", "1".to_owned()));
    let begun = Instant::now();
    let ran = run(&["busy::"], &there.cache(), &variables);
    let life = begun.elapsed();
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.notes);
    assert_eq!(there.state(), before);

    let (rounds, mut dice) = arena::campaign(5);
    let mut left = 0;
    for round in 0..rounds {
        let mut running = start(&["busy::"], &there.cache(), &variables);
        let moment = Duration::from_millis(dice.below(u64::try_from(life.as_millis()).unwrap()));
        std::thread::sleep(moment);
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        let journals_left = journals(&there.cache());
        left += journals_left.len();
        let texts: Vec<String> = journals_left.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert!(texts.iter().all(|text| !text.contains(&there.served.says("password"))), "{texts:?}");
        let said = there.gc(&there.variables);
        let told = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.success(), "round {round}, killed after {moment:?}: {told}\n{texts:#?}");
        assert_eq!(there.state(), before, "round {round}, killed after {moment:?}: {texts:#?}");
    }
    eprintln!("{left} of {rounds} were killed in the middle");
    assert!(left > 0, "none was killed in the middle");
    there.served.stop();
}
