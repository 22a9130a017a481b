//! The way a command takes: the first that answers, with the reason, never twice, and after a guest that was away.

use std::sync::Mutex;

use tokio::{io::AsyncReadExt, net::UnixStream};

use super::*;
use crate::base::dial::{BoxFuture, Dial};

/// A machine that says why it does not answer, and has no console.
#[derive(Debug)]
struct Around(Mutex<Option<Standstill>>);

impl MachinePort for Around {
    fn console(&self, _: Duration) -> BoxFuture<'_, std::io::Result<UnixStream>> {
        Box::pin(async { Err(std::io::ErrorKind::Unsupported.into()) })
    }

    fn standstill(&self, _: Duration) -> BoxFuture<'_, Option<Standstill>> {
        Box::pin(async { *self.0.lock().unwrap() })
    }
}

fn with_agent(rig: &Rig, agent: &Arc<FakeAgent>) -> Guest {
    let mut spec = rig.spec();
    spec.abilities.0.insert(Ability::AgentExec);
    spec.agent = Some(Arc::clone(agent) as _);
    Guest::new(spec)
}

#[tokio::test]
async fn the_agent_serves_where_ssh_is_away_and_says_why() {
    let rig = rig!();
    let guest = with_agent(&rig, &Arc::default());
    assert!(guest.succeed("false").await.unwrap_err().to_string().contains("(over ssh, after "));
    rig.server.refuses.store(true, Ordering::SeqCst);
    guest.restarted().await;
    let said = guest.succeed(Command::from("cat; false").stdin("in")).await.unwrap_err().to_string();
    assert!(
        said.contains("(over guest agent, because ssh failed: cannot open a connection to 127.0.0.1:22: "),
        "{said}"
    );
    assert!(said.contains("--- stdout ---\nin"), "{said}");
    // Who wants one way gets no other.
    let only = Command::from("true").over(Channel::Ssh).timeout(SECOND);
    let error = guest.execute(only).await.unwrap_err();
    assert!(matches!(error, GuestError::Unreachable { .. }), "{error}");
    let error = rig.guest().execute(Command::from("true").over(Channel::Agent)).await.unwrap_err();
    let unsupported = "caused by: image `debian12` does not have commands over the guest agent";
    assert!(told(&error).ends_with(unsupported), "{}", told(&error));
}

#[tokio::test]
async fn what_may_have_begun_is_never_begun_again() {
    let rig = rig!();
    let agent = Arc::new(FakeAgent::default());
    let guest = with_agent(&rig, &agent);
    let sign = rig.dir.path().join("begun");
    let server = Arc::clone(&rig.server);
    let killing = async {
        appears(&sign).await;
        server.refuses.store(true, Ordering::SeqCst);
        server.kill();
    };
    let once = format!("echo x >> {}; sleep 5", sign.display());
    let (lost, ()) = tokio::join!(guest.execute(once.clone()), killing);
    assert!(matches!(lost, Err(GuestError::Lost { .. })), "{lost:?}");
    // An agent that falls silent over the question may have heard it.
    let silent = Err(AgentPortError::TimedOut(SECOND));
    agent.replies.lock().unwrap().insert("guest-exec", silent);
    let lost = guest.execute(once).await;
    assert!(matches!(lost, Err(GuestError::Lost { .. })), "{lost:?}");
    tokio::time::sleep(SECOND).await;
    assert_eq!(fs::read_to_string(&sign).unwrap(), "x\n");
}

#[tokio::test]
async fn a_guest_that_is_away_is_waited_for() {
    let rig = rig!();
    rig.server.refuses.store(true, Ordering::SeqCst);
    let guest = rig.guest();
    let back = async {
        tokio::time::sleep(SECOND).await;
        rig.server.refuses.store(false, Ordering::SeqCst);
    };
    let (said, ()) = tokio::join!(guest.succeed("echo here"), back);
    assert_eq!(said.unwrap(), "here\n");
}

#[rstest::rstest]
#[case(Standstill::Paused, "it cannot be reached, it is paused")]
#[case(Standstill::Off, "it cannot be reached, it is off")]
#[tokio::test]
async fn why_it_is_away_is_told_in_time(#[case] why: Standstill, #[case] message: &str) {
    let rig = rig!();
    rig.server.refuses.store(true, Ordering::SeqCst);
    let machine = Arc::new(Around(Mutex::new(Some(why))));
    let guest = Guest::new(GuestSpec { machine: Some(machine), time_factor: 0.2, ..rig.spec() });
    let start = Instant::now();
    let over = Command::from("true").over(Channel::Ssh).timeout(15 * SECOND);
    let error = guest.execute(over).await.unwrap_err();
    assert!(told(&error).contains(message), "{}", told(&error));
    // What is off does not come back by itself; what is paused may until the end.
    let took = start.elapsed();
    let range = if why == Standstill::Off { 1..=2 } else { 3..=4 };
    assert!(range.contains(&took.as_secs()), "{took:?}");
}

/// Two ssh servers in a row, and something behind that only the first one reaches.
#[tokio::test]
async fn a_jump_leads_to_what_only_another_machine_reaches() {
    let rig = rig!();
    let jump = || SshJump::new(rig.spec().ssh.unwrap(), 1.0);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = Arc::clone(&rig.server);
    let serving = tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let mut there = server.dial("127.0.0.1:22".parse().unwrap(), LONG).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut here, &mut there).await });
        }
    });
    let mut banner = [0; 8];
    jump().dial(addr, LONG).await.unwrap().read_exact(&mut banner).await.unwrap();
    assert_eq!(&banner, b"SSH-2.0-");
    let behind = SshSpec { dial: Arc::new(jump()), addr, ..rig.spec().ssh.unwrap() };
    let guest = Guest::new(GuestSpec { ssh: Some(behind), ..rig.spec() });
    assert_eq!(guest.succeed("echo behind").await.unwrap(), "behind\n");
    let nothing = "127.0.0.1:1".parse().unwrap();
    let refused = jump().dial(nothing, LONG).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{refused}");
    serving.abort();
    rig.server.refuses.store(true, Ordering::SeqCst);
    assert!(jump().dial(addr, LONG).await.is_err());
}
