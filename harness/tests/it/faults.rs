//! Bad input and broken hosts: each gives an error that names the thing, collects what can be had, and leaves nothing.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::binary;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says loudly what is not tested here.
macro_rules! only_root {
    ($why:literal) => {
        if !is_root() {
            println!("NOT TESTED as an ordinary user: {}", $why);
            return;
        }
    };
}

/// A suite binary with folders of its own below `dir`, started through `prefix`.
fn suite(name: &str, dir: &Path, prefix: &[&str]) -> Command {
    let binary = binary::path(name).display().to_string();
    let argv: Vec<&str> = prefix.iter().copied().chain([binary.as_str()]).collect();
    let mut command = Command::new(argv[0]);
    command
        .args(&argv[1..])
        .env_remove("NEXTEST")
        .env("POLDER_RUNTIME_DIR", dir.join("labs"))
        .env("POLDER_OUTPUT_DIR", dir.join("out"))
        .stdin(Stdio::null());
    command
}

fn ground() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("pf").tempdir_in("/var/tmp").unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn labs_left(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir.join("labs")).into_iter().flatten().flatten();
    entries.map(|e| e.path()).filter(|p| p.is_dir()).collect()
}

/// The command in a folder of its own: workdirs, and what is configured for whoever runs the tests, are not shared.
fn polder(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
    command.args(args).current_dir(dir).env("XDG_CONFIG_HOME", dir.join("config")).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn an_init_file_is_judged_whole_with_exit_code_2() {
    let dir = ground();
    let file = dir.path().join("bad.yaml");
    fs::write(
        &file,
        "domains:\n  web:\n    memroy: 512\n    nics: [{net: lam}]\n    disks:\n      - {name: root, type: template, template_name: debian13, dev: vda, format: qcow2}\n      - {name: data, type: file, path: nowhere.img, dev: vdb, format: raw}\nnets:\n  lan: {type: nat}\n",
    )
    .unwrap();
    let output = polder(dir.path(), &["plan", &file.display().to_string()]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in ["memroy", "memory", "lam", "lan", "nowhere.img"] {
        assert!(said.contains(part), "no word of `{part}`:\n{said}");
    }
    assert!(!dir.path().join(".polder").exists());
}

#[test]
fn an_unknown_image_is_named_with_its_place_and_what_there_is() {
    let dir = ground();
    let file = dir.path().join("image.yaml");
    fs::write(
        &file,
        "domains:\n  web:\n    nics: [{net: lan}]\n    disks:\n      - {name: root, type: template, template_name: debian13, dev: vda, format: qcow2}\n    vm-type: defalt\nnets:\n  lan: {type: nat}\n",
    )
    .unwrap();
    let output = polder(dir.path(), &["up", &file.display().to_string()]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("image.yaml:5:") && said.contains("debian13") && said.contains("debian12"),
        "{said}"
    );
    assert!(said.contains("image.yaml:6:14: there is no vm-type `defalt`"), "with all else: {said}");
    // Nothing was built or booted to find that out.
    assert!(!said.contains("building") && !said.contains("TCG"), "{said}");
}

#[test]
fn what_a_repository_has_is_known_and_a_dead_one_is_in_nobodys_way() {
    let dir = ground();
    let template = |name: &str| {
        let disk = format!("{{name: root, type: template, template_name: {name}, dev: vda, format: qcow2}}");
        let text =
            format!("domains:\n  web: {{nics: [{{net: lan}}], disks: [{disk}]}}\nnets:\n  lan: {{}}\n");
        fs::write(dir.path().join("lab.yaml"), text).unwrap();
    };
    let plan = |repo: &str| polder(dir.path(), &["plan", "--template-repo-path", repo, "lab.yaml"]);
    let version = r#"{"source": "here", "handle": "base.raw", "timestamp": 1}"#;
    let repo = format!(
        r#"{{"name": "r", "templates": {{"base-el9": {{"versions": {{"v1": {version}}}}}}},
            "sources": {{"here": {{"type": "file", "args": {{"root": "/nowhere"}}}}}}}}"#
    );
    fs::write(dir.path().join("repo.json"), repo).unwrap();
    template("base-el8");
    let output = plan("repo.json");
    let unknown = said(&output);
    assert_eq!(output.status.code(), Some(2), "{unknown}");
    let expected = "lab.yaml:2:81: there is no image `base-el8`; did you mean `base-el9`?";
    assert!(unknown.contains(expected), "{unknown}");

    template("minimal");
    let output = plan("http://127.0.0.1:1/repo.json");
    let planned = said(&output);
    assert_eq!(output.status.code(), Some(0), "{planned}");
    assert!(
        planned.contains("taking the image `minimal` of our own") && planned.contains("machine web: minimal"),
        "{planned}"
    );
}

