//! Commands over a real OpenSSH server: what comes back, what a deadline does.

use super::*;

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
    let out = guest.succeed(
        Command::script("echo \"$1\" $V; pwd; cat").arg("x  y").env("V", "1 2").cwd("/usr").stdin("in"),
    );
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
    assert!(first.starts_with(
        "`echo some; echo wrong >&2; exit 4` failed on web with exit status 4 (over ssh, after "
    ));
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
    let sign = rig.dir.path().join("held");
    let holding = tokio::spawn({
        let (guest, command) = (guest.clone(), format!("echo held; touch {}; sleep 3", sign.display()));
        async move { guest.succeed(command).await }
    });
    appears(&sign).await;
    let error = guest.execute(Command::from("true").timeout(SECOND)).await.unwrap_err();
    assert!(
        error.to_string().contains("at that time all sessions its ssh server allows were in use"),
        "{error}"
    );
    assert_eq!(holding.await.unwrap().unwrap(), "held\n");
    assert_eq!(guest.succeed("echo free").await.unwrap(), "free\n");
}

#[tokio::test]
async fn a_deadline_kills_and_keeps_the_output_so_far() {
    let rig = rig!();
    let guest = rig.guest();
    let start = Instant::now();
    let command = Command::from("echo begun; (setsid sleep 4711.1 &) ; sleep 4711.2").timeout(2 * SECOND);
    let error = guest.execute(command).await.unwrap_err();
    assert!(start.elapsed() < 5 * SECOND, "{:?}", start.elapsed());
    let GuestError::Deadline { ran, killed: true, started: true, .. } = &error else { panic!("{error}") };
    assert_eq!(ran.output.stdout.text(), "begun\n");
    assert!(
        error.to_string().contains("did not end on web within 2.0 s; at that time it ran (over ssh"),
        "{error}"
    );
    assert!(!runs("sleep 4711.1") && !runs("sleep 4711.2"));
    assert_eq!(guest.succeed("echo still here").await.unwrap(), "still here\n");
    assert_eq!(rig.server.dials.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_time_factor_stretches_deadlines_and_is_told() {
    let rig = rig!();
    let guest = Guest::new(GuestSpec { time_factor: 3.0, ..rig.spec() });
    guest.execute(Command::from("sleep 1").timeout(SECOND)).await.unwrap();
    let error = guest.execute(Command::from("sleep 10").timeout(SECOND)).await.unwrap_err();
    assert!(error.to_string().contains("within 3.0 s"), "{error}");
}

#[tokio::test]
async fn a_process_left_in_the_background_is_named_as_what_holds_the_output() {
    let rig = rig!();
    let command = Command::from("sleep 4712.1 & echo done; exit 0").timeout(2 * SECOND);
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
    let sign = rig.dir.path().join("begun");
    let command = format!("touch {}; sleep 4713", sign.display());
    tokio::select! {
        ended = guest.execute(command) => panic!("{ended:?}"),
        () = appears(&sign) => {}
    }
    let gone = guest.wait_until_succeeds("! pgrep -f '[s]leep 4713'", 10 * SECOND).await;
    gone.unwrap();
}
