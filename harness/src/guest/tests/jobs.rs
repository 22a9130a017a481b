//! Commands in the background.

use super::*;

#[tokio::test]
async fn a_job_outlives_the_connection_and_is_told_whole() {
    let rig = rig!();
    let guest = rig.guest();
    let go = rig.dir.path().join("go");
    let wait =
        format!("cat; echo err >&2; while [ ! -e {} ]; do sleep 0.05; done; echo end; exit 3", go.display());
    let job = guest.spawn(Command::from(wait).stdin("in\n")).await.unwrap();
    assert!(job.is_running().await.unwrap());
    guest.until("true", |_| true).within(LONG).await.unwrap();
    rig.server.kill();
    let error = job.wait(SECOND / 2).await.unwrap_err();
    let GuestError::Deadline { ran, started: true, .. } = &error else { panic!("{error}") };
    assert_eq!(ran.output.stdout.text(), "in\n");
    assert!(error.to_string().contains("it ran in the background, where it goes on"), "{error}");
    let far = job.output_so_far().await.unwrap();
    assert_eq!((far.stdout.text(), far.stderr.text()), ("in\n".into(), "err\n".into()));
    // The connection breaks while the end is waited for.
    let breaking = async {
        tokio::time::sleep(SECOND / 2).await;
        rig.server.kill();
        fs::write(&go, "").unwrap();
    };
    let (ended, ()) = tokio::join!(job.wait(LONG), breaking);
    let ended = ended.unwrap();
    assert_eq!((ended.status, ended.stdout.text()), (Status::Code(3), "in\nend\n".into()));
    assert!(!job.is_running().await.unwrap());
}

#[tokio::test]
async fn jobs_are_signalled_killed_dropped_and_left_alone() {
    let rig = rig!();
    let guest = rig.guest();
    let trap = "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.05; done";
    let job = guest.spawn(trap).await.unwrap();
    let deadline = Instant::now() + LONG;
    while job.output_so_far().await.unwrap().stdout.total == 0 {
        assert!(Instant::now() < deadline);
    }
    let error = job.signal("NONSENSE").await.unwrap_err();
    assert!(matches!(error, GuestError::Failed(_)), "{error}");
    job.signal("USR1").await.unwrap();
    let ended = job.wait(LONG).await.unwrap();
    assert_eq!((ended.status, ended.stdout.text()), (Status::Code(9), "ready\ncaught\n".into()));

    let family = Command::upload("#!/bin/sh\nsetsid sleep 4731.1 &\nsleep 4731.2");
    let job = guest.spawn(family).await.unwrap();
    job.kill().await.unwrap();
    assert_eq!(job.wait(LONG).await.unwrap().status.code(), 137);
    assert!(!runs("sleep 4731.1") && !runs("sleep 4731.2"));

    let dropped = guest.spawn("sleep 4731.3").await.unwrap();
    guest.spawn("sleep 4731.4").await.unwrap().detach();
    guest.wait_until_succeeds("pgrep -f '[s]leep 4731.3'", LONG).await.unwrap();
    drop(dropped);
    guest.wait_until_succeeds("! pgrep -f '[s]leep 4731.3'", LONG).await.unwrap();
    guest.succeed("pkill -f '[s]leep 4731.4'").await.unwrap();

    let gone = guest.spawn("sleep 4731.5").await.unwrap();
    // With all that watched it, as when the machine starts anew.
    guest.succeed("pkill -KILL -f '[s]leep 4731.5'").await.unwrap();
    let error = gone.wait(LONG).await.unwrap_err();
    assert!(matches!(error, GuestError::JobGone { .. }), "{error}");
    let error = guest.spawn(Command::new("")).await.unwrap_err();
    assert!(matches!(error, GuestError::Command { .. }), "{error}");
}