#[test]
fn images_that_are_nowhere_are_told_all_at_once_without_asking_anybody() {
    let dir = ground();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let of_disk =
        |what: &str| format!("{{disks: [{{name: root, type: template, {what}, dev: vda, format: qcow2}}]}}");
    let machines = |images: &[&str]| {
        let lines = images.iter().zip('a'..).map(|(what, name)| format!("  {name}: {}\n", of_disk(what)));
        write("lab.yaml", &format!("domains:\n{}nets: {{lan: {{}}}}\n", lines.collect::<String>()));
    };
    let validate = |repo: &str| {
        let store = ["--template-store", "store"];
        let output = polder(
            dir.path(),
            &[&["validate", "--template-repo-path", repo], &store[..], &["lab.yaml"]].concat(),
        );
        (output.status.code(), said(&output))
    };
    let version = r#"{"source": "here", "handle": "base.raw", "timestamp": 1}"#;
    let repo = format!(
        r#"{{"name": "r", "templates": {{"base-el9": {{"versions": {{"v1": {version}}}}}}},
            "sources": {{"here": {{"type": "file", "args": {{"root": "/nowhere"}}}}}}}}"#
    );
    write("repo.json", &repo);
    write("odd.yaml", "extends: debian11\n");
    write("fine.yaml", "extends: debian12\n");
    machines(&[
        "template_name: base-el8",
        "template_name: base-el9, template_version: v2",
        "recipe: odd.yaml",
        "template_name: base-el9, template_version: v1",
        "template_name: debian12",
        "recipe: fine.yaml",
    ]);
    let (code, told) = validate("repo.json");
    assert_eq!(code, Some(2), "{told}");
    for expected in [
        "lab.yaml:2:59: there is no image `base-el8`; did you mean `base-el9`?",
        "lab.yaml:3:59: there is no template `base-el9, version v2`; did you mean `v1`?",
        "lab.yaml:4:52: ",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert!(told.contains("odd.yaml") && told.contains("debian11") && !told.contains("lab.yaml:5"), "{told}");
    assert_eq!(told.matches("lab.yaml:").count(), 3, "{told}");

    // Nobody asks it, and it may have anything.
    machines(&["template_name: base-el8", "template_name: minimal"]);
    let (code, told) = validate("http://127.0.0.1:1/repo.json");
    let warning = "lab.yaml:2:59: warning: whether there is an image `base-el8` is not known: its repository has to be asked";
    assert!(code == Some(0) && told.contains(warning) && told.contains("lab.yaml is good"), "{told}");
    let (code, told) = validate("nowhere.json");
    assert!(code == Some(0) && told.contains("is not known: cannot read"), "{told}");
}

