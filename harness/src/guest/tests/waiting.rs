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
    let one = Pattern::regex("^o.e$").unwrap();
    assert_eq!(guest.wait_for_console(&one, LONG).await.unwrap(), "one");
    let error =
        told(&guest.wait_for_console(Pattern::regex("^login").unwrap(), 2 * SECOND).await.unwrap_err());
    assert!(
        error.contains("for /^login/ on the console") && error.contains("the last one is: web login:"),
        "{error}"
    );
    let output = guest.wait_until_fails("echo no; exit 3", LONG).await.unwrap();
    assert_eq!((output.status, output.stdout.text().as_ref()), (Status::Code(3), "no\n"));
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

    // It is looked at whenever the journal has news, and once a second.
    let looks = rig.dir.path().join("looks");
    rig.fake("systemctl", &format!("echo >>{}; cat {}", looks.display(), state.display()));
    let count = || fs::read(&looks).map_or(0, |looks| looks.len());
    set("activating");
    rig.fake(
        "journalctl",
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo x; done; sleep 5",
    );
    guest.wait_for_unit("web.service", 4 * SECOND).await.unwrap_err();
    assert!(count() >= 20, "{}", count());

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

/// Python keeps what the shell cannot: sockets.
fn python(code: &str) -> std::process::Child {
    let mut python = std::process::Command::new("python3");
    python.args(["-c", &format!("import socket, time\n{code}\ntime.sleep(1000)")]).spawn().unwrap()
}

