//! Commands and copies: ours over the connection that is kept, next to OpenSSH's programs on the same machine.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use polder::{
    env::{Env, Vm},
    guest::{Caps, Command},
};
use tokio::net::TcpListener;

use crate::{figure, ours};

/// Commands on each side.
const COMMANDS: usize = 20;
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of the disk that has room for everything that is copied.
const ROOM: u64 = 4 << 30;

/// `machines` times an image on one net.
pub(crate) fn init_file(machines: usize, image: &str, memory: u32) -> String {
    with_disks(machines, image, memory, "")
}

/// The same, each with further disks.
fn with_disks(machines: usize, image: &str, memory: u32, more: &str) -> String {
    let machine = |n| {
        format!(
            "  vm{n}:\n    memory: {memory}\n    vcpu: 1\n    nics: [{{net: lan}}]\n    disks: \
             [{{name: root, type: template, template_name: {image}, dev: vda, format: qcow2}}{more}]\n"
        )
    };
    let machines: String = (0..machines).map(machine).collect();
    format!("domains:\n{machines}nets:\n  lan: {{type: nat, management: true}}\n")
}

/// One machine, and OpenSSH's way to it: a port on loopback that leads to its ssh server, and a key file.
pub(crate) struct Bench {
    pub(crate) env: Env,
    pub(crate) vm: Vm,
    dir: tempfile::TempDir,
    port: u16,
}

impl Bench {
    pub(crate) async fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        fs::File::create(&data)?.set_len(ROOM)?;
        let made = process::Command::new("mkfs.ext4").arg("-qF").arg(&data).status()?;
        ensure!(made.success(), "mkfs.ext4 failed");
        let disk = format!(", {{name: data, type: file, path: {}, dev: vdb, format: raw}}", data.display());
        let text = with_disks(1, "debian12", 384, &disk);
        let env = ours::environment(&ours::host()?, &text).await?;
        let vm = env.vm("vm0").context("no machine")?;
        let key = dir.path().join("key");
        fs::copy(env.folder().join("id_ed25519"), &key)?;
        let port = forward(&vm).await?;
        Ok(Self { env, vm, dir, port })
    }

    /// A program of OpenSSH's with everything it needs to know.
    pub(crate) fn openssh(&self, program: &str, port_flag: &str) -> process::Command {
        let mut command = process::Command::new(program);
        command
            .args(["-q", "-F", "/dev/null", port_flag, &self.port.to_string(), "-i"])
            .arg(self.path("key"));
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "KexAlgorithms=curve25519-sha256",
        ] {
            command.args(["-o", option]);
        }
        command
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Listens on loopback and hands every connection to the machine's ssh server.
async fn forward(vm: &Vm) -> Result<u16> {
    let ssh = vm.spec().ssh.clone().context("no ssh")?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let ssh = ssh.clone();
            tokio::spawn(async move {
                if let Ok(mut there) = ssh.dial.dial(ssh.addr, LIMIT).await {
                    let _ = there.set_nodelay(true);
                    let _ = here.set_nodelay(true);
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                }
            });
        }
    });
    Ok(port)
}

pub(crate) async fn timed(mut command: process::Command) -> Result<Duration> {
    let start = Instant::now();
    let shown = format!("{command:?}");
    let status = tokio::task::spawn_blocking(move || command.status()).await??;
    ensure!(status.success(), "{shown} failed");
    Ok(start.elapsed())
}

pub(crate) async fn exec() -> Result<()> {
    let bench = Bench::new().await?;
    for _ in 0..COMMANDS {
        let start = Instant::now();
        bench.vm.succeed("true").await?;
        figure("exec", "ours", start.elapsed());
        let mut plain = bench.openssh("ssh", "-p");
        plain.args(["root@127.0.0.1", "true"]);
        figure("exec", "plain", timed(plain).await?);
    }
    Ok(bench.env.down().await?)
}

