//! The verbs that wait, and a reboot.

use super::*;

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
    let error =
        guest.until("echo never", |out| out.contains("ever so")).within(2 * SECOND).await.unwrap_err();
    assert!(told(&error).contains("last seen: it printed: never"), "{}", told(&error));
    let error = guest.wait_until_succeeds("echo why >&2; exit 9", 2 * SECOND).await.unwrap_err();
    assert!(told(&error).contains("last seen: exit status 9, it printed: why"), "{}", told(&error));
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
    rig.fake(
        "systemctl",
        &format!("[ \"$1\" = show ] && [ \"$4\" = web.service ] && cat {}", state.display()),
    );
    let guest = rig.guest();
    let set = |active: &str| {
        fs::write(&state, format!("LoadState=loaded\nActiveState={active}\nSubState=x\nResult=y\n")).unwrap()
    };
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
    assert!(
        told(&error).contains("for unit `web.service`: it cannot come true any more"),
        "{}",
        told(&error)
    );

    let bare = Guest::new(GuestSpec {
        abilities: Abilities([Ability::Ssh].into()),
        image: "minimal".into(),
        ..rig.spec()
    });
    let error = bare.wait_for_unit("web.service", LONG).await.unwrap_err();
    assert_eq!(
        told(&error),
        "cannot wait for a unit on web\ncaused by: image `minimal` does not have systemd units"
    );
    assert_eq!(rig.server.dials.load(Ordering::SeqCst), 1, "nothing was tried");
}

/// The kernel that goes says good-bye to our connection, or it does not.
#[rstest::rstest]
#[case("KILL")]
#[case("STOP")]
#[tokio::test]
async fn a_reboot_is_over_when_the_kernel_is_another(#[case] end: &str) {
    let rig = rig!();
    let guest = rig.guest();
    let id = rig.dir.path().join("id");
    fs::write(&id, "first\n").unwrap();
    rig.fake("cat", &format!("exec /bin/cat {}", id.display()));
    let asked = rig.dir.path().join("asked");
    rig.fake("reboot", &format!("touch {}", asked.display()));
    let booting = async {
        appears(&asked).await;
        tokio::time::sleep(SECOND).await;
        rig.server.refuses.store(true, Ordering::SeqCst);
        rig.server.signal(end);
        tokio::time::sleep(SECOND).await;
        fs::write(&id, "second\n").unwrap();
        rig.server.refuses.store(false, Ordering::SeqCst);
    };
    let (back, ()) = tokio::join!(guest.reboot(15 * SECOND), booting);
    back.unwrap();
    assert_eq!(fs::read(&id).unwrap(), b"second\n");

    let error = guest.reboot(2 * SECOND).await.unwrap_err();
    assert!(told(&error).contains("last seen: it has not gone down yet"), "{}", told(&error));
    rig.fake("reboot", "echo not allowed >&2; exit 1");
    let error = guest.reboot(LONG).await.unwrap_err();
    assert!(told(&error).contains("not allowed"), "{}", told(&error));
}
