//! Over ssh, to an OpenSSH server of this host: as a host by its address, and as a machine of an environment.

use std::{
    net::TcpListener,
    sync::{Arc, Weak},
};

use russh::keys::ssh_key::LineEnding;

use super::*;
use crate::guest::tests::{Rig, Server, key};

const IP: &str = "ipaddress: 127.0.0.1";
/// Debian's number of the group `tty`, and everybody else's.
const TTY: u32 = 5;

/// An ssh server at a port, as long as the rig lives.
fn listening(rig: &Rig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server: Weak<Server> = Arc::downgrade(&rig.server);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Some(server) = server.upgrade() else { return };
            server.attend(stream.into()).unwrap();
        }
    });
    port
}

/// The keys in the rig's folder, and a driver that uses them, with more options.
fn driver(rig: &Rig, port: u16, more: &str) -> String {
    let path = |name: &str| rig.dir.path().join(name);
    std::fs::write(path("id"), key(2).to_openssh(LineEnding::LF).unwrap()).unwrap();
    let host = key(1).public_key().to_openssh().unwrap();
    std::fs::write(path("known"), format!("# ours\n[127.0.0.1]:{port} {host}\n")).unwrap();
    let user = rig.spec().ssh.unwrap().user;
    format!("kind: ssh, user: {user}, port: {port}, key_file: id, known_hosts: known{more}")
}

/// Whether an ssh server of ours can give terminals: one that is not root cannot where they belong to no group `tty`.
fn gives_terminals() -> bool {
    let opened = crate::base::terminal::open().unwrap();
    let gives = rustix::process::getuid().is_root() || rustix::fs::fstat(&opened.1).unwrap().st_gid == TTY;
    if !gives {
        eprintln!(
            "SKIPPED: /dev/pts is mounted without `gid=5`, so sshd gives terminals only when root runs it"
        );
    }
    gives
}

