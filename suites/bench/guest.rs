//! What is done in a guest all the time, over each of our ways, next to an OpenSSH whose connection is kept, too. Each figure
//! is a quantile of many: what one command takes, and what the slow ones take.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use polder::guest::{Channel, Command};

use crate::{
    figure,
    guests::{Bench, timed},
};

/// Commands on each way.
const COMMANDS: usize = 100;
/// One that is a file of its own in the guest: the shell ssh runs commands in knows `true` itself, and starts nothing.
const PROGRAM: &str = "uname";
/// Between two of them.
const REST: Duration = Duration::from_millis(100);

/// Latency of one command over ssh and over the guest agent, next to `ssh` with a `ControlMaster`, in turn.
pub(crate) async fn exec() -> Result<()> {
    let bench = Bench::new().await?;
    let socket = format!("ControlPath={}", bench.path("control").display());
    let mut master = bench.openssh("ssh", "-p");
    master.args(["-o", &socket, "-o", "ControlMaster=yes", "-f", "-N", "root@127.0.0.1"]);
    timed(master).await?;
    let ours = [("ssh", Channel::Ssh), ("agent", Channel::Agent)];
    let mut took: [Vec<Duration>; 3] = Default::default();
    // What is kept is there before anything is measured.
    for (_, over) in ours {
        bench.vm.succeed(Command::new(PROGRAM).over(over)).await?;
    }
    // What ended before has left the guest, whichever way it came.
    let rest = || tokio::time::sleep(REST);
    for _ in 0..COMMANDS {
        let [of_ssh, of_agent, of_plain] = &mut took;
        for ((_, over), of_way) in ours.into_iter().zip([of_ssh, of_agent]) {
            rest().await;
            let start = Instant::now();
            bench.vm.succeed(Command::new(PROGRAM).over(over)).await?;
            of_way.push(start.elapsed());
        }
        let mut plain = bench.openssh("ssh", "-p");
        plain.args(["-o", &socket, "root@127.0.0.1", PROGRAM]);
        plain.stdout(Stdio::null());
        rest().await;
        of_plain.push(timed(plain).await?);
    }
    let mut leave = bench.openssh("ssh", "-p");
    leave.args(["-o", &socket, "-O", "exit", "root@127.0.0.1"]);
    timed(leave).await?;
    let [ssh, agent, plain] = took;
    for (name, quantile) in [("p50", 50), ("p99", 99)] {
        for (way, ours) in [("ssh", &ssh), ("agent", &agent)] {
            let label = format!("exec over {way}, {name}");
            figure(&label, "ours", of(ours, quantile)?);
            figure(&label, "plain", of(&plain, quantile)?);
        }
    }
    Ok(bench.env.down().await?)
}

/// The time that `percent` of all are within.
fn of(all: &[Duration], percent: usize) -> Result<Duration> {
    let mut sorted = all.to_vec();
    sorted.sort();
    let found = sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    ensure!(found.is_some(), "nothing was measured");
    Ok(found.unwrap_or_default())
}
