//! The guest agent, by itself and where ssh is missing.

use super::*;

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
    rig.fake("journalctl", "true");
    guest.journal(&out("empty")).await.unwrap();
    assert_eq!(fs::read(out("empty")).unwrap(), b"");
    let error = guest.dmesg(&out("d")).await.unwrap_err();
    assert!(matches!(error, GuestError::Failed(_)) && fs::read(out("d")).unwrap() == b"kernel entry\n");

    fs::create_dir(out("logs")).unwrap();
    fs::write(out("logs/a"), noise(100_000)).unwrap();
    rig.server.refuses.store(true, Ordering::SeqCst);
    guest.restarted().await;
    let wanted = [out("logs").display().to_string(), "/no/such".to_owned()];
    let (got, caps) = (out("got"), Caps { path: 1 << 20, machine: 1 << 20 });
    let gather = || guest.gather(&wanted, &got, caps, LONG);
    let gathered = gather().await.unwrap();
    assert_eq!(tree(&got.join(&gathered[0].place)), tree(&out("logs")));
    let told_of = |at: usize| (gathered[at].over, gathered[at].bytes, gathered[at].missing.as_deref());
    assert_eq!(told_of(0), (Channel::Agent, Some(100_000), None));
    assert_eq!(told_of(1), (Channel::Agent, None, Some("there is no such file or folder")));
    let ask = std::collections::BTreeMap::from([("a".to_owned(), "printf 'x\ny\n'; exit 3".to_owned())]);
    let (over, said) = guest.outputs(&ask, LONG).await.unwrap();
    assert_eq!((over, said[0].status, said[0].output.as_slice()), (Channel::Agent, 3, b"x\ny\n".as_slice()));

    agent.replies.lock().unwrap().insert("guest-exec", Err(AgentPortError::NotConnected("no agent".into())));
    let error = gather().await.unwrap_err();
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
        machine: None,
        login: Login { user: "root".into(), password: None },
        console: dir.join("console"),
        outputs: dir.join("outputs"),
        notes: dir.join("notes"),
        time_factor: 1.0,
    })
}

#[tokio::test]
async fn without_ssh_commands_run_over_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Arc::new(FakeAgent::default());
    let guest = agent_only(&agent, dir.path());
    guest.wait_for_agent(LONG).await.unwrap();
    let command =
        Command::script("echo \"$1 $V\"; cat; echo err >&2; exit 5").arg("a\nb").env("V", "v").stdin("in");
    let output = guest.execute(command).await.unwrap();
    assert_eq!((output.stdout.text(), output.stderr.text()), ("a\nb v\nin".into(), "err\n".into()));
    assert_eq!(output.status, Status::Code(5));
    assert_eq!(guest.execute("kill -9 $$").await.unwrap().status, Status::Signal("KILL".into()));
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
