//! What a guest that breaks, dies or is another does to calls.

use super::*;

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
    spec.ssh.as_mut().unwrap().key = Some(Arc::new(key(8)));
    let text = told(&Guest::new(spec).execute("true").await.unwrap_err());
    assert!(text.contains("cannot run `true` on web: it cannot be reached"), "{text}");
    assert!(text.contains("127.0.0.1:22 refuses the key SHA256:"), "{text}");
}

#[tokio::test]
async fn a_server_that_dies_under_a_command_loses_it_with_its_output_and_the_next_one_connects_anew() {
    let rig = rig!();
    let guest = rig.guest();
    let server = Arc::clone(&rig.server);
    let sign = rig.dir.path().join("begun");
    let killing = async {
        appears(&sign).await;
        server.kill();
    };
    let command = format!("echo begun; sleep 1; touch {}; sleep 5", sign.display());
    let (lost, ()) = tokio::join!(guest.execute(command), killing);
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
    let sign = rig.dir.path().join("begun");
    let freezing = async {
        appears(&sign).await;
        rig.server.signal("STOP");
    };
    let command = Command::from(format!("touch {}; sleep 60", sign.display())).timeout(600 * SECOND);
    let (lost, ()) = tokio::join!(guest.execute(command), freezing);
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
    assert!(
        text.starts_with("gave up waiting on web\n--- console ---\nGave up waiting for root device\n"),
        "{text}"
    );
    assert!(text.contains("for an answer over ssh") && text.contains("connection refused"), "{text}");
    rig.server.refuses.store(false, Ordering::SeqCst);
    guest.wait_for_ssh(LONG).await.unwrap();
}

#[tokio::test]
async fn a_kernel_panic_ends_commands_and_waits_at_once() {
    let rig = rig!();
    let guest = rig.guest();
    let console = rig.dir.path().join("console");
    let sign = rig.dir.path().join("begun");
    let panicking = async {
        appears(&sign).await;
        fs::write(&console, "[ 9.1] Kernel panic - not syncing: Attempted to kill init!\n").unwrap();
    };
    let start = Instant::now();
    let (result, ()) =
        tokio::join!(guest.execute(format!("touch {}; sleep 4714", sign.display())), panicking);
    let text = told(&result.unwrap_err());
    assert!(start.elapsed() < 5 * SECOND);
    assert!(
        text.starts_with("web stopped with a kernel panic, asked to run `touch ")
            && text.contains("sleep 4714`: [ 9.1] Kernel panic - not syncing: Attempted to kill init!"),
        "{text}"
    );
    let error = guest.wait_for_console("login:", LONG).await.unwrap_err();
    assert!(error.to_string().contains("asked to wait for `login:` on the console"), "{error}");
    guest.restarted().await;
    guest.succeed("true").await.unwrap();
}
