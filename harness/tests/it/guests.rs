//! Commands in real guests, over every way there is, while what they need is dead, frozen, full, paused, wrong or away.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use polder::{
    env::{Env, Host, Progress, Selection, Vm},
    guest::{Channel, Command, GuestError},
    initfile::{self, Options},
};

use crate::arena;

const TWO: &str = "
domains:
  tiny:
    memory: 128
    vcpu: 1
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  deb:
    memory: 384
    vcpu: 1
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: debian12, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true}
";

/// Commands on each of so many machines at once.
const COMMANDS: usize = 64;
const MACHINES: usize = 17;
/// How much more memory, in MiB, this process may have than before while they all run: 128 KiB for each of them.
const MORE: u64 = (COMMANDS * MACHINES / 8) as u64;
/// And how much more after all times than after half of them: at first it is still finding its size.
const GROWTH: u64 = 8;

const SECOND: Duration = Duration::from_secs(1);
const WAYS: [Channel; 3] = [Channel::Ssh, Channel::Agent, Channel::Console];

async fn up(text: &str, dir: &Path) -> Env {
    let variable = |name: &str| match name {
        "POLDER_RUNTIME_DIR" => Some(dir.join("labs").display().to_string()),
        _ => std::env::var(name).ok(),
    };
    let spec = initfile::load_text(Path::new("g.yaml"), text, &Options::new(&variable)).unwrap().spec;
    let host = Host::from_env(&variable).unwrap();
    Env::up(&host, &spec, &Progress::new(|_| {})).await.unwrap()
}

fn ground() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("pg").tempdir_in("/var/tmp").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a campaign of its own: `cargo ci soak guests`"]
async fn many_guests_answer_many_commands() {
    let machine = |n| {
        let tiny = TWO.lines().skip(2).take(5).collect::<Vec<_>>().join("\n");
        tiny.replace("tiny", &format!("tiny{n}"))
    };
    let machines: Vec<String> = (2..MACHINES).map(machine).collect();
    let text = TWO.replace("domains:\n", &format!("domains:\n{}\n", machines.join("\n")));
    let dir = ground();
    let env = up(&text, dir.path()).await;
    let deb = env.vm("deb").unwrap();
    let fill = "fallocate -l $(($(df --output=avail -k / | tail -n 1) - 500))K /fill; \
                dd if=/dev/zero of=/more 2>/dev/null";
    full(&deb, fill, "rm /fill /more", "/root").await;
    wrong_clock(&deb).await;
    paused(&env, &deb).await;
    nothing_answers(&deb, "systemctl stop ssh", "systemctl start ssh").await;
    let (rounds, _) = arena::campaign(1);
    let (before, mut peaks, mut bytes) = (arena::peak_memory(), vec![], 0);
    for _ in 0..rounds {
        let vms = env.vms();
        assert_eq!(vms.len(), MACHINES);
        let all = vms.into_iter().map(|vm| tokio::spawn(async move { many_at_once(&vm, COMMANDS).await }));
        for one in all.collect::<Vec<_>>() {
            bytes += one.await.unwrap();
        }
        peaks.push(arena::peak_memory());
    }
    let (half, whole) = (peaks[peaks.len() / 2], peaks[peaks.len() - 1]);
    eprintln!("{bytes} bytes of output, exact; at most {peaks:?} MiB of memory, {before} MiB before");
    assert!(whole <= before + MORE, "{whole} MiB, more than {MORE} over the {before} MiB before");
    assert!(whole <= half + GROWTH, "{whole} MiB, more than {GROWTH} over the {half} MiB after half of it");
    env.down().await.unwrap();
}

/// Runs that many commands at once, whose outputs have to be exact; returns how many bytes they had.
pub(crate) async fn many_at_once(vm: &Vm, commands: usize) -> usize {
    let one = |n: usize| {
        let vm = vm.clone();
        let command = Command::script(format!("seq {n} {}; echo {n} >&2", n + 500));
        tokio::spawn(async move { vm.execute(command).await })
    };
    let mut bytes = 0;
    for (n, command) in (0..commands).map(one).collect::<Vec<_>>().into_iter().enumerate() {
        let output = command.await.unwrap().unwrap();
        let expected: String = (n..=n + 500).map(|line| format!("{line}\n")).collect();
        let (out, err) = (&output.stdout.bytes, &output.stderr.bytes);
        assert!(*out == expected.as_bytes() && *err == format!("{n}\n").as_bytes(), "{output:?}");
        bytes += out.len() + err.len();
    }
    bytes
}

