//! Programs of this host: one for each command, and one that is talked to in a terminal.

use super::*;

#[tokio::test]
async fn commands_are_split_into_words_and_never_read_by_a_shell() {
    let mut local = opened("kind: local", "").await;
    let said = send(&mut local, "printf '%s|' 'a b' \"c'd\" $HOME *").await.unwrap();
    assert_eq!((said.output.as_str(), said.exitcode, &said.failure), ("a b|c'd|$HOME|*|", Some(0), &None));
    let said = send(&mut local, "sh -c 'echo out; sleep 0.2; echo err >&2; exit 3'").await.unwrap();
    assert_eq!(
        (said.stdout.as_str(), said.stderr.as_str(), said.output.as_str()),
        ("out\n", "err\n", "out\nerr\n")
    );
    assert_eq!((said.exitcode, said.failure.as_deref()), (Some(3), Some("exit status 3")));
    let said = send(&mut local, "sh -c 'kill -9 $$'").await.unwrap();
    assert_eq!((said.exitcode, said.failure.as_deref()), (None, Some("signal 9")));
    for (bad, why) in
        [("", "names no program"), ("it's", "a quote without an end"), ("/no/such", "cannot start")]
    {
        let error = send(&mut local, bad).await.unwrap_err();
        assert!(matches!(error, DriverError::Refused { .. }) && error.to_string().contains(why), "{error}");
    }
    local.close(soon()).await.unwrap();
}

#[tokio::test]
async fn what_carries_a_command_gets_it_whole_where_it_has_a_place_for_it() {
    let argv = "argv: [printf, '%%s|', 'to=%(device.ipaddress)s', 'run %(command.send)s']";
    let mut carried = opened(&format!("kind: command, {argv}"), "ipaddress: 192.0.2.7").await;
    let said = send(&mut carried, "a 'b c' %(x)s").await.unwrap();
    assert_eq!(said.output, "to=192.0.2.7|run a 'b c' %(x)s|");
    let mut appended = opened("kind: command, argv: [printf, '%%s|', '%(device.fqdn)s']", "").await;
    let said = send(&mut appended, "a 'b c'").await.unwrap();
    assert_eq!(said.output, "sw1|a|b c|", "the name is the last that there is");
    // An address that nobody said is looked up.
    let mut looked_up =
        opened("kind: command, argv: [echo, '%(device.ipaddress)s']", "fqdn: localhost").await;
    let said = send(&mut looked_up, "").await.unwrap();
    assert!(["127.0.0.1\n", "::1\n"].contains(&said.output.as_str()), "{said:?}");
}

#[tokio::test]
async fn what_is_expected_of_a_command_is_in_what_was_said_before() {
    let mut local = opened("kind: local", "").await;
    let so_far = Results { cmdoutput: "up and running\n".to_owned(), ..Results::default() };
    let (found, missing) = (Regex::new("up.*ing").unwrap(), Regex::new("down").unwrap());
    let ask = |expect| Request { expect: Some(expect), send: Some("echo yes"), so_far: &so_far };
    assert_eq!(local.exchange(ask(&found), soon()).await.unwrap().output, "yes\n");
    let error = local.exchange(ask(&missing), soon()).await.unwrap_err();
    assert_eq!(error.to_string(), "sw1 took too long: `down` did not come");
}

#[tokio::test]
async fn a_command_that_does_not_end_is_killed_with_all_that_it_started() {
    let mut local = opened("kind: local", "").await;
    let line = "sh -c 'echo begun; sleep 4761.1 & sleep 4761.2'";
    let error =
        exchange(&mut local, None, Some(line), Deadline::within(Duration::from_secs(2))).await.unwrap_err();
    let DriverError::TimedOut { said, .. } = &error else { panic!("{error:?}") };
    assert_eq!(said.output, "begun\n");
    gone("sleep 4761.[12]").await;
    // What has its output and goes on alone is not waited for.
    let said = send(&mut local, "sh -c 'setsid sleep 3 & echo done'").await.unwrap();
    assert_eq!(said.output, "done\n");
}

const SHELL: &str = "kind: session, argv: [sh]";

