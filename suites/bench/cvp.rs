//! The portal's client next to Arista's, and how large a portal may be: both at a portal of our own in another process.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use polder::cvp::{
    Client, Configlet, CvpSpec, Login, Node, Trust,
    server::{Portal, PortalSpec},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{fact, figure, python::programs_of};

/// What the benchmark calls itself with to have a portal.
pub(crate) const PORTAL: &str = "cvp-portal";
/// The plain client.
const PLAIN: &str = "cvprac==2.3.0";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/cvp.py");
/// Configlets that are made, read, listed and deleted, and how often all are listed.
const CONFIGLETS: usize = 1000;
const LISTS: usize = 32;
const TEXT: &str = "ntp server 192.0.2.1\nntp server 192.0.2.2\nip name-server 192.0.2.3\n";
/// A large portal.
const DEVICES: u32 = 10_000;
const MANY_CONFIGLETS: u32 = 50_000;

/// A portal in a process of its own.
struct Other {
    child: Child,
    line: String,
    ca: tempfile::NamedTempFile,
}

impl Other {
    /// With nothing in it, or with a lot.
    fn start(is_large: bool) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([PORTAL, if is_large { "large" } else { "empty" }])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut said)?;
        let mut line: Value =
            serde_json::from_str(&said).with_context(|| format!("the portal said {said:?}"))?;
        let mut ca = tempfile::NamedTempFile::new()?;
        ca.write_all(line.get("ca").and_then(Value::as_str).context("no certificate")?.as_bytes())?;
        let fields = line.as_object_mut().context("no object")?;
        fields.insert("ca_file".to_owned(), json!(ca.path()));
        Ok(Self { child, line: line.to_string(), ca })
    }

    fn client(&self) -> Result<Client> {
        let line: Value = serde_json::from_str(&self.line)?;
        let text = |key: &str| {
            line.get(key).and_then(Value::as_str).map(str::to_owned).context("the portal's line is not whole")
        };
        let login = Login::Password { user: text("username")?, password: text("password")? };
        let mut spec = CvpSpec::new(Node::parse(&text("url")?)?, login);
        spec.trust = Trust::CaFile(self.ca.path().to_owned());
        Ok(Client::new(spec, None)?)
    }

    /// The most memory it ever had, in MiB.
    fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It ends when nobody can say anything to it any more.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The other process: a portal until standard input ends.
pub(crate) async fn portal(is_large: bool) -> Result<()> {
    let state = is_large.then(|| large().to_string().into_bytes().into());
    let portal = Portal::start(PortalSpec { state, ..PortalSpec::default() }).await?;
    println!(
        "{}",
        json!({
            "url": portal.url(), "username": portal.username(), "password": portal.password(), "ca": portal.ca(),
        })
    );
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    portal.stop().await;
    Ok(())
}

/// The state of a large portal: a hundred racks with a configlet each, and three of its own for each device.
fn large() -> Value {
    let mut configlets = serde_json::Map::new();
    for n in 0..MANY_CONFIGLETS {
        let (name, config) =
            (format!("configlet-{n}"), format!("vlan {}\n   name v{n}\n{TEXT}", n % 4094 + 1));
        configlets.insert(format!("configlet_{n:08}"), json!({ "name": name, "config": config }));
    }
    let key = |n: u32| format!("configlet_{:08}", n % MANY_CONFIGLETS);
    let rack = |n: u32| {
        (
            format!("rack_{n}"),
            json!({ "name": format!("Rack {n}"), "parent": "root", "configlets": [key(n)] }),
        )
    };
    let containers: serde_json::Map<_, _> = (0..100).map(rack).collect();
    let device = |n: u32| {
        let [_, a, b, c] = n.to_be_bytes();
        let own: Vec<String> = (0..3).map(|one| key(100 + n * 3 + one)).collect();
        let unmanaged = format!(
            "hostname leaf-{n}\n!\ninterface Management1\n   ip address 10.{a}.{b}.{c}/8\n!\nip routing\n"
        );
        let value = json!({
            "hostname": format!("leaf-{n}"), "ip": format!("10.{a}.{b}.{c}"), "unmanaged": unmanaged,
            "placement": { "container": format!("rack_{}", n % 100), "own": own },
        });
        (format!("00:1c:73:{a:02x}:{b:02x}:{c:02x}"), value)
    };
    let devices: serde_json::Map<_, _> = (0..DEVICES).map(device).collect();
    json!({ "version": 1, "configlets": configlets, "containers": containers, "devices": devices })
}