fn ended(mut child: std::process::Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn what_is_inside_is_waited_for_over_one_session() {
    let rig = rig!();
    let guest = rig.guest();
    let path = |name: &str| rig.dir.path().join(name).display().to_string();

    let file = path("lies about");
    fs::write(&file, "").unwrap();
    let late = async {
        tokio::time::sleep(SECOND).await;
        fs::remove_file(&file).unwrap();
    };
    let (gone, ()) = tokio::join!(guest.wait_for_file_gone(&file, LONG), late);
    gone.unwrap();
    symlink("/no/such", path("link")).unwrap();
    let error = told(&guest.wait_for_file(&path("link"), 3 * SECOND).await.unwrap_err());
    assert!(error.contains("last seen: it is a link that leads nowhere"), "{error}");
    let error = told(&guest.wait_for_file_gone(&path("link"), 3 * SECOND).await.unwrap_err());
    assert!(error.contains("last seen: it is there"), "{error}");
    assert_eq!(rig.server.dials.load(Ordering::SeqCst), 1);

    // A file that a dead server left is no socket; one that is only bound has nobody who listens.
    let socket = path("socket");
    let server =
        python(&format!("s = socket.socket(socket.AF_UNIX); s.bind('{socket}'); time.sleep(1); s.listen()"));
    guest.wait_for_socket(&socket, LONG).await.unwrap();
    symlink(rig.dir.path(), path("elsewhere")).unwrap();
    guest.wait_for_socket(&path("elsewhere/socket"), LONG).await.unwrap();
    ended(server);
    let error = told(&guest.wait_for_socket(&socket, 3 * SECOND).await.unwrap_err());
    assert!(error.contains("last seen: it is there, but nobody listens"), "{error}");
    let error = told(&guest.wait_for_socket(&path("sshd_config"), 3 * SECOND).await.unwrap_err());
    assert!(error.contains("something else than a socket"), "{error}");
    let datagrams = python(&format!(
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('{}')",
        path("datagrams")
    ));
    guest.wait_for_socket(&path("datagrams"), LONG).await.unwrap();
    ended(datagrams);

    let bound = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap().port();
    guest.wait_for_udp_port(port, LONG).await.unwrap();
    drop(bound);
    let error = told(&guest.wait_for_udp_port(port, 3 * SECOND).await.unwrap_err());
    assert!(
        error.contains(&format!("somebody on UDP port {port}")) && error.contains("nobody has it"),
        "{error}"
    );
    let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
    guest.wait_for_port_inside(listener.local_addr().unwrap().port(), LONG).await.unwrap();

    // Names are as the kernel keeps them; a process that has ended and was not yet mourned runs no more.
    let name = "polder-tests-waiting";
    fs::copy("/bin/sleep", path(name)).unwrap();
    let mut process = std::process::Command::new(path(name)).arg("1000").spawn().unwrap();
    guest.wait_for_process(name, LONG).await.unwrap();
    guest.wait_for_process(&process.id().to_string(), LONG).await.unwrap();
    let error = told(&guest.wait_for_process_gone(name, 3 * SECOND).await.unwrap_err());
    assert!(error.contains(&format!("last seen: it runs as {}", process.id())), "{error}");
    process.kill().unwrap();
    guest.wait_for_process_gone(name, LONG).await.unwrap();
    process.wait().unwrap();
    let error = told(&guest.wait_for_process(name, 3 * SECOND).await.unwrap_err());
    assert!(
        error.contains("for a process `polder-tests-waiting`") && error.contains("there is none"),
        "{error}"
    );
    assert_eq!(rig.server.dials.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_wait_ends_with_the_process_it_depends_on() {
    let rig = rig!();
    let guest = rig.guest();
    let mut server = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = server.id().to_string();
    let start = Instant::now();
    let late = async {
        // Seen at least once before, also on a busy host.
        tokio::time::sleep(4 * SECOND).await;
        server.kill().unwrap();
        server.wait().unwrap();
    };
    let never = guest.wait_for_file("/no/such", LONG);
    let (error, ()) = tokio::join!(guest.while_process(&pid, never), late);
    let error = told(&error.unwrap_err());
    assert!(error.contains(&format!("for process {pid} to go on: it cannot come true any more")), "{error}");
    assert!(
        error.contains("last seen: it is gone\n") && error.contains(&format!("it runs as {pid}")),
        "{error}"
    );
    assert!(start.elapsed() < 20 * SECOND);
    // What comes true before is what counts.
    guest.while_process(&std::process::id().to_string(), guest.wait_for_file("/", LONG)).await.unwrap();
}

/// Until somebody has looked for that file, in the guest that is this host.
async fn is_looked_for(path: &str) {
    while !runs(&format!("look.*{path}")) {
        tokio::time::sleep(SECOND / 20).await;
    }
    tokio::time::sleep(SECOND).await;
}

/// The session breaks and its look with it: another one goes on.
#[tokio::test]
async fn a_held_look_outlives_its_session() {
    let rig = rig!();
    let guest = rig.guest();
    let path = rig.dir.path().join("appears");
    let breaking = async {
        is_looked_for(path.to_str().unwrap()).await;
        rig.server.kill();
        tokio::time::sleep(SECOND).await;
        fs::write(&path, "").unwrap();
    };
    let (found, ()) = tokio::join!(guest.wait_for_file(path.to_str().unwrap(), LONG), breaking);
    found.unwrap();
    assert_eq!(rig.server.dials.load(Ordering::SeqCst), 2);

    let breaking = async {
        is_looked_for("/no/such/held").await;
        rig.server.refuses.store(true, Ordering::SeqCst);
        rig.server.kill();
    };
    let (error, ()) = tokio::join!(guest.wait_for_file("/no/such/held", 8 * SECOND), breaking);
    let error = error.unwrap_err();
    assert_eq!(error.fault(), Fault::Environment, "{}", told(&error));
    let seen = told(&error);
    assert!(seen.contains("x  it is not there\n") && seen.contains("cannot open a connection"), "{seen}");
    rig.server.refuses.store(false, Ordering::SeqCst);

    // Nothing of it is left in the guest.
    let gone = guest.wait_until_fails("pgrep -f '[l]ook.*/no/such/held'", LONG).await;
    gone.unwrap();
}

#[tokio::test]
async fn logs_are_followed_from_their_start_or_from_now() {
    let rig = rig!();
    let guest = rig.guest();
    let path = rig.dir.path().join("a log");
    let log = Log::file(path.to_str().unwrap());
    let late = async {
        tokio::time::sleep(SECOND).await;
        fs::write(&path, "one\ntwo 2\n").unwrap();
    };
    let (line, ()) = tokio::join!(guest.wait_for_log(&log, Pattern::regex(r"\d$").unwrap(), LONG), late);
    assert_eq!(line.unwrap(), "two 2");

    let now = guest.end_of(&log).await.unwrap();
    let error = told(&guest.wait_for_log(&now, "two", 3 * SECOND).await.unwrap_err());
    assert!(error.contains("for `two` in `") && error.contains("last seen: nothing yet"), "{error}");
    fs::write(&path, "one\ntwo 2\nthree\ntwo again\n").unwrap();
    assert_eq!(guest.wait_for_log(&now, "two", LONG).await.unwrap(), "two again");
    let error = told(&guest.wait_for_log(&log, "four", 3 * SECOND).await.unwrap_err());
    assert!(error.contains("1x  one\n") && error.contains("last seen: two again\n"), "{error}");
    // It was replaced by a shorter one.
    fs::write(&path, "two\n").unwrap();
    assert_eq!(guest.wait_for_log(&now, "two", LONG).await.unwrap(), "two");

    let cursors = rig.dir.path().join("asked");
    let journal = format!(
        "echo \"$*\" >>{}; case \"$*\" in *--sync*) ;; *--show-cursor*) printf '%s\\n' old '-- cursor: s=7'; ;;\n\
         *--after-cursor=s=7*) echo new; exec sleep 1000 ;; *) echo old; exec sleep 1000 ;; esac",
        cursors.display()
    );
    rig.fake("journalctl", &journal);
    let unit = Log::unit("web.service");
    assert_eq!(guest.wait_for_log(&unit, "old", LONG).await.unwrap(), "old");
    let now = guest.end_of(&unit).await.unwrap();
    assert_eq!(guest.wait_for_log(&now, "", LONG).await.unwrap(), "new");
    let asked = fs::read_to_string(&cursors).unwrap();
    assert!(asked.lines().next().unwrap().ends_with("--no-tail --follow --unit=web.service"), "{asked}");
    assert!(asked.ends_with("--unit=web.service --after-cursor=s=7\n"), "{asked}");

    let bare = Guest::new(GuestSpec { abilities: Abilities([Ability::Ssh].into()), ..rig.spec() });
    let error = told(&bare.wait_for_log(&unit, "x", LONG).await.unwrap_err());
    assert!(error.starts_with("cannot wait for a line of the journal on web\n"), "{error}");
}

/// Answers as a server would, once for each status.
fn serve(answers: &'static [&'static str]) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let length = io::Read::read(&mut stream, &mut asked).unwrap();
            assert!(asked[..length].starts_with(b"GET /health?x=1 HTTP/1.1\r\nhost: 127.0.0.1:"));
            io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        }
    });
    port
}