#[test]
fn validate_and_schema_answer_programs() {
    let dir = ground();
    let file = dir.path().join("lab.yaml");
    let validate = |text: &str, args: &[&str]| {
        fs::write(&file, text).unwrap();
        let output = polder(dir.path(), &[args, &["lab.yaml"]].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let json = |text: &str| -> (Option<i32>, serde_json::Value) {
        let (code, out) = validate(text, &["validate", "--json"]);
        (code, serde_json::from_str(&out).unwrap())
    };
    let (code, said) = json("domains:\n  a: {cpu_model: Westmer, vm-provider: shh}\nnets: {lan: {}}\n");
    assert_eq!((code, &said["ok"]), (Some(2), &serde_json::json!(false)), "{said}");
    let d = &said["diagnostics"][0];
    assert_eq!((&d["line"], &d["column"]), (&serde_json::json!(2), &serde_json::json!(40)), "{said}");
    assert!(d["message"].as_str().unwrap().contains("did you mean `ssh`?"), "{said}");
    let d = &said["diagnostics"][1];
    assert_eq!((&d["line"], &d["column"]), (&serde_json::json!(2), &serde_json::json!(18)), "{said}");
    let (code, said) = json("domains:\n  a: {kernel: lab.yaml}\nnets: {lan: {main_dns: true}}\n");
    assert_eq!((code, &said["ok"]), (Some(0), &serde_json::json!(true)), "{said}");
    assert_eq!(said["diagnostics"][0]["severity"], "warning", "{said}");
    let (code, said) = validate("domains:\n  a: {vm-type: big}\nnets: {lan: {}}\n", &["validate"]);
    assert!(code == Some(2) && said.contains("lab.yaml:2:16: there is no vm-type `big`"), "{said}");
    let schema = polder(dir.path(), &["schema"]);
    assert_eq!(schema.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(schema["properties"]["domains"].is_object(), "{schema}");
}

#[test]
fn suites_get_their_images_from_the_configured_repository() {
    let dir = ground();
    let config = dir.path().join("config/polder");
    fs::create_dir_all(&config).unwrap();
    let text = "template_repo_path = \"/nowhere/repo.json\"\n[shutdown]\ntimeout = 5\n";
    fs::write(config.join("polder.toml"), text).unwrap();
    let mut command = suite("failing", dir.path(), &[]);
    let output =
        command.env("XDG_CONFIG_HOME", dir.path().join("config")).arg("unbootable").output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(101), "{said}");
    assert!(said.contains("/nowhere/repo.json"), "{said}");
    assert!(said.contains("unbootable.yaml:17:5: warning: `main_dns` does nothing"), "{said}");
    // A key that is none stops the run before it begins.
    fs::write(config.join("polder.toml"), "template_repo = \"x\"\n").unwrap();
    let mut command = suite("failing", dir.path(), &[]);
    let output =
        command.env("XDG_CONFIG_HOME", dir.path().join("config")).arg("unbootable").output().unwrap();
    let said = self::said(&output);
    assert!(output.status.code() == Some(2) && said.contains("polder.toml:1: unknown key"), "{said}");
}

#[test]
fn an_unreadable_file_is_named() {
    let output = polder(Path::new("/"), &["plan", "/nowhere/x.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("/nowhere/x.yaml"), "{}", said(&output));
}

#[test]
fn a_kernel_panic_ends_the_scenario_at_once_and_is_told() {
    let dir = ground();
    let start = Instant::now();
    let output = suite("crash", dir.path(), &[]).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(101), "{said}");
    assert!(said.contains("Kernel panic") && said.contains("only"), "{said}");
    assert!(said.contains("not run: needs `the_kernel_panics`"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(150), "{said}");
    let console = dir.path().join("out/latest/crash/the_kernel_panics/only/console.log");
    assert!(fs::read_to_string(console).unwrap().contains("Kernel panic"));
    assert_eq!(labs_left(dir.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_daemon_that_dies_is_told_with_its_status_and_evidence_is_kept() {
    let dir = ground();
    let child = suite("crash", dir.path(), &["setsid"])
        // It dies while machines boot.
        .env("POLDER_CHECKPOINTS", "off")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The daemon of this very lab: the one whose log lies in our folder.
    let deadline = Instant::now() + Duration::from_secs(60);
    let pid = loop {
        assert!(Instant::now() < deadline, "no daemon appeared");
        let found = fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let comm = fs::read_to_string(entry.path().join("comm")).ok()?;
            let log = fs::read_link(entry.path().join("fd/2")).ok()?;
            (comm.trim() == "libvirtd" && log.ends_with("libvirtd.log") && {
                let ours = fs::read_dir(dir.path().join("labs")).ok()?.flatten().map(|e| e.file_name());
                ours.into_iter().any(|name| log.to_string_lossy().contains(&*name.to_string_lossy()))
            })
            .then_some(pid)
        });
        if let Some(pid) = found {
            break pid;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    std::thread::sleep(Duration::from_millis(1500));
    let _ = rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    );
    let output = child.wait_with_output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(101), "{said}");
    assert!(said.contains("its daemon ended with status 137"), "{said}");
    let folder = dir.path().join("out/latest/crash/environment");
    assert!(folder.join("lab/libvirtd.log").exists() && folder.join("manifest.json").exists(), "{said}");
    assert_eq!(labs_left(dir.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_full_disk_is_named() {
    only_root!("a full disk needs a mount of its own");
    let dir = ground();
    let mount =
        format!("mount -t tmpfs -o size=150k tmpfs {0} && exec \"$0\"", dir.path().join("labs").display());
    fs::create_dir(dir.path().join("labs")).unwrap();
    let output = suite("crash", dir.path(), &["unshare", "--mount", "sh", "-c", &mount]).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(101), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(labs_left(dir.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn missing_subordinate_ids_come_with_the_fixing_command() {
    only_root!("another user is needed");
    let dir = ground();
    // The binary may lie where that user cannot go.
    let copy = dir.path().join("suite");
    fs::copy(binary::path("crash"), &copy).unwrap();
    for path in [dir.path(), &copy] {
        std::os::unix::fs::chown(path, Some(64_999), Some(64_999)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "64999", "--regid", "64999", "--clear-groups"]).arg(&copy);
    let home = dir.path();
    command
        .env("HOME", home)
        .env_remove("NEXTEST")
        .env("POLDER_CACHE_DIR", home.join("cache"))
        .env("POLDER_RUNTIME_DIR", home.join("labs"))
        .env("POLDER_OUTPUT_DIR", home.join("out"));
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(101), "{said}");
    assert!(said.contains("/etc/subuid has no range") && said.contains("usermod --add-subuids"), "{said}");
    assert_eq!(labs_left(dir.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_useless_kvm_is_found_out_by_a_canary() {
    let dir = ground();
    let open = fs::File::options().read(true).write(true).open("/dev/kvm");
    let output =
        suite("crash", dir.path(), &[]).env("POLDER_ACCEL", "kvm").args(["crash::not_run"]).output().unwrap();
    let said = said(&output);
    if open.is_ok() && !said.contains("a canary did not boot") {
        println!("NOT TESTED: /dev/kvm works on this host");
        return;
    }
    assert_eq!(output.status.code(), Some(101), "{said}");
    // Broken hosts differ: on some the emulator hangs, on others it gives up at once.
    let expected = if open.is_ok() { "a canary did not boot" } else { "/dev/kvm: " };
    assert!(said.contains(expected) && said.contains("unset POLDER_ACCEL"), "{said}");
    assert_eq!(labs_left(dir.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn suites_with_the_same_names_and_addresses_run_side_by_side() {
    for threads in ["2", "4"] {
        let dir = ground();
        let output = suite("crowd", dir.path(), &[]).args(["--test-threads", threads]).output().unwrap();
        let said = said(&output);
        assert!(output.status.success() && said.contains("4 passed; 0 failed"), "{said}");
        let events = fs::read_to_string(dir.path().join("out/latest/events.jsonl")).unwrap();
        let mut used = vec![];
        for line in events.lines() {
            let event = &serde_json::from_str::<serde_json::Value>(line).unwrap()["event"];
            if event["kind"] == "suite_finished" {
                let usage = &event["usage"];
                used.push((
                    usage["cpu_seconds"].as_f64().unwrap(),
                    usage["peak_memory_mib"].as_f64().unwrap(),
                ));
            }
        }
        assert_eq!(used.len(), 4, "{events}");
        assert!(used.iter().all(|&(cpu, memory)| cpu > 0.5 && memory > 50.0), "{used:?}");
        assert_eq!(labs_left(dir.path()), Vec::<std::path::PathBuf>::new());
    }
}
