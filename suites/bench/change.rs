//! A change of many devices next to Ansible, what the engine alone costs, and how long it takes to plan a great many. The devices are ssh servers in this
//! process, which cost both sides the same.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use polder::{
    change::{
        self, Changes, Head, Runner, State, Vars,
        model::{Device, Driver, Node, Scenario, Step, Word},
    },
    driver::{Outside, drivers},
};
use russh::{
    Channel, ChannelId,
    keys::{
        PrivateKey,
        ssh_key::{LineEnding, private::Ed25519Keypair},
    },
    server::{self, Auth, ChannelOpenHandle, Session, VerifiedPublicKey},
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{fact, figure, python::programs_of};

/// The plain tool.
const PLAIN: &str = "ansible-core==2.18.6";
/// Devices, and how many of them at once.
const DEVICES: usize = 500;
const AT_ONCE: usize = 50;
/// What each phase says to a device.
const PHASES: [&str; 3] = ["show interface et1", "interface et1 mtu 9000", "show interface et1 mtu"];
/// Changes that are planned, and how many others each waits for.
const CHANGES: usize = 10_000;
const PREREQUISITES: usize = 50;

/// A device that lets everybody in and does as it is told.
struct Door;

impl server::Handler for Door {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<server::Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)?;
        session.data(channel, [line, b": done\n"].concat())?;
        session.exit_status_request(channel, 0)?;
        session.eof(channel)?;
        session.close(channel)
    }
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// The devices, each at a port of its own, as long as the set lives.
async fn serve() -> Result<(JoinSet<()>, Vec<u16>)> {
    let config = Arc::new(server::Config { keys: vec![key(1)], ..server::Config::default() });
    let (mut servers, mut ports) = (JoinSet::new(), Vec::new());
    for _ in 0..DEVICES {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        ports.push(listener.local_addr()?.port());
        let config = Arc::clone(&config);
        servers.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let config = Arc::clone(&config);
                connections.spawn(async move {
                    if let Ok(session) = server::run_stream(config, stream, Door).await {
                        // Whoever goes away is done.
                        let _ = session.await;
                    }
                });
            }
        });
    }
    Ok((servers, ports))
}

/// Three commands on each device, our way and Ansible's.
pub(crate) async fn devices() -> Result<()> {
    let ansible = programs_of(PLAIN)?.join("ansible-playbook");
    let folder = tempfile::tempdir()?;
    let id = folder.path().join("id");
    fs::write(&id, key(2).to_openssh(LineEnding::LF)?.as_bytes())?;
    fs::set_permissions(&id, fs::Permissions::from_mode(0o600))?;
    let (_servers, ports) = serve().await?;
    let name = format!("3 commands on {DEVICES} devices, {AT_ONCE} at once");
    figure(&name, "ours", ours(folder.path(), &ports).await?);
    figure(&name, "plain", plain(&ansible, folder.path(), &ports)?);
    Ok(())
}

/// What the engine costs besides the devices: phases that nobody has to wait for, with the journal on a disk.
pub(crate) async fn engine() -> Result<()> {
    for (how, at_once) in [("one after the other", 1), ("50 at once", AT_ONCE)] {
        // The folder of temporary files may be in memory.
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let took = run(folder.path(), &[1; DEVICES], "kind: 'null'", "interface", at_once).await?;
        let each = took.as_secs_f64() * 1000.0 / (DEVICES * PHASES.len()) as f64;
        fact(
            &format!("the engine, for each of {} phases of {DEVICES} devices, {how}", PHASES.len()),
            each,
            "ms",
        );
    }
    Ok(())
}

async fn ours(folder: &Path, ports: &[u16]) -> Result<Duration> {
    let driver = "kind: ssh, user: admin, port: '%(device.port)s', key_file: id, host_key: any";
    run(folder, ports, driver, "done", AT_ONCE).await
}

