//! A real OpenSSH server for tests: one `sshd -i` for each connection, as the user who runs the tests, on this host.
//! Also a guest agent that runs real commands.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use russh::keys::{
    PrivateKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};
use serde_json::{Value, json};

use crate::{
    base::dial::{BoxFuture, Dial},
    guest::{AgentPort, AgentPortError, Guest, GuestSpec, Login, SshSpec},
    image::{Abilities, Ability},
};

const SSHD: &str = "/usr/sbin/sshd";
/// Allows the tests to pass without an OpenSSH server.
const WITHOUT: &str = "POLDER_TEST_WITHOUT_SSHD";

pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) server: Arc<Server>,
}

/// Dialling it starts an ssh server; other ports than 22 are ports of this host.
#[derive(Debug)]
pub(crate) struct Server {
    config: PathBuf,
    running: Mutex<Vec<Child>>,
    pub(crate) dials: AtomicUsize,
    pub(crate) refuses: AtomicBool,
}

impl Rig {
    /// A server with `extra` lines of configuration; none, said loudly, when the environment allows that.
    pub(crate) fn start(extra: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            assert!(
                std::env::var_os(WITHOUT).is_some(),
                "there is no {SSHD} to test against; install openssh-server, or set {WITHOUT}=1 to go without"
            );
            println!("NOT TESTED: there is no {SSHD} and {WITHOUT} is set");
            return None;
        }
        if rustix::process::getuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("bin")).unwrap();
        fs::write(path("host_key"), key(1).to_openssh(LineEnding::LF).unwrap()).unwrap();
        fs::set_permissions(path("host_key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path("authorized_keys"), key(2).public_key().to_openssh().unwrap()).unwrap();
        // A `bash` that is nested this deep leaves the user's own configuration alone.
        let config = format!(
            "HostKey {host}\nAuthorizedKeysFile {keys}\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n\
             PrintMotd no\nSetEnv PATH={bin}:/usr/bin:/bin:/usr/sbin:/sbin SHLVL=9\n{extra}\n",
            host = path("host_key").display(),
            keys = path("authorized_keys").display(),
            bin = path("bin").display(),
        );
        fs::write(path("sshd_config"), config).unwrap();
        let server = Server {
            config: path("sshd_config"),
            running: Mutex::default(),
            dials: AtomicUsize::new(0),
            refuses: AtomicBool::new(false),
        };
        Some(Self { dir, server: Arc::new(server) })
    }

    pub(crate) fn spec(&self) -> GuestSpec {
        let user = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
        GuestSpec {
            name: "web".parse().unwrap(),
            image: "debian12".into(),
            abilities: Abilities([Ability::Ssh, Ability::Units, Ability::Journal, Ability::Reboot].into()),
            ssh: Some(SshSpec {
                dial: Arc::clone(&self.server) as _,
                addr: "127.0.0.1:22".parse().unwrap(),
                user: String::from_utf8(user).unwrap().trim().to_owned(),
                key: Some(Arc::new(key(2))),
                password: None,
                host_key: Some(key(1).public_key().clone()),
                known_hosts: None,
            }),
            agent: None,
            machine: None,
            login: Login { user: "root".into(), password: None },
            console: self.dir.path().join("console"),
            outputs: self.dir.path().join("outputs"),
            notes: self.dir.path().join("notes"),
            time_factor: 1.0,
        }
    }

    pub(crate) fn guest(&self) -> Guest {
        Guest::new(self.spec())
    }

    /// Puts a program before those of the host.
    pub(crate) fn fake(&self, program: &str, script: &str) {
        let path = self.dir.path().join("bin").join(program);
        // Written by a child, so that no other test's child holds it open for writing when it is run.
        let write = format!("cat > '{0}' <<'END'\n#!/bin/sh\n{script}\nEND\nchmod 755 '{0}'", path.display());
        assert!(std::process::Command::new("sh").args(["-c", &write]).status().unwrap().success());
    }
}

impl Server {
    /// Kills the servers of all connections; the commands they run go on.
    pub(crate) fn kill(&self) {
        self.signal("KILL");
        for mut child in self.running.lock().unwrap().drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal such as `STOP` to the servers of all connections.
    pub(crate) fn signal(&self, name: &str) {
        for child in self.running.lock().unwrap().iter() {
            let pid = child.id().to_string();
            // As root the connection is served by the process itself or by a child; stop both.
            let _ =
                std::process::Command::new("pkill").args([&format!("-{name}"), "-P", &pid, "sshd"]).status();
            let _ = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status();
        }
    }

    fn serve(&self) -> io::Result<std::net::TcpStream> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let near = std::net::TcpStream::connect(listener.local_addr()?)?;
        self.attend(listener.accept()?.0.into())?;
        Ok(near)
    }