#[rstest::rstest]
#[case::outside(false)]
#[case::inside(true)]
#[tokio::test]
async fn http_is_asked_until_the_answer_is_right(#[case] inside: bool) {
    let rig = rig!();
    let guest = rig.guest();
    let place = |http: Http| if inside { http.inside() } else { http };
    let port = serve(&[
        "HTTP/1.1 503 Not yet\r\nContent-Length: 7\r\n\r\nstarts\n",
        "no HTTP at all\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwar\r\n3\r\nm!\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nready",
    ]);
    let warm = place(Http::get(port, "/health?x=1").body("ready"));
    let answer = guest.wait_for_http(&warm, LONG).await.unwrap();
    assert_eq!(answer, HttpAnswer { status: 200, body: "ready".into() });
    let port = serve(&["HTTP/1.1 503 Not yet\r\nContent-Length: 7\r\n\r\nstarts\n"; 100]);
    let error =
        told(&guest.wait_for_http(&place(Http::get(port, "/health?x=1")), 3 * SECOND).await.unwrap_err());
    assert!(error.contains("last seen: status 503, its body: starts"), "{error}");
    let error = told(&guest.wait_for_http(&place(Http::get(port, "no path")), 3 * SECOND).await.unwrap_err());
    assert!(error.contains("invalid uri"), "{error}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = told(&guest.wait_for_http(&place(Http::get(closed, "/")), 3 * SECOND).await.unwrap_err());
    let expected = if inside { "no connection inside: " } else { "Connection refused" };
    assert!(error.contains(expected), "{error}");
}

/// Without ssh the guest is asked again and again; nobody knows the difference.
#[tokio::test]
async fn the_agent_is_asked_where_no_session_can_be_held() {
    let dir = tempfile::tempdir().unwrap();
    let guest = Guest::new(GuestSpec {
        name: "web".parse().unwrap(),
        image: "minimal".into(),
        abilities: Abilities([Ability::Agent, Ability::AgentExec].into()),
        ssh: None,
        agent: Some(Arc::new(FakeAgent::default())),
        machine: None,
        login: Login { user: "root".into(), password: None },
        console: dir.path().join("console"),
        outputs: dir.path().join("outputs"),
        notes: dir.path().join("notes"),
        time_factor: 1.0,
    });
    let path = dir.path().join("log");
    let late = async {
        tokio::time::sleep(SECOND).await;
        fs::write(&path, "one\ntwo\n").unwrap();
    };
    let (found, ()) = tokio::join!(guest.wait_for_file(path.to_str().unwrap(), LONG), late);
    found.unwrap();
    let log = Log::file(path.to_str().unwrap());
    assert_eq!(guest.wait_for_log(&log, "t", LONG).await.unwrap(), "two");
    let error = told(&guest.wait_for_log(&log, "three", 3 * SECOND).await.unwrap_err());
    assert!(error.contains("last seen: two"), "{error}");
}

/// Who waits for many things has all of them on the stack.
#[test]
fn verbs_that_wait_are_small() {
    let guest = Guest::new(GuestSpec {
        name: "web".parse().unwrap(),
        image: "minimal".into(),
        abilities: Abilities::default(),
        ssh: None,
        agent: None,
        machine: None,
        login: Login { user: "root".into(), password: None },
        console: "/".into(),
        outputs: "/".into(),
        notes: "/".into(),
        time_factor: 1.0,
    });
    let (http, log) = (Http::get(80, "/"), Log::journal());
    let sizes = [
        size_of_val(&guest.wait_for_ssh(SECOND)),
        size_of_val(&guest.wait_for_port(80, SECOND)),
        size_of_val(&guest.wait_for_http(&http, SECOND)),
        size_of_val(&guest.wait_for_file("/", SECOND)),
        size_of_val(&guest.wait_for_unit("x", SECOND)),
        size_of_val(&guest.wait_for_log(&log, "x", SECOND)),
        size_of_val(&guest.end_of(&log)),
        size_of_val(&guest.wait_until_succeeds("x", SECOND)),
        size_of_val(&guest.while_process("x", guest.wait_for_port(80, SECOND))),
        size_of_val(&guest.execute("x")),
        size_of_val(&guest.succeed("x")),
    ];
    assert!(sizes.iter().all(|&size| size < 8 * 1024), "{sizes:?}");
}