async fn at(rig: &Rig, driver: &str) -> Result<Box<dyn Session>, DriverError> {
    open(&changes(rig.dir.path(), driver, IP), &outside(&[("HOME", "/nowhere")])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_runs_commands() {
    let Some(rig) = Rig::start("") else { return };
    let mut session = at(&rig, &driver(&rig, listening(&rig), "")).await.unwrap();
    let said = send(&mut session, "echo out; sleep 0.2; echo err >&2; cat; exit 3").await.unwrap();
    assert_eq!(
        (said.stdout.as_str(), said.stderr.as_str(), said.output.as_str()),
        ("out\n", "err\n", "out\nerr\n")
    );
    assert_eq!((said.exitcode, said.failure.as_deref()), (Some(3), Some("exit status 3")));
    assert_eq!(send(&mut session, "kill -9 $$").await.unwrap().exitcode, None);
    let error = send(&mut session, " ").await.unwrap_err();
    assert_eq!(error.to_string(), "sw1 refused it: there is no command to run");
    let late = Deadline::within(Duration::from_millis(500));
    let error = exchange(&mut session, None, Some("echo begun; exec sleep 4764.1"), late).await.unwrap_err();
    let DriverError::TimedOut { said, .. } = &error else { panic!("{error:?}") };
    assert_eq!(said.output, "begun\n");
    assert_eq!(
        send(&mut session, "echo on").await.unwrap().output,
        "on\n",
        "the connection is as good as before"
    );
    rig.server.kill();
    let error = send(&mut session, "echo gone").await.unwrap_err();
    assert!(matches!(error, DriverError::Lost { .. } | DriverError::Refused { .. }), "{error:?}");
    session.close(soon()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_a_shell_in_a_terminal() {
    let Some(rig) = Rig::start("") else { return };
    if !gives_terminals() {
        // It is said at once, and not when the deadline is over.
        let error = at(&rig, &driver(&rig, listening(&rig), ", terminal: true")).await.err();
        assert!(matches!(error, Some(DriverError::Connect { .. })), "{error:?}");
        return;
    }
    let mut session = at(&rig, &driver(&rig, listening(&rig), ", terminal: true")).await.unwrap();
    send(&mut session, "tty; stty size").await.unwrap();
    let ask = "stty -echo; echo waiting; read -r secret; stty echo; echo got-${#secret}";
    let said = exchange(&mut session, Some("0 1000"), Some(ask), soon()).await;
    assert!(said.unwrap().output.contains("/dev/pts/"));
    exchange(&mut session, Some("waiting\r?\n"), Some(&"x".repeat(300)), soon()).await.unwrap();
    let said = exchange(&mut session, Some("got-300"), Some("exit 0"), soon()).await.unwrap();
    assert!(!said.output.contains("xxx"), "what is not shown is not told: {said:?}");
    let error = exchange(&mut session, Some("never"), None, soon()).await.unwrap_err();
    assert!(matches!(error, DriverError::Lost { .. }), "{error:?}");
    session.close(soon()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_only_trusted_by_its_key() {
    let Some(rig) = Rig::start("") else { return };
    let (port, known) = (listening(&rig), rig.dir.path().join("known"));
    let strict = driver(&rig, port, "");
    std::fs::write(&known, "").unwrap();
    let error = at(&rig, &strict).await.err().unwrap().to_string();
    assert!(error.contains("has a host key of sw1 or 127.0.0.1") && error.contains("ssh-keyscan"), "{error}");
    let noting = strict.replace("user:", "host_key: accept-new, user:");
    at(&rig, &noting).await.unwrap().close(soon()).await.unwrap();
    // From then on, it is known.
    at(&rig, &strict).await.unwrap().close(soon()).await.unwrap();
    let other = key(3).public_key().to_openssh().unwrap();
    std::fs::write(&known, format!("[127.0.0.1]:{port} {other}\n")).unwrap();
    for driver in [&strict, &noting] {
        let error = at(&rig, driver).await.err().unwrap().to_string();
        assert!(error.contains("another host key than the pinned one"), "{error}");
    }
    at(&rig, &strict.replace("user:", "host_key: any, user:")).await.unwrap().close(soon()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_or_not_there_says_why() {
    let Some(rig) = Rig::start("") else { return };
    let port = listening(&rig);
    let right = driver(&rig, port, "");
    std::fs::write(rig.dir.path().join("id"), key(3).to_openssh(LineEnding::LF).unwrap()).unwrap();
    let error = at(&rig, &right).await.err().unwrap();
    assert!(matches!(error, DriverError::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("refuses the key SHA256:"), "{error}");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = at(&rig, &driver(&rig, nobody, "")).await.err().unwrap().to_string();
    assert!(error.contains("cannot open a connection to 127.0.0.1"), "{error}");
    let error = at(&rig, "kind: ssh").await.err().unwrap().to_string();
    assert!(error.contains("says no `user` to log in as"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_an_environment_is_reached_as_what_it_is() {
    let Some(rig) = Rig::start("") else { return };
    let changes = changes(rig.dir.path(), "kind: ssh", "");
    let mut outside = outside(&[("HOME", "/nowhere")]);
    outside.machines.insert("sw1".to_owned(), rig.guest());
    let mut session = open(&changes, &outside).await.unwrap();
    let said = send(&mut session, "echo out; echo err >&2; exit 3").await.unwrap();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str(), said.exitcode), ("out\n", "err\n", Some(3)));
    let late = Deadline::within(Duration::from_millis(800));
    let error = exchange(&mut session, None, Some("echo begun; sleep 4764.2"), late).await.unwrap_err();
    let DriverError::TimedOut { said, .. } = &error else { panic!("{error:?}") };
    assert_eq!(said.output, "begun\n");
    gone("sleep 4764.2").await;
    session.close(soon()).await.unwrap();
    if !gives_terminals() {
        return;
    }
    let terminal = super::changes(rig.dir.path(), "kind: ssh, terminal: true", "");
    let mut session = open(&terminal, &outside).await.unwrap();
    send(&mut session, "echo shell-$((3 + 4))").await.unwrap();
    exchange(&mut session, Some("shell-7"), None, soon()).await.unwrap();
    session.close(soon()).await.unwrap();
}