    /// Serves a connection of somebody else's.
    pub(crate) fn attend(&self, far: std::os::fd::OwnedFd) -> io::Result<()> {
        let child = std::process::Command::new(SSHD)
            .arg("-i")
            .arg("-f")
            .arg(&self.config)
            .stdin(Stdio::from(far.try_clone()?))
            .stdout(Stdio::from(far))
            .stderr(Stdio::null())
            .spawn()?;
        self.running.lock().unwrap().push(child);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("CONT");
        self.kill();
    }
}

impl Dial for Server {
    fn dial(&self, addr: SocketAddr, limit: Duration) -> BoxFuture<'_, io::Result<tokio::net::TcpStream>> {
        Box::pin(async move {
            if addr.port() != 22 {
                return tokio::time::timeout(limit, tokio::net::TcpStream::connect(addr)).await?;
            }
            self.dials.fetch_add(1, Ordering::SeqCst);
            if self.refuses.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let stream = self.serve()?;
            stream.set_nonblocking(true)?;
            tokio::net::TcpStream::from_std(stream)
        })
    }
}

pub(crate) fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// A guest agent on this host.
#[derive(Debug, Default)]
pub(crate) struct FakeAgent {
    pub(crate) requests: Mutex<Vec<String>>,
    /// What to answer instead.
    pub(crate) replies: Mutex<BTreeMap<&'static str, Result<String, AgentPortError>>>,
    running: Mutex<BTreeMap<u64, std::thread::JoinHandle<std::process::Output>>>,
    files: Mutex<BTreeMap<u64, Vec<u8>>>,
}

impl AgentPort for FakeAgent {
    fn call(&self, request: String, _limit: Duration) -> BoxFuture<'_, Result<String, AgentPortError>> {
        let request: Value = serde_json::from_str(&request).unwrap();
        let name = request["execute"].as_str().unwrap().to_owned();
        self.requests.lock().unwrap().push(name.clone());
        let canned = self.replies.lock().unwrap().get(name.as_str()).cloned();
        let reply = canned.unwrap_or_else(|| Ok(self.obey(&name, &request["arguments"]).to_string()));
        Box::pin(async move { reply })
    }
}

impl FakeAgent {
    fn obey(&self, name: &str, arguments: &Value) -> Value {
        match name {
            "guest-exec" => json!({ "return": { "pid": self.exec(arguments) } }),
            "guest-exec-status" => self.status(arguments["pid"].as_u64().unwrap()),
            "guest-file-open" => match fs::read(arguments["path"].as_str().unwrap()) {
                Ok(bytes) => {
                    self.files.lock().unwrap().insert(7, bytes);
                    json!({ "return": 7 })
                }
                Err(error) => json!({ "error": { "class": "GenericError", "desc": error.to_string() } }),
            },
            "guest-file-read" => {
                let mut files = self.files.lock().unwrap();
                let bytes = files.get_mut(&arguments["handle"].as_u64().unwrap()).unwrap();
                let count = bytes.len().min(usize::try_from(arguments["count"].as_u64().unwrap()).unwrap());
                let part: Vec<u8> = bytes.drain(..count).collect();
                json!({ "return": { "count": count, "buf-b64": BASE64.encode(part), "eof": bytes.is_empty() } })
            }
            _ => json!({ "return": {} }),
        }
    }

    fn exec(&self, arguments: &Value) -> u64 {
        let strings = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
        let input = BASE64.decode(arguments["input-data"].as_str().unwrap()).unwrap();
        let mut child = std::process::Command::new(arguments["path"].as_str().unwrap())
            .args(strings(&arguments["arg"]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = u64::from(child.id());
        let thread = std::thread::spawn(move || {
            let mut stdin = child.stdin.take().unwrap();
            let feeding = std::thread::spawn(move || io::Write::write_all(&mut stdin, &input));
            let output = child.wait_with_output().unwrap();
            let _ = feeding.join();
            output
        });
        self.running.lock().unwrap().insert(pid, thread);
        pid
    }

    fn status(&self, pid: u64) -> Value {
        use std::os::unix::process::ExitStatusExt;
        let mut running = self.running.lock().unwrap();
        if !running.get(&pid).unwrap().is_finished() {
            return json!({ "return": { "exited": false } });
        }
        let output = running.remove(&pid).unwrap().join().unwrap();
        let mut status = json!({
            "exited": true,
            "out-data": BASE64.encode(output.stdout),
            "err-data": BASE64.encode(output.stderr),
        });
        match output.status.code() {
            Some(code) => status["exitcode"] = json!(code),
            None => status["signal"] = json!(output.status.signal()),
        }
        json!({ "return": status })
    }
}
