//! Nets that lead out of a lab, and files served into it. "Out" is a host of the test's own, in a network of its own: what
//! listens there, and whom it asks for names, are threads of the test.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use polder::{
    env::{Env, Host, Progress, Vm},
    initfile::{self, Options},
    lab::{Hermetic, Lab, LabHost, LabSpec, LabState, Payload},
};

use crate::{
    arena,
    own_host::{self, OwnHost},
    typed::Ground,
};

/// The host, as it is known outside of it.
const HOST: &str = "10.99.0.1";
/// The same with IPv6.
const HOST6: &str = "fd99::1";

/// The machine `a` is on a net that leads out, `b` only on one that does not.
pub(crate) const TWO: &str = "
domains:
  a:
    memory: 128
    vcpu: 1
    nics: [{net: lan}, {net: wan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  b:
    memory: 128
    vcpu: 1
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true, dhcp: {start: 100, end: 200}, dns_domain_name: suite.test}
  wan: {type: nat, internet: true, ipv6: true, dhcp: {start: 100, end: 200}}
";

#[test]
fn nets_lead_out_when_asked_and_files_are_served() {
    own_host::run("serving::on_a_host_of_its_own", &[]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process of `nets_lead_out_when_asked_and_files_are_served`"]
async fn on_a_host_of_its_own() {
    let own = OwnHost::here();
    outside(&own.root);
    let root = own.root.join("labs").display().to_string();
    let vars = |name: &str| match name {
        "POLDER_RUNTIME_DIR" => Some(root.clone()),
        _ => std::env::var(name).ok(),
    };
    let host = Host::from_env(&vars).unwrap();
    let spec = initfile::load_text(Path::new("two.yaml"), TWO, &Options::new(&|_| None)).unwrap().spec;
    let env = match Env::up(&host, &spec, &Progress::new(|line| eprintln!("{line}"))).await {
        Ok(env) => env,
        Err(failure) => panic!("{:?}", failure.error),
    };
    let (a, b) = (env.vm("a").unwrap(), env.vm("b").unwrap());
    the_way_out(&env, &a, &b).await;
    files(&env, &own.root, &b).await;
    env.down().await.unwrap();
    on_a_daemon(&own);
    one_after_another(&own.root).await;
    kills(&own.root);
}

/// A way from this host to where nobody is, names, and who answers on it.
fn outside(root: &Path) {
    let resolver = root.join("resolv.conf");
    fs::write(&resolver, format!("nameserver {HOST}\n")).unwrap();
    let resolver = resolver.display();
    for line in [
        "ip link add outside type bridge".to_owned(),
        format!("ip addr add {HOST}/24 dev outside"),
        "ip link set outside up".to_owned(),
        format!("ip -6 addr add {HOST6}/64 dev outside nodad"),
        "ip route add default via 10.99.0.2".to_owned(),
        "ip -6 route add default via fd99::2".to_owned(),
        format!("mount --bind {resolver} /etc/resolv.conf"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{line}");
    }
    for at in [(HOST, 8000), (HOST6, 8000), ("127.0.0.1", 8001), ("::1", 8001)] {
        let listener = TcpListener::bind(at).unwrap();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(greet(stream))));
    }
    let names = UdpSocket::bind((HOST, 53)).unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((len, from)) = names.recv_from(&mut question) {
            let _ = names.send_to(&answered(&question[..len]), from);
        }
    });
}

fn greet(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while asked.read_line(&mut line)? > 2 {
        line.clear();
    }
    stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
}

/// Every name has our address, and none of IPv6.
fn answered(question: &[u8]) -> Vec<u8> {
    let mut end = 12;
    while question[end] != 0 {
        end += usize::from(question[end]) + 1;
    }
    let (end, is_a) = (end + 5, question[end + 2] == 1);
    let counts = [0, 1, 0, u8::from(is_a), 0, 0, 0, 0];
    let mut answer = [&question[..2], &[0x81, 0x80], &counts, &question[12..end]].concat();
    if is_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 99, 0, 1]);
    }
    answer
}

/// What a page is for a machine, or `None` when it cannot be had.
async fn page(vm: &Vm, url: &str) -> Option<String> {
    let got = vm.execute(format!("timeout 20 wget -q -O - {url}")).await.unwrap();
    got.status.success().then(|| got.stdout.text().into_owned())
}