/// Does `what` to each of `work`, so many at once.
async fn step<T, F, Fut>(name: &str, at_once: usize, work: Vec<T>, what: F) -> Result<()>
where
    T: Send + 'static,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let what = Arc::new(what);
    let work = Arc::new(Mutex::new(work));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        let (what, work) = (Arc::clone(&what), Arc::clone(&work));
        let next = move || work.lock().unwrap_or_else(PoisonError::into_inner).pop();
        tasks.spawn(async move {
            while let Some(one) = next() {
                what(one).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    figure(&format!("{name}, {at_once} at once"), "ours", begin.elapsed());
    Ok(())
}

/// Our side: what `cvp.py` does.
async fn ours(portal: &Other, at_once: usize) -> Result<()> {
    let client = portal.client()?;
    // Once per client: not what is measured.
    client.level().await?;
    let names: Vec<String> = (0..CONFIGLETS).map(|n| format!("ours-{n}")).collect();
    let with = client.clone();
    step("create", at_once, names.clone(), move |name| {
        let client = with.clone();
        async move { Ok(client.add_configlet(&name, TEXT).await.map(drop)?) }
    })
    .await?;
    let with = client.clone();
    step("read", at_once, names, move |name| {
        let client = with.clone();
        async move {
            let found = client.configlet(&name).await?.context("it is not there")?;
            ensure!(found.text == TEXT, "{name} has another text");
            Ok(())
        }
    })
    .await?;
    let with = client.clone();
    step("list", at_once, vec![(); LISTS], move |()| {
        let client = with.clone();
        async move {
            ensure!(client.configlets().await?.len() == CONFIGLETS, "not all are listed");
            Ok(())
        }
    })
    .await?;
    let all: Vec<Configlet> = client.configlets().await?;
    let with = client.clone();
    step("delete", at_once, all, move |one| {
        let client = with.clone();
        async move { Ok(client.delete_configlets(&[one]).await?) }
    })
    .await
}

/// Arista's client.
fn plain(portal: &Other, at_once: usize) -> Result<()> {
    let numbers = [CONFIGLETS, at_once, LISTS].map(|number| number.to_string());
    let mut command = Command::new(programs_of(PLAIN)?.join("python3"));
    let output =
        command.args([SCRIPT, &portal.line]).args(numbers).arg(TEXT).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{PLAIN} ended with {}", output.status);
    }
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Both clients, one and sixteen at once.
pub(crate) async fn clients() -> Result<()> {
    programs_of(PLAIN)?;
    let portal = Other::start(false)?;
    for at_once in [1, 16] {
        ours(&portal, at_once).await?;
        plain(&portal, at_once)?;
    }
    fact("memory with 1,000 configlets", portal.memory()?, "MiB");
    Ok(())
}

/// How long `what` takes: the middle and nearly the worst of several times.
async fn latency(name: &str, times: usize, what: impl AsyncFn(usize) -> Result<()>) -> Result<()> {
    let mut took = Vec::new();
    for n in 0..times {
        let begin = Instant::now();
        what(n).await.with_context(|| name.to_owned())?;
        took.push(begin.elapsed());
    }
    took.sort();
    let at = |part: f64| took.get(((times - 1) as f64 * part).round() as usize).copied().unwrap_or_default();
    let millis = |took: Duration| took.as_secs_f64() * 1000.0;
    fact(&format!("{name}, p50"), millis(at(0.5)), "ms");
    fact(&format!("{name}, p99"), millis(at(0.99)), "ms");
    Ok(())
}

/// A large portal.
pub(crate) async fn large_portal() -> Result<()> {
    let begin = Instant::now();
    let portal = Other::start(true)?;
    fact("start with 10,000 devices and 50,000 configlets", begin.elapsed().as_secs_f64() * 1000.0, "ms");
    let client = portal.client()?;
    client.level().await?;
    latency("list 10,000 devices", 10, async |_| {
        ensure!(client.devices().await?.len() == DEVICES as usize, "not all are listed");
        Ok(())
    })
    .await?;
    latency("list 50,000 configlets", 5, async |_| {
        ensure!(client.configlets().await?.len() == MANY_CONFIGLETS as usize, "not all are listed");
        Ok(())
    })
    .await?;
    latency("read a configlet by name", 200, async |n| {
        client.configlet(&format!("configlet-{}", n * 200)).await?.context("it is not there").map(drop)
    })
    .await?;
    latency("make a configlet", 100, async |n| {
        Ok(client.add_configlet(&format!("new-{n}"), TEXT).await.map(drop)?)
    })
    .await?;
    latency("search configlets", 50, async |n| {
        Ok(client.search_configlets(&format!("configlet-{}", 100 + n)).await.map(drop)?)
    })
    .await?;
    latency("search the topology", 100, async |n| {
        ensure!(!client.search(&format!("leaf-{n}")).await?.devices.is_empty(), "nothing is found");
        Ok(())
    })
    .await?;
    latency("read the tree of containers", 50, async |_| Ok(client.containers().await.map(drop)?)).await?;
    let devices = client.devices().await?;
    let device = |n: usize| devices.get(n).context("there are fewer devices");
    latency("look what a device holds", 100, async |n| {
        Ok(client.held_by_device(&device(n * 50)?.mac).await.map(drop)?)
    })
    .await?;
    latency("check the compliance of a device", 100, async |n| {
        Ok(client.compliance(&device(n * 50)?.mac).await.map(drop)?)
    })
    .await?;
    let one = [client.configlet("configlet-7").await?.context("it is not there")?];
    latency("put a configlet on a device", 50, async |n| {
        Ok(client.put_on_device(device(n * 70)?, &one).await.map(drop)?)
    })
    .await?;
    latency("who holds which configlet", 3, async |_| Ok(client.holders().await.map(drop)?)).await?;
    fact("memory with 10,000 devices and 50,000 configlets", portal.memory()?, "MiB");
    Ok(())
}