#[tokio::test(flavor = "multi_thread")]
async fn a_program_in_a_terminal_is_talked_to() {
    let mut shell = opened(SHELL, "").await;
    exchange(&mut shell, Some("[$#] $"), Some("tty; echo rc=$?; read -r name"), soon()).await.unwrap();
    let said = exchange(&mut shell, Some("rc=[0-9]"), Some("ada"), soon()).await.unwrap();
    assert!(said.output.contains("/dev/pts/") && said.output.ends_with("rc=0"), "{said:?}");
    let said = exchange(&mut shell, Some("[$#] $"), Some("echo hello-$name"), soon()).await.unwrap();
    assert_eq!(said.exitcode, Some(0));
    let said = exchange(&mut shell, Some("hello-ada"), None, soon()).await.unwrap();
    assert!(!said.output.contains("rc="), "nothing is told twice: {said:?}");
    // It is its terminal: what is typed there reaches it as from a keyboard.
    exchange(&mut shell, Some("[$#] $"), Some("sh -c 'echo asleep; exec sleep 4762'"), soon()).await.unwrap();
    exchange(&mut shell, Some("\nasleep"), None, soon()).await.unwrap();
    let late =
        exchange(&mut shell, Some("no such"), None, Deadline::within(Duration::from_millis(300))).await;
    assert_eq!(late.unwrap_err().to_string(), "sw1 took too long: `no such` did not come");
    send(&mut shell, "\u{3}").await.unwrap();
    // A shell that is interrupted forgets what was typed ahead, and may owe us a prompt until it is given an empty line.
    let prompt = async |shell: &mut Box<dyn Session>| {
        let limit = Deadline::within(Duration::from_secs(5));
        exchange(shell, Some("[$#] $"), None, limit).await.is_ok()
    };
    let mut tries = 1;
    while !prompt(&mut shell).await {
        assert!(tries < 5, "there is no prompt any more");
        send(&mut shell, "").await.unwrap();
        tries += 1;
    }
    send(&mut shell, "echo interrupted-$name").await.unwrap();
    exchange(&mut shell, Some("interrupted-ada"), None, soon()).await.unwrap();
    shell.close(soon()).await.unwrap();
    gone("sleep 4762").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_program_is_noticed_at_once() {
    let mut shell = opened("kind: session, argv: [sh, -c, 'read line; echo last words; exit 7']", "").await;
    send(&mut shell, "go").await.unwrap();
    let error = exchange(&mut shell, Some("more"), None, soon()).await.unwrap_err();
    let DriverError::Lost { why, said, .. } = &error else { panic!("{error:?}") };
    assert!(why.contains("exit status: 7") && said.output.contains("last words"), "{error:?}");
    shell.close(soon()).await.unwrap();
    let mut none = opened("kind: session, argv: [/no/such]", "").await;
    let error = exchange(&mut none, Some("x"), None, soon()).await.unwrap_err();
    assert!(error.to_string().contains("cannot start `/no/such`"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_closed_or_dropped_leaves_no_program() {
    let stubborn = |seconds: &str| {
        format!("kind: session, argv: [sh, -c, \"trap '' HUP; echo up; sleep {seconds}; :\"]")
    };
    let mut closed = opened(&stubborn("4763.1"), "").await;
    exchange(&mut closed, Some("up"), None, soon()).await.unwrap();
    closed.close(Deadline::within(Duration::from_millis(200))).await.unwrap();
    gone("sleep 4763.1").await;
    let mut dropped = opened(&stubborn("4763.2"), "").await;
    exchange(&mut dropped, Some("up"), None, soon()).await.unwrap();
    drop(dropped);
    gone("sleep 4763.2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_is_undone_by_the_same_driver() {
    let dir = tempfile::tempdir().unwrap();
    let text = "version: 1
devices: { sw1: {}, sw2: {} }
drivers: { it: { kind: local } }
scenario:
  name: all
  nodes:
    - step: touch
      targets: all
      policy: { on_fail: rollback_all }
      apply: { exchanges: [ { send: 'touch DIR/%(device.name)s' } ] }
      verify: { exchanges: [ { send: 'test %(device.name)s = sw1' } ] }
      rollback: [ { exchanges: [ { send: 'mv DIR/%(device.name)s DIR/%(device.name)s.undone' } ] } ]
"
    .replace("DIR", dir.path().to_str().unwrap());
    let read = |path: &Path| std::fs::read_to_string(path);
    let changes =
        change::parse(Path::new("lab.yaml"), dir.path(), &text, &Vars::new(), &read).unwrap().changes;
    let plan = std::sync::Arc::new(change::plan(&changes, &Vars::new()).unwrap());
    let head = change::Head::new(plan.digest()).unwrap();
    let runner = change::Runner::new(plan, drivers(&changes, &outside(&[])).unwrap());
    let report = runner.run(&dir.path().join("run"), head).await.unwrap();
    assert_eq!(report.state, change::State::BackoutOk, "{report:?}");
    let mut left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["run", "sw1.undone", "sw2.undone"]);
}