async fn the_way_out(env: &Env, a: &Vm, b: &Vm) {
    let outside = format!("http://{HOST}:8000/");
    assert_eq!(page(a, &outside).await.as_deref(), Some("hello\n"));
    let lookup = a.succeed("nslookup somewhere.example").await.unwrap();
    assert!(lookup.contains(HOST), "{lookup}");
    let wan = env.net("wan").unwrap().gateway().unwrap();
    let routes = a.succeed("ip route").await.unwrap();
    assert!(routes.starts_with(&format!("default via {wan} ")), "{routes}");
    a.succeed("nslookup b.suite.test").await.unwrap();
    let outside6 = format!("http://[{HOST6}]:8000/");
    assert_eq!(page(a, &outside6).await.as_deref(), Some("hello\n"));
    // What listens on the host's loopback alone is the host's.
    assert_eq!(page(a, "http://192.0.0.1:8001/").await, None);
    assert_eq!(page(a, "http://[fd70:6f6c:6465:7200::1]:8001/").await, None);

    assert_eq!(page(b, &outside).await, None);
    assert_eq!(page(b, &outside6).await, None);
    assert_eq!(b.succeed("ip route").await.unwrap().lines().filter(|l| l.starts_with("default")).count(), 0);
    let lan = env.net("lan").unwrap().gateway().unwrap();
    b.succeed(format!("ip route add default via {lan}")).await.unwrap();
    assert_eq!(page(b, &outside).await, None, "also when it tries");
    let lookup = b.execute("nslookup somewhere.example").await.unwrap();
    assert!(!lookup.stdout.text().contains("10.99.0.1"), "{lookup:?}");
}

async fn files(env: &Env, root: &Path, b: &Vm) {
    let dir = root.join("files");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("tool"), "1.0\n").unwrap();
    let (served, also) = (env.serve(&dir).await.unwrap(), env.serve(root).await.unwrap());
    assert_eq!(page(b, &format!("{}/tool", served.url())).await.as_deref(), Some("1.0\n"));
    assert_eq!(page(b, &format!("{}/files/tool", also.url())).await.as_deref(), Some("1.0\n"));
    assert!(page(b, &format!("{}/", served.url())).await.unwrap().contains("\"./tool\""));
    let gone = served.url();
    drop(served);
    let failed = b.execute(format!("timeout 20 wget -O - {gone}/tool")).await.unwrap();
    assert!(failed.stderr.text().contains("refused"), "{failed:?}");

    let error = env.serve(root.join("absent")).await.unwrap_err().to_string();
    assert!(error.contains("/absent at "), "{error}");
    assert!(env.serve_repo().await.unwrap().is_none(), "it has none");
    fs::create_dir(env.folder().join("repo")).unwrap();
    let repo = env.serve_repo().await.unwrap().unwrap();
    assert!(repo.ends_with(":8585"), "{repo}");
    assert_eq!(env.serve_repo().await.unwrap(), Some(repo.clone()), "it goes on");
    fs::write(env.folder().join("repo/tool"), "1.0\n").unwrap();
    assert_eq!(page(b, &format!("{repo}/tool")).await.as_deref(), Some("1.0\n"));
}

/// On a system's daemon the verb serves at the bridge of the host, which guests reach it by.
fn on_a_daemon(own: &OwnHost) {
    let ground = Ground::on(own, TWO);
    ground.polder(&["serve"]).fails(2, "looked for:");
    ground.polder(&["init"]).ok();
    ground.polder(&["serve"]).fails(2, "there is no folder");
    fs::create_dir(ground.path("files")).unwrap();
    fs::write(ground.path("files/tool"), "1.0\n").unwrap();
    ground.polder(&["serve", "files"]).fails(2, "`polder start`");
    ground.polder(&["start", "b"]).ok();
    let mut serving = Serving::start(&ground, &["-f", "json", "serve", "files", "--port", "8686"]);
    let said: serde_json::Value = serde_json::from_str(&serving.lines(3)).unwrap();
    let url = said["url"].as_str().unwrap();
    assert!(url.starts_with("http://192.168.2") && url.ends_with(":8686"), "{url}");
    assert_eq!(get(url, "/tool"), "1.0\n");
    serving.end(0);
    assert!(TcpStream::connect(url.trim_start_matches("http://")).is_err());
}