/// Three phases on each device, whose answers have this word.
async fn run(folder: &Path, ports: &[u16], driver: &str, word: &str, at_once: usize) -> Result<Duration> {
    let mut text = "version: 1\ndevices:\n".to_owned();
    for (number, port) in ports.iter().enumerate() {
        writeln!(text, "  sw{number}: {{ ipaddress: 127.0.0.1, port: {port} }}")?;
    }
    let [before, apply, after] = PHASES.map(|line| {
        format!("{{ exchanges: [ {{ send: '{line}' }} ], checks: [ '\"{word}\" in results.cmdoutput' ] }}")
    });
    write!(
        text,
        "drivers: {{ it: {{ {driver} }} }}
scenario:
  name: night
  nodes:
    - {{ step: mtu, targets: all, policy: {{ devices: {{ parallel: {at_once} }} }}, precheck: {before}, apply: {apply}, verify: {after} }}
"
    )?;
    let file = folder.join("mtu.yaml");
    fs::write(&file, text)?;
    let begin = Instant::now();
    let changes = change::load(&file, &Vars::new())?.changes;
    let plan = Arc::new(change::plan(&changes, &Vars::new())?);
    let outside = Outside {
        variable: &|name| std::env::var(name).ok(),
        machines: std::collections::BTreeMap::new(),
        portal: None,
    };
    let drivers = drivers(&changes, &outside)?;
    let head = Head::new(plan.digest())?;
    let report = Runner::new(plan, drivers).run(&folder.join("run"), head).await?;
    ensure!(report.state == State::Success, "the change ended with {:?}", report.state);
    Ok(begin.elapsed())
}

fn plain(ansible: &Path, folder: &Path, ports: &[u16]) -> Result<Duration> {
    let mut hosts = "[all]\n".to_owned();
    for (number, port) in ports.iter().enumerate() {
        writeln!(hosts, "sw{number} ansible_host=127.0.0.1 ansible_port={port}")?;
    }
    let tasks: String = PHASES.map(|line| format!("    - raw: {line}\n")).concat();
    fs::write(folder.join("hosts"), hosts)?;
    fs::write(folder.join("mtu.yml"), format!("- hosts: all\n  gather_facts: no\n  tasks:\n{tasks}"))?;
    let mut command = Command::new(ansible);
    command.args([
        "-i",
        "hosts",
        "-u",
        "admin",
        "--private-key",
        "id",
        "-f",
        &AT_ONCE.to_string(),
        "mtu.yml",
    ]);
    command.env("ANSIBLE_HOST_KEY_CHECKING", "False").env("ANSIBLE_NOCOLOR", "1").env("HOME", folder);
    // Connections are kept from task to task, and gone soon after.
    command.env("ANSIBLE_SSH_ARGS", "-o ControlMaster=auto -o ControlPersist=20s");
    let begin = Instant::now();
    let output = command.current_dir(folder).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let took = begin.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    let well = said.lines().filter(|line| line.contains("ok=3 ") && line.contains("failed=0 ")).count();
    ensure!(well == ports.len(), "{PLAIN} changed {well} of {} devices: {said}", ports.len());
    Ok(took)
}

/// How long it takes to plan many changes that wait for many others.
pub(crate) fn planning() -> Result<()> {
    let name = |number: usize| Word::from(format!("change-{number}").as_str());
    let step = |number: usize| {
        let after = (number.saturating_sub(PREREQUISITES)..number).map(name).collect();
        let targets = vec![Word::from("sw")];
        Node::Step(Arc::new(Step { name: name(number), after, targets, ..Step::default() }))
    };
    let changes = Changes {
        devices: vec![Device { name: "sw".into(), ..Device::default() }],
        drivers: vec![Driver { name: "nothing".into(), ..Driver::default() }],
        scenario: Scenario {
            name: "many".into(),
            unordered: true,
            nodes: (0..CHANGES).map(step).collect(),
            ..Scenario::default()
        },
        ..Changes::default()
    };
    let begin = Instant::now();
    let plan = change::plan(&changes, &Vars::new())?;
    let took = begin.elapsed();
    let waves = plan.root.waves.len();
    ensure!(plan.steps().len() == CHANGES && waves == CHANGES, "{waves} waves");
    let took = took.as_secs_f64() * 1000.0;
    fact(&format!("plan {CHANGES} changes, each after {PREREQUISITES} others"), took, "ms");
    Ok(())
}
