//! The verbs against a real OpenSSH server and an agent that runs real commands.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    rig::{FakeAgent, Rig, key},
    *,
};
use crate::{
    event::Fault,
    image::{Abilities, Ability},
};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);

/// The server under test; the test ends here where going without one is allowed.
macro_rules! rig {
    () => {
        rig!("")
    };
    ($extra:expr) => {
        match Rig::start($extra) {
            Some(rig) => rig,
            None => return,
        }
    };
}

/// The error with its causes, as people see it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!("\ncaused by: {error}");
        cause = error.source();
    }
    text
}

/// Whether a process with `needle` in its command line runs on this host.
fn runs(needle: &str) -> bool {
    std::process::Command::new("pgrep").args(["-f", "--", needle]).output().unwrap().status.success()
}

/// Bytes that do not compress and do not repeat.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect()
}

#[test]
fn guests_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<Guest>();
}

#[tokio::test]
async fn exit_status_signal_and_both_outputs_come_back() {
    let rig = rig!();
    let guest = rig.guest();
    let output = guest.execute("echo out; echo err >&2; exit 3").await.unwrap();
    assert_eq!((output.stdout.text(), output.stderr.text()), ("out\n".into(), "err\n".into()));
    for (command, status) in [
        ("true", Status::Code(0)),
        ("exit 255", Status::Code(255)),
        ("kill -TERM $$", Status::Signal("TERM".into())),
        ("kill -KILL $$", Status::Signal("KILL".into())),
        ("no-such-command-here", Status::Code(127)),
        ("/etc/passwd", Status::Code(126)),
    ] {
        assert_eq!(guest.execute(command).await.unwrap().status, status, "{command}");
    }
    assert_eq!(rig.server.dials.load(Ordering::SeqCst), 1, "one connection serves all commands");
}

#[tokio::test]
async fn arguments_are_never_evaluated() {
    let rig = rig!();
    let guest = rig.guest();
    let odd = "a\nb '\"$(touch /tmp/x)`id` $HOME *\\ ü 漢 🦆";
    let out = guest.succeed(Command::new("printf").arg("%s|%s").arg(odd).arg("")).await.unwrap();
    assert_eq!(out, format!("{odd}|"));
    let out = guest.succeed(Command::script("echo \"$1\" $V; pwd; cat").arg("x  y").env("V", "1 2").cwd("/usr").stdin("in"));
    assert_eq!(out.await.unwrap(), "x  y 1 2\n/usr\nin");
    let error = guest.execute(Command::new("a\0b")).await.unwrap_err();
    assert_eq!(told(&error), "cannot give `a\0b` to web\ncaused by: the program contains a zero byte");
    // The longest line there is.
    let long = "y".repeat(120_000);
    assert_eq!(guest.succeed(Command::new("printf").arg("%s").arg(&long)).await.unwrap(), long);
}

#[tokio::test]
async fn a_failure_tells_everything() {
    let rig = rig!();
    fs::write(rig.dir.path().join("console"), "booting\r\nlogin: \r\n").unwrap();
    let guest = rig.guest();
    let error = guest.succeed("echo some; echo wrong >&2; exit 4").await.unwrap_err();
    assert_eq!(error.fault(), Fault::Product);
    let text = told(&error);
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.starts_with("`echo some; echo wrong >&2; exit 4` failed on web with exit status 4 (over ssh, after "));
    assert_eq!(rest, "--- stdout ---\nsome\n--- stderr ---\nwrong\n--- console ---\nbooting\nlogin:");

    assert_eq!(guest.fails("exit 4").await.unwrap().status, Status::Code(4));
    let error = guest.fails("echo fine").await.unwrap_err();
    assert!(told(&error).starts_with("`echo fine` succeeded on web but was expected to fail"), "{error}");
}