async fn full(vm: &Vm, fill: &str, clear: &str, folder: &str) {
    vm.execute(fill).await.unwrap();
    let error = vm.succeed(format!("dd if=/dev/zero of={folder}/new bs=1k count=900")).await.unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    let script = "#!/bin/sh\necho it runs in ${0%/*}";
    let said = vm.succeed(Command::upload([script.as_bytes(), &[b'\n'; 100_000]].concat())).await.unwrap();
    assert!(said.starts_with("it runs in /") && said.trim() != "it runs in /tmp", "{said}");
    vm.succeed(format!("{clear} {folder}/new")).await.unwrap();
}

/// Neither ssh nor the agent: the console does, and brings them back.
pub(crate) async fn nothing_answers(vm: &Vm, no_ssh: &str, ssh_again: &str) {
    vm.succeed("kill -STOP $(pidof qemu-ga)").await.unwrap();
    let start = Instant::now();
    let frozen = vm.execute(Command::new("true").over(Channel::Agent).timeout(SECOND)).await.unwrap_err();
    let limit = Duration::from_secs_f64(vm.spec().time_factor) + 15 * SECOND;
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
    assert!(
        matches!(&frozen, GuestError::Unreachable { source, .. } if source.to_string().contains("guest agent"))
    );
    assert_eq!(vm.succeed("echo over ssh").await.unwrap(), "over ssh\n");
    vm.succeed(no_ssh).await.unwrap();
    tokio::time::sleep(SECOND).await;
    vm.restarted().await;
    let mend = format!("kill -CONT $(pidof qemu-ga); {ssh_again}; echo mended; false");
    // Half of it is for the other ways, and a busy host is slow at its consoles, however fast it was once found to be.
    let limit = Duration::from_secs(40).div_f64(vm.spec().time_factor);
    let error = vm.succeed(Command::from(mend).timeout(limit)).await.unwrap_err().to_string();
    assert!(error.contains("(over console, because ssh failed: ") && error.contains("\nmended\n"), "{error}");
    assert!(error.contains("; guest agent failed: "), "{error}");
    for over in WAYS {
        vm.succeed(Command::new("true").over(over)).await.unwrap();
    }
}

async fn wrong_clock(vm: &Vm) {
    vm.succeed("date -s '2001-02-03 04:05'").await.unwrap();
    for over in WAYS {
        let year = vm.succeed(Command::new("date").arg("+%Y").over(over)).await.unwrap();
        assert_eq!(year, "2001\n", "{over}");
    }
    let error = vm.execute(Command::from("sleep 4742").timeout(SECOND / 4)).await.unwrap_err();
    assert!(matches!(error, GuestError::Deadline { killed: true, .. }), "{error}");
    let now = SystemTime::now();
    vm.agent().unwrap().set_time(now).await.unwrap();
    let there: u64 = vm.succeed("date +%s").await.unwrap().trim().parse().unwrap();
    let here = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(there.abs_diff(here) < 60, "{there} is not {here}");
}

async fn paused(env: &Env, vm: &Vm) {
    let only = Selection::of(&[vm.name().to_string()]);
    env.pause(&only).await.unwrap();
    let start = Instant::now();
    let error = vm.execute(Command::from("true").timeout(SECOND)).await.unwrap_err();
    let limit = Duration::from_secs_f64(vm.spec().time_factor) + 15 * SECOND;
    assert!(error.to_string().contains("it is paused") && start.elapsed() < limit, "{error}");
    let resuming = async {
        tokio::time::sleep(SECOND).await;
        env.resume(&only).await.unwrap();
    };
    let (said, ()) = tokio::join!(vm.succeed("echo awake"), resuming);
    assert_eq!(said.unwrap(), "awake\n");
}