/// A file of so many MiB into a guest and back.
pub(crate) async fn copy(mebibytes: usize) -> Result<()> {
    let (to, from) = (format!("copy to, {mebibytes} MiB"), format!("copy from, {mebibytes} MiB"));
    let bench = Bench::new().await?;
    let (here, back) = (bench.path("here"), bench.path("back"));
    noise(&here, mebibytes)?;
    let room = "mount /dev/vdb /srv";
    bench.vm.succeed(Command::from(room).timeout(LIMIT * 10)).await?;
    // One after the other, each with all the room there is.
    let clear = async || bench.vm.succeed(Command::from("rm -f /srv/copied; sync").timeout(LIMIT * 10)).await;
    let start = Instant::now();
    bench.vm.copy_to(&here, "/srv/copied").await?;
    figure(&to, "ours", start.elapsed());
    let start = Instant::now();
    bench.vm.copy_from("/srv/copied", &back).await?;
    figure(&from, "ours", start.elapsed());
    ensure!(same(&here, &back)?, "our copy is not the same");
    fs::remove_file(&back)?;
    clear().await?;
    let there = "root@127.0.0.1:/srv/copied";
    figure(&to, "plain", scp(&bench, &here.display().to_string(), there).await?);
    figure(&from, "plain", scp(&bench, there, &back.display().to_string()).await?);
    ensure!(same(&here, &back)?, "scp's copy is not the same");
    Ok(bench.env.down().await?)
}

/// What a machine has in many small files, next to a stream of `tar` that is unpacked by `tar`.
pub(crate) async fn collect() -> Result<()> {
    const NAME: &str = "collect 20,000 files";
    const CAPS: Caps = Caps { path: 1 << 30, machine: 1 << 30 };
    let bench = Bench::new().await?;
    // In few folders of many files, as logs are.
    let fill = "mkdir -p /srv/many; cd /srv/many; for d in $(seq 20); do mkdir $d; cd $d; \
                for f in $(seq 1000); do echo \"$d $f\" > $f; done; cd ..; done";
    bench.vm.succeed(Command::from(fill).timeout(LIMIT * 10)).await?;
    // Both find what they read in the guest's memory.
    bench.vm.succeed(Command::from("tar -c -f - /srv/many | cat >/dev/null").timeout(LIMIT * 10)).await?;
    let plain = bench.path("plain");
    fs::create_dir(&plain)?;
    let start = Instant::now();
    let gathered = bench.vm.gather(&["/srv/many".to_owned()], &bench.path("ours"), CAPS, LIMIT * 10).await?;
    figure(NAME, "ours", start.elapsed());
    ensure!(gathered.iter().all(|one| one.missing.is_none()), "{gathered:?}");
    let mut tar = process::Command::new("tar");
    tar.args(["-x", "-f", "-", "-C"]).arg(&plain).stdin(Stdio::piped());
    let mut ssh = bench.openssh("ssh", "-p");
    ssh.args(["root@127.0.0.1", "tar -c -f - -C / srv/many"]).stdout(Stdio::piped());
    let start = Instant::now();
    tokio::task::spawn_blocking(move || {
        let mut ssh = ssh.spawn()?;
        let from = ssh.stdout.take().context("no output")?;
        let unpacked = tar.stdin(from).status()?;
        ensure!(ssh.wait()?.success() && unpacked.success(), "the plain copy failed");
        Ok(())
    })
    .await??;
    figure(NAME, "plain", start.elapsed());
    let files = |path: &Path| fs::read_dir(path).map(Iterator::count);
    ensure!(files(&plain.join("srv/many/20"))? == 1000, "the plain copy is not whole");
    ensure!(files(&bench.path("ours/_srv_many/20"))? == 1000, "our copy is not whole");
    Ok(bench.env.down().await?)
}

async fn scp(bench: &Bench, from: &str, to: &str) -> Result<Duration> {
    let mut command = bench.openssh("scp", "-P");
    command.args([from, to]);
    timed(command).await
}

/// Whether two files are the same, whatever their length.
fn same(a: &Path, b: &Path) -> Result<bool> {
    let status = process::Command::new("cmp").arg("-s").args([a, b]).status()?;
    Ok(status.success())
}

/// A file of bytes that do not compress.
fn noise(path: &Path, mebibytes: usize) -> Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let piece: Vec<u8> = std::iter::repeat_with(next).flatten().take(1 << 20).collect();
    let mut file = fs::File::create(path)?;
    (0..mebibytes).try_for_each(|_| file.write_all(&piece))?;
    Ok(())
}