#[tokio::test]
async fn sixty_four_commands_at_once_share_the_ten_sessions_of_a_connection() {
    let rig = rig!();
    let guest = rig.guest();
    let commands = (0..64).map(|i| {
        let guest = guest.clone();
        tokio::spawn(async move { (i, guest.succeed(format!("sleep 0.0{}; echo {i}", i % 10)).await) })
    });
    for command in commands.collect::<Vec<_>>() {
        let (i, out) = command.await.unwrap();
        assert_eq!(out.unwrap(), format!("{i}\n"));
    }
    assert_eq!(rig.server.dials.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn waiting_for_a_free_session_ends_with_the_deadline() {
    let rig = rig!("MaxSessions 1");
    let guest = rig.guest();
    let holding = tokio::spawn({
        let guest = guest.clone();
        async move { guest.succeed("echo held; sleep 3").await }
    });
    tokio::time::sleep(SECOND).await;
    let error = guest.execute(Command::from("true").timeout(SECOND)).await.unwrap_err();
    assert!(error.to_string().contains("at that time all sessions its ssh server allows were in use"), "{error}");
    assert_eq!(holding.await.unwrap().unwrap(), "held\n");
    assert_eq!(guest.succeed("echo free").await.unwrap(), "free\n");
}

#[tokio::test]
async fn a_deadline_kills_and_keeps_the_output_so_far() {
    let rig = rig!();
    let guest = rig.guest();
    let start = Instant::now();
    let command = Command::from("echo begun; (setsid sleep 4711.1 &) ; sleep 4711.2").timeout(SECOND);
    let error = guest.execute(command).await.unwrap_err();
    assert!(start.elapsed() < 4 * SECOND, "{:?}", start.elapsed());
    let GuestError::Deadline { ran, killed: true, started: true, .. } = &error else { panic!("{error}") };
    assert_eq!(ran.output.stdout.text(), "begun\n");
    assert!(error.to_string().contains("did not end on web within 1.0 s; at that time it ran (over ssh"), "{error}");
    assert!(!runs("sleep 4711.1") && !runs("sleep 4711.2"));
    assert_eq!(guest.succeed("echo still here").await.unwrap(), "still here\n");
    assert_eq!(rig.server.dials.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_time_factor_stretches_deadlines_and_is_told() {
    let rig = rig!();
    let guest = Guest::new(GuestSpec { time_factor: 3.0, ..rig.spec() });
    guest.execute(Command::from("sleep 1").timeout(SECOND / 2)).await.unwrap();
    let error = guest.execute(Command::from("sleep 10").timeout(SECOND / 2)).await.unwrap_err();
    assert!(error.to_string().contains("within 1.5 s"), "{error}");
}

#[tokio::test]
async fn a_process_left_in_the_background_is_named_as_what_holds_the_output() {
    let rig = rig!();
    let command = Command::from("sleep 4712.1 & echo done; exit 0").timeout(SECOND);
    let error = rig.guest().execute(command).await.unwrap_err();
    assert!(
        error.to_string().contains(
            "a process it left in the background held its output open (it ended with exit status 0)"
        ),
        "{error}"
    );
    assert!(!runs("sleep 4712.1"));
    // Redirected, it holds nothing, and lives on.
    let out = rig.guest().succeed("sleep 4712.2 >/dev/null 2>&1 </dev/null & echo $!").await.unwrap();
    assert!(runs("sleep 4712.2"));
    rig.guest().succeed(Command::new("kill").arg(out.trim())).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_nothing_running() {
    let rig = rig!();
    let guest = rig.guest();
    let call = tokio::time::timeout(SECOND, guest.execute("echo x; sleep 4713")).await;
    assert!(call.is_err());
    let gone = guest.wait_until_succeeds("! pgrep -f '[s]leep 4713'", 10 * SECOND).await;
    gone.unwrap();
}

#[tokio::test]
async fn another_host_key_is_refused_at_once_naming_both() {
    let rig = rig!();
    let mut spec = rig.spec();
    spec.ssh.as_mut().unwrap().host_key = Some(key(9).public_key().clone());
    let guest = Guest::new(spec);
    let print = |seed| key(seed).public_key().fingerprint(russh::keys::HashAlg::Sha256).to_string();
    let error = guest.execute("true").await.unwrap_err();
    assert_eq!(error.fault(), Fault::Environment);
    let text = told(&error);
    assert!(text.contains(&format!("it shows {}, pinned is {}", print(1), print(9))), "{text}");
    let start = Instant::now();
    let error = guest.wait_for_ssh(LONG).await.unwrap_err();
    assert!(start.elapsed() < 10 * SECOND && told(&error).contains(&print(1)), "{}", told(&error));
}

#[tokio::test]
async fn a_key_that_is_not_accepted_is_named() {
    let rig = rig!();
    let mut spec = rig.spec();
    spec.ssh.as_mut().unwrap().key = Arc::new(key(8));
    let text = told(&Guest::new(spec).execute("true").await.unwrap_err());
    assert!(text.contains("cannot run `true` on web: it cannot be reached"), "{text}");
    assert!(text.contains("127.0.0.1:22 refuses the key SHA256:"), "{text}");
}

#[tokio::test]
async fn a_server_that_dies_under_a_command_loses_it_with_its_output_and_the_next_one_connects_anew() {
    let rig = rig!();
    let guest = rig.guest();
    let server = Arc::clone(&rig.server);
    let killing = async {
        tokio::time::sleep(SECOND).await;
        server.kill();
    };
    let (lost, ()) = tokio::join!(guest.execute("echo begun; sleep 5"), killing);
    let error = lost.unwrap_err();
    let GuestError::Lost { ran, .. } = &error else { panic!("{error}") };
    assert_eq!((ran.output.stdout.text(), error.fault()), ("begun\n".into(), Fault::Environment));
    assert!(told(&error).contains("caused by: the ssh connection to 127.0.0.1:22 broke"), "{}", told(&error));
    assert_eq!(guest.succeed("echo again").await.unwrap(), "again\n");
    // Dropped between two commands: not even noticed.
    server_gone(&rig).await;
    assert_eq!(guest.succeed("echo again").await.unwrap(), "again\n");
    assert_eq!(rig.server.dials.load(Ordering::SeqCst), 3);
}

async fn server_gone(rig: &Rig) {
    rig.server.kill();
    tokio::time::sleep(SECOND / 5).await;
}

#[tokio::test]
async fn a_frozen_server_cannot_hold_us_beyond_the_deadline() {
    let rig = rig!();
    let guest = rig.guest();
    guest.execute("true").await.unwrap();
    rig.server.signal("STOP");
    let start = Instant::now();
    let error = guest.execute(Command::from("true").timeout(SECOND)).await.unwrap_err();
    assert!(start.elapsed() < 2 * SECOND && error.fault() == Fault::Environment, "{error}");
    // The next one does not wait for the frozen connection.
    assert_eq!(guest.succeed("echo new").await.unwrap(), "new\n");
}

#[tokio::test]
async fn a_guest_that_died_is_noticed_by_its_silence() {
    let rig = rig!();
    let guest = Guest::new(GuestSpec { time_factor: 0.2, ..rig.spec() });
    guest.execute("true").await.unwrap();
    let freezing = async {
        tokio::time::sleep(SECOND / 2).await;
        rig.server.signal("STOP");
    };
    let (lost, ()) = tokio::join!(guest.execute(Command::from("sleep 60").timeout(600 * SECOND)), freezing);
    let error = lost.unwrap_err();
    assert!(matches!(error, GuestError::Lost { .. }), "{error}");
}

#[tokio::test]
async fn a_guest_that_cannot_be_reached_says_so_with_its_console() {
    let rig = rig!();
    fs::write(rig.dir.path().join("console"), "Gave up waiting for root device\n").unwrap();
    rig.server.refuses.store(true, Ordering::SeqCst);
    let guest = rig.guest();
    let error = guest.wait_for_ssh(SECOND).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Environment);
    let text = told(&error);
    assert!(text.starts_with("gave up waiting on web\n--- console ---\nGave up waiting for root device\n"), "{text}");
    assert!(text.contains("for an answer over ssh") && text.contains("connection refused"), "{text}");
    rig.server.refuses.store(false, Ordering::SeqCst);
    guest.wait_for_ssh(LONG).await.unwrap();
}

#[tokio::test]
async fn a_kernel_panic_ends_commands_and_waits_at_once() {
    let rig = rig!();
    let guest = rig.guest();
    let console = rig.dir.path().join("console");
    let panicking = async {
        tokio::time::sleep(SECOND).await;
        fs::write(&console, "[ 9.1] Kernel panic - not syncing: Attempted to kill init!\n").unwrap();
    };
    let start = Instant::now();
    let (result, ()) = tokio::join!(guest.execute("sleep 4714"), panicking);
    let text = told(&result.unwrap_err());
    assert!(start.elapsed() < 5 * SECOND);
    assert!(
        text.starts_with(
            "web stopped with a kernel panic, asked to run `sleep 4714`: [ 9.1] Kernel panic - not syncing: Attempted to kill init!"
        ),
        "{text}"
    );
    let error = guest.wait_for_console("login:", LONG).await.unwrap_err();
    assert!(error.to_string().contains("asked to wait for `login:` on the console"), "{error}");
    guest.restarted().await;
    guest.succeed("true").await.unwrap();
}

#[tokio::test]
async fn fifty_megabytes_there_and_back_are_exact() {
    let rig = rig!();
    let guest = rig.guest();
    let bytes = noise(50_000_000);
    let (local, remote, back) = (rig.dir.path().join("l"), rig.dir.path().join("r"), rig.dir.path().join("b"));
    fs::write(&local, &bytes).unwrap();
    fs::set_permissions(&local, fs::Permissions::from_mode(0o751)).unwrap();
    guest.copy_to(&local, remote.to_str().unwrap()).await.unwrap();
    assert!(fs::read(&remote).unwrap() == bytes);
    guest.copy_from(remote.to_str().unwrap(), &back).await.unwrap();
    assert!(fs::read(&back).unwrap() == bytes);
    assert_eq!(fs::metadata(&back).unwrap().mode() & 0o777, 0o751);
    assert!(fs::read_dir(rig.dir.path()).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().contains(".polder")));

    // The same through a command: more than fits into memory is whole in a file.
    let output = guest.execute(Command::new("cat").stdin(bytes.clone())).await.unwrap();
    assert_eq!((output.stdout.total, output.stdout.bytes.len()), (50_000_000, limits::IN_MEMORY));
    assert!(fs::read(output.stdout.whole.unwrap()).unwrap() == bytes);
    // And through memory.
    let path = rig.dir.path().join("new folder/w");
    guest.write_file(path.to_str().unwrap(), bytes.clone()).await.unwrap();
    assert!(guest.read_file(path.to_str().unwrap()).await.unwrap() == bytes);
}

fn tree(dir: &Path) -> Vec<String> {
    let find = std::process::Command::new("find").args([".", "-printf", "%P %y %m %s %l\\0"]).current_dir(dir).output();
    let mut lines: Vec<String> =
        find.unwrap().stdout.split(|b| *b == 0).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
    lines.retain(|line| !line.starts_with(" d"));
    lines.sort();
    // The size of a folder is the file system's business.
    lines.iter().map(|l| if l.contains(" d ") { l.rsplit_once(' ').unwrap().0.to_owned() } else { l.clone() }).collect()
}

#[tokio::test]
async fn folders_go_there_and_back_with_odd_names_links_and_modes() {
    let rig = rig!();
    let guest = rig.guest();
    let base = rig.dir.path();
    let source = base.join("so urce");
    fs::create_dir_all(source.join("empty")).unwrap();
    fs::create_dir_all(source.join("sub/-deep")).unwrap();
    for name in ["a b", "-x", "new\nline", "ü漢🦆", "'q\"", "*", "sub/-deep/f", &"l".repeat(200)] {
        fs::write(source.join(name), name).unwrap();
    }
    fs::set_permissions(source.join("-x"), fs::Permissions::from_mode(0o500)).unwrap();
    symlink("/does/not exist", source.join("dangling")).unwrap();

    let there = format!("{}/th'ere/x", base.display());
    guest.copy_to(&source, &there).await.unwrap();
    assert_eq!(tree(Path::new(&there)), tree(&source));
    guest.copy_from(&format!("{there}/"), base.join("ba ck")).await.unwrap();
    assert_eq!(tree(&base.join("ba ck")), tree(&source));

    // Merged into what is there, under its own name below a folder.
    fs::write(Path::new(&there).join("other"), "kept").unwrap();
    guest.copy_to(&source, &there).await.unwrap();
    assert_eq!(fs::read(Path::new(&there).join("other")).unwrap(), b"kept");
    guest.copy_to(source.join("-x"), &format!("{}/", base.display())).await.unwrap();
    assert_eq!(fs::read(base.join("-x")).unwrap(), b"-x");
    fs::create_dir(base.join("got")).unwrap();
    guest.copy_from(&format!("{there}/ü漢🦆"), format!("{}/got/", base.display())).await.unwrap();
    assert_eq!(fs::read(base.join("got/ü漢🦆")).unwrap(), "ü漢🦆".as_bytes());
    // A link that is named is followed.
    symlink(source.join("a b"), base.join("link")).unwrap();
    guest.copy_from(base.join("link").to_str().unwrap(), base.join("followed")).await.unwrap();
    assert_eq!(fs::read(base.join("followed")).unwrap(), b"a b");
}

#[tokio::test]
async fn a_copy_that_fails_says_what_is_there() {
    let rig = rig!();
    let guest = rig.guest();
    let base = rig.dir.path().display().to_string();
    let local = rig.dir.path().join("file");
    fs::write(&local, "new").unwrap();
    fs::create_dir(rig.dir.path().join("folder")).unwrap();
    fs::write(rig.dir.path().join("old"), "old").unwrap();

    let error = guest.copy_to(rig.dir.path().join("missing"), "/tmp/x").await.unwrap_err();
    let text = told(&error);
    assert!(text.contains("/missing to web:/tmp/x; nothing was changed there\ncaused by: No such file"), "{text}");

    let error = guest.copy_to(&local, &format!("{base}/folder")).await.unwrap_err();
    assert!(told(&error).contains("/folder is a folder; end it with / to copy into it"), "{}", told(&error));
    let error = guest.copy_to(rig.dir.path().join("folder"), &format!("{base}/old")).await.unwrap_err();
    assert!(told(&error).contains("/old is not a folder"), "{}", told(&error));
    let error = guest.copy_to(&local, "/proc/no/x").await.unwrap_err();
    assert!(told(&error).contains("nothing was changed there") && told(&error).contains("mkdir"), "{}", told(&error));

    let error = guest.copy_from("/no/such", rig.dir.path().join("old")).await.unwrap_err();
    assert_eq!(told(&error), "web has no file or folder `/no/such`");
    let error = guest.read_file("/no/such").await.unwrap_err();
    assert_eq!(told(&error), "web has no file or folder `/no/such`");
    let error = guest.copy_from(&format!("{base}/file"), rig.dir.path().join("folder")).await.unwrap_err();
    assert!(told(&error).contains("a file cannot replace a folder"), "{}", told(&error));

    // The server dies in the middle of it: what was there stays.
    let big = rig.dir.path().join("big");
    fs::write(&big, noise(300_000_000)).unwrap();
    for up in [true, false] {
        let killing = async {
            tokio::time::sleep(SECOND / 2).await;
            rig.server.kill();
        };
        let old = rig.dir.path().join("old");
        let copy = async {
            if up { guest.copy_to(&big, old.to_str().unwrap()).await } else { guest.copy_from(big.to_str().unwrap(), &old).await }
        };
        let (result, ()) = tokio::join!(copy, killing);
        let error = result.unwrap_err();
        assert!(matches!(&error, GuestError::Copy { .. }) && error.fault() == Fault::Environment, "{}", told(&error));
        assert_eq!(fs::read(&old).unwrap(), b"old");
    }
}

#[tokio::test]
async fn waiting_looks_until_it_is_there() {
    let rig = rig!();
    let guest = rig.guest();
    let path = rig.dir.path().join("appears");
    let late = async {
        tokio::time::sleep(SECOND / 2).await;
        fs::write(&path, "1").unwrap();
    };
    let (found, ()) = tokio::join!(guest.wait_for_file(path.to_str().unwrap(), LONG), late);
    found.unwrap();
    let error = guest.wait_for_file("/no/such", SECOND).await.unwrap_err();
    assert!(told(&error).contains("for `/no/such`: it did not come true in time"), "{}", told(&error));
    assert_eq!(error.fault(), Fault::Product);

    let count = format!("echo x >> {0}; wc -l < {0}", path.display());
    let out = guest.until(&*count, |out| out.trim() == "4").within(LONG).await.unwrap();
    assert_eq!(out.trim(), "4");
    let error = guest.until("echo never", |out| out.contains("ever so")).within(SECOND).await.unwrap_err();
    assert!(told(&error).ends_with("last seen: it printed: never"), "{}", told(&error));
    let error = guest.wait_until_succeeds("echo why >&2; exit 9", SECOND).await.unwrap_err();
    assert!(told(&error).ends_with("last seen: exit status 9, it printed: why"), "{}", told(&error));
    // One that hangs is one that has not succeeded.
    let hanging = guest.wait_until_succeeds("sleep 4715", SECOND).await.unwrap_err();
    assert_eq!(hanging.fault(), Fault::Product, "{}", told(&hanging));
    let gone = guest.wait_until_succeeds("! pgrep -f '[s]leep 4715'", 10 * SECOND).await;
    gone.unwrap();

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    guest.wait_for_port(port, LONG).await.unwrap();
    drop(listener);
    let error = guest.wait_for_port(port, SECOND / 2).await.unwrap_err();
    assert!(told(&error).contains("refused"), "{}", told(&error));

    fs::write(rig.dir.path().join("console"), "one\r\nweb login: ").unwrap();
    assert_eq!(guest.wait_for_console("login", LONG).await.unwrap(), "web login:");
}

#[tokio::test]
async fn units_are_waited_for_and_their_failure_ends_the_wait() {
    let rig = rig!();
    let state = rig.dir.path().join("state");
    rig.fake("systemctl", &format!("[ \"$1\" = show ] && [ \"$4\" = web.service ] && cat {}", state.display()));
    let guest = rig.guest();
    let set = |active: &str| fs::write(&state, format!("LoadState=loaded\nActiveState={active}\nSubState=x\nResult=y\n")).unwrap();
    set("activating");
    let late = async {
        tokio::time::sleep(SECOND).await;
        set("active");
    };
    let (up, ()) = tokio::join!(guest.wait_for_unit("web.service", LONG), late);
    up.unwrap();
    set("failed");
    let start = Instant::now();
    let error = guest.wait_for_unit("web.service", LONG).await.unwrap_err();
    assert!(start.elapsed() < 5 * SECOND);
    assert!(told(&error).contains("for unit `web.service`: it cannot come true any more"), "{}", told(&error));

    let bare = Guest::new(GuestSpec { abilities: Abilities([Ability::Ssh].into()), image: "minimal".into(), ..rig.spec() });
    let error = bare.wait_for_unit("web.service", LONG).await.unwrap_err();
    assert_eq!(told(&error), "cannot wait for a unit on web\ncaused by: image `minimal` does not have systemd units");
    assert_eq!(rig.server.dials.load(Ordering::SeqCst), 1, "nothing was tried");
}

#[tokio::test]
async fn a_reboot_is_over_when_the_kernel_is_another() {
    let rig = rig!();
    let guest = rig.guest();
    let id = rig.dir.path().join("id");
    fs::write(&id, "first\n").unwrap();
    rig.fake("cat", &format!("exec /bin/cat {}", id.display()));
    rig.fake("reboot", "exit 0");
    let booting = async {
        tokio::time::sleep(SECOND).await;
        rig.server.refuses.store(true, Ordering::SeqCst);
        rig.server.kill();
        tokio::time::sleep(SECOND).await;
        fs::write(&id, "second\n").unwrap();
        rig.server.refuses.store(false, Ordering::SeqCst);
    };
    let start = Instant::now();
    let (back, ()) = tokio::join!(guest.reboot(LONG), booting);
    back.unwrap();
    assert!(start.elapsed() >= 2 * SECOND);

    let error = guest.reboot(SECOND).await.unwrap_err();
    assert!(told(&error).ends_with("last seen: it has not gone down yet"), "{}", told(&error));
    rig.fake("reboot", "echo not allowed >&2; exit 1");
    let error = guest.reboot(LONG).await.unwrap_err();
    assert!(told(&error).contains("not allowed"), "{}", told(&error));
}

#[tokio::test]
async fn evidence_comes_over_ssh_and_over_the_agent_when_there_is_no_ssh() {
    let rig = rig!();
    rig.fake("journalctl", "echo journal entry");
    rig.fake("dmesg", "echo kernel entry; exit 1");
    let agent = Arc::new(FakeAgent::default());
    let mut spec = rig.spec();
    spec.abilities.0.insert(Ability::AgentExec);
    spec.agent = Some(Arc::clone(&agent) as _);
    let guest = Guest::new(spec);
    let out = |name: &str| rig.dir.path().join(name);
    assert_eq!(guest.journal(&out("j")).await.unwrap(), Channel::Ssh);
    assert_eq!(fs::read(out("j")).unwrap(), b"journal entry\n");
    let error = guest.dmesg(&out("d")).await.unwrap_err();
    assert!(matches!(error, GuestError::Failed(_)) && fs::read(out("d")).unwrap() == b"kernel entry\n");

    fs::create_dir(out("logs")).unwrap();
    fs::write(out("logs/a"), noise(100_000)).unwrap();
    rig.server.refuses.store(true, Ordering::SeqCst);
    guest.restarted().await;
    let logs = out("logs").display().to_string();
    assert_eq!(guest.fetch(&logs, &out("fetched")).await.unwrap(), Channel::Agent);
    assert_eq!(tree(&out("fetched")), tree(&out("logs")));
    let error = guest.fetch("/no/such", &out("x")).await.unwrap_err();
    assert!(matches!(error, GuestError::NoSuchPath { .. }), "{error}");

    agent.replies.lock().unwrap().insert("guest-exec", Err(AgentPortError::NotConnected("no agent".into())));
    let error = guest.fetch(&logs, &out("x")).await.unwrap_err();
    let text = told(&error);
    assert!(text.contains("in any way: over ssh: ") && text.contains("; over guest agent: "), "{text}");
    assert!(text.contains("refused") && text.contains("not connected: no agent"), "{text}");
}

/// A guest that only has an agent.
fn agent_only(agent: &Arc<FakeAgent>, dir: &Path) -> Guest {
    Guest::new(GuestSpec {
        name: "bare".parse().unwrap(),
        image: "minimal".into(),
        abilities: Abilities([Ability::Agent, Ability::AgentExec].into()),
        ssh: None,
        agent: Some(Arc::clone(agent) as _),
        console: dir.join("console"),
        outputs: dir.join("outputs"),
        time_factor: 1.0,
    })
}

#[tokio::test]
async fn without_ssh_commands_run_over_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Arc::new(FakeAgent::default());
    let guest = agent_only(&agent, dir.path());
    guest.wait_for_agent(LONG).await.unwrap();
    let command = Command::script("echo \"$1 $V\"; cat; echo err >&2; exit 5").arg("a\nb").env("V", "v").stdin("in");
    let output = guest.execute(command).await.unwrap();
    assert_eq!((output.stdout.text(), output.stderr.text()), ("a\nb v\nin".into(), "err\n".into()));
    assert_eq!(output.status, Status::Code(5));
    assert_eq!(guest.execute("kill -9 $$").await.unwrap().status, Status::Signal("9".into()));
    assert!(guest.succeed("false").await.unwrap_err().to_string().contains("(over guest agent, "));

    let path = dir.path().join("f");
    guest.write_file(path.to_str().unwrap(), noise(300_000)).await.unwrap();
    assert!(guest.read_file(path.to_str().unwrap()).await.unwrap() == noise(300_000));
    assert!(guest.agent().unwrap().read_file(path.to_str().unwrap()).await.unwrap() == noise(300_000));
    assert_eq!(agent.requests.lock().unwrap().last().unwrap(), "guest-file-close");

    let error = guest.execute(Command::from("sleep 4716").timeout(SECOND)).await.unwrap_err();
    assert!(matches!(error, GuestError::Deadline { killed: true, .. }), "{error}");
    assert!(!runs("sleep 4716"));
    let error = guest.copy_to(&path, "/tmp/x").await.unwrap_err();
    assert!(matches!(error, GuestError::Unsupported { .. }), "{error}");
}

#[rstest::rstest]
#[case("nonsense", "the guest agent answered `guest-ping` with something else: nonsense")]
#[case("{}", "the guest agent answered `guest-ping` with something else: {}")]
#[case(r#"{"error": 3}"#, "the guest agent answered `guest-ping` with something else: {\"error\": 3}")]
#[case(
    r#"{"error": {"class": "CommandNotFound", "desc": "disabled"}}"#,
    "cannot do `guest-ping` through the guest agent\ncaused by: the guest agent refused: disabled"
)]
#[tokio::test]
async fn strange_answers_of_an_agent_are_shown(#[case] reply: &str, #[case] expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let agent = Arc::new(FakeAgent::default());
    agent.replies.lock().unwrap().insert("guest-ping", Ok(reply.to_owned()));
    let guest = agent_only(&agent, dir.path());
    assert_eq!(told(&guest.agent().unwrap().ping().await.unwrap_err()), expected);
}

#[tokio::test]
async fn an_agent_tells_its_interfaces_and_shuts_down_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Arc::new(FakeAgent::default());
    let interfaces = r#"{"return": [{"name": "lo", "ip-addresses": [{"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8}]},
        {"name": "eth0", "hardware-address": "52:54:00:00:00:01", "statistics": {}}]}"#;
    let limit = AgentPortError::TimedOut(SECOND);
    agent.replies.lock().unwrap().insert("guest-network-get-interfaces", Ok(interfaces.to_owned()));
    agent.replies.lock().unwrap().insert("guest-shutdown", Err(limit));
    let guest = agent_only(&agent, dir.path());
    let found = guest.agent().unwrap().interfaces().await.unwrap();
    let lo = Interface { name: "lo".into(), mac: None, addresses: vec![("127.0.0.1".parse().unwrap(), 8)] };
    let eth0 = Interface { name: "eth0".into(), mac: Some("52:54:00:00:00:01".into()), addresses: vec![] };
    assert_eq!(found, [lo, eth0]);
    guest.agent().unwrap().set_time(std::time::SystemTime::now()).await.unwrap();
    guest.agent().unwrap().shutdown().await.unwrap();
}