/// A command that serves until it is told to stop.
struct Serving {
    child: std::process::Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Serving {
    fn start(ground: &Ground, args: &[&str]) -> Self {
        let mut command = ground.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The first lines it prints, as many as the pretty-printed object has that says where it serves.
    fn lines(&mut self, more: usize) -> String {
        let mut text = String::new();
        for _ in 0..=more {
            self.out.read_line(&mut text).unwrap();
        }
        text
    }

    /// Presses Ctrl-C.
    fn end(mut self, code: i32) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let mut said = String::new();
        let status = self.child.wait().unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(status.code(), Some(code), "{said}");
    }
}

fn get(url: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Each lab has its way out, however its steps and those of who makes that fall together.
async fn one_after_another(root: &Path) {
    let root = root.join("one-after-another");
    fs::create_dir(&root).unwrap();
    let host = LabHost { root: root.clone(), cache: root, launcher: std::env::current_exe().unwrap() };
    for _ in 0..15 {
        let lab = Hermetic::start(&host, with_a_way_out(&host), Duration::from_secs(30)).await.unwrap();
        lab.end(Duration::from_secs(30)).await.unwrap();
    }
}

fn with_a_way_out(host: &LabHost) -> LabSpec {
    let payload = Payload::Libvirtd { kvm: false, capability_cache: host.cache.clone(), way_out: true };
    LabSpec { payload, env: None, binds: vec![] }
}

/// Whoever is killed, nothing of a lab with a way out remains.
fn kills(root: &Path) {
    let vars = [("POLDER_TEST_ROOT", root.join("kills").display().to_string())];
    fs::create_dir(root.join("kills")).unwrap();
    arena::in_own_process("serving::killer", &vars);
}

fn kill_host() -> LabHost {
    let root = std::path::PathBuf::from(std::env::var("POLDER_TEST_ROOT").unwrap());
    LabHost { root: root.join("labs"), cache: root, launcher: std::env::current_exe().unwrap() }
}

/// Owns a lab with a way out until it is killed, or the lab is.
#[tokio::test]
#[ignore = "a process of `nets_lead_out_when_asked_and_files_are_served`"]
async fn owner() {
    let host = kill_host();
    let Ok(lab) = Hermetic::start(&host, with_a_way_out(&host), Duration::from_secs(30)).await else {
        return;
    };
    let mut state = lab.state();
    let _ = state.wait_for(|s| *s != LabState::Running).await;
}

#[test]
#[ignore = "a process of `nets_lead_out_when_asked_and_files_are_served`"]
fn killer() {
    arena::become_subreaper();
    let root = kill_host().root;
    fs::create_dir(&root).unwrap();
    for victim in ["owner", "warden", "process 1", "the way out"] {
        let mut command = arena::ours("serving::owner", &[]);
        let owner = arena::start(command.stdout(Stdio::null()));
        let began = Instant::now();
        let named = |name: &str| arena::descendants().into_iter().find(|(_, comm)| comm.starts_with(name));
        // `pasta` goes by the name of the program of which it is a part.
        let (way_out, warden) = loop {
            let (way_out, warden) = (named("passt"), arena::warden(owner));
            if let (Some((way_out, _)), Some(warden), Some(_)) = (way_out, warden, named("libvirtd")) {
                break (way_out, warden);
            }
            assert!(began.elapsed() < Duration::from_secs(30), "no lab came: {:?}", arena::descendants());
            std::thread::sleep(Duration::from_millis(5));
        };
        let process1 = arena::process1(warden).unwrap();
        match victim {
            "owner" => arena::kill(owner),
            "warden" => arena::kill(warden),
            "process 1" => arena::kill(process1),
            _ => {
                // A lab whose way out has ended before it was whole fails; a whole one goes on without.
                arena::kill(way_out);
                arena::kill(owner);
            }
        }
        let left = arena::emptied_but(None, arena::LIMIT * 3);
        assert!(left.is_ok(), "killed {victim}: {left:?}");
    }
}
