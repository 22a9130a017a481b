//! What the runner costs: a thousand scenarios that do nothing, alone and with machines that are only in memory, next to
//! libtest-mimic; the list of them; and how soon a failure is told.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};

use crate::{fact, figure};

/// How often each is run: it takes a fraction of a second.
const TIMES: u32 = 7;
const BARE: &str = "1,000 scenarios in 100 suites";
const MACHINES: &str = "1,000 scenarios in 100 suites of 2 machines in memory";
/// Programs: of ours without machines and with some in memory, and the plain one.
const SIDES: [&str; 3] = ["ours", "memory", "plain"];
/// Between two looks at how much memory a program has.
const LOOK: Duration = Duration::from_millis(1);

pub(super) fn crowd() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = tempfile::tempdir()?;
    let program = |side: &str| -> Result<Command> {
        let mut command = program(side)?;
        command.env("POLDER_OUTPUT_DIR", folder.path()).env("POLDER_RUNTIME_DIR", runtime.path());
        Ok(command)
    };
    let mut memory = [0.0_f64; 3];
    for _ in 0..TIMES {
        let mut took = [Duration::ZERO; 3];
        for ((side, took), peak) in SIDES.into_iter().zip(&mut took).zip(&mut memory) {
            let (all, most) = run(&mut program(side)?)?;
            (*took, *peak) = (all, peak.max(most));
        }
        let [ours, machines, plain] = took;
        for (name, ours) in [(BARE, ours), (MACHINES, machines)] {
            figure(name, "ours", ours);
            // There are no machines to be had there.
            figure(name, "plain", plain);
        }
        for side in ["ours", "plain"] {
            figure("--list", side, run(program(side)?.arg("--list"))?.0);
        }
    }
    for (side, peak) in SIDES.into_iter().zip(memory) {
        fact(&format!("memory at most, {side}"), peak, "MiB");
    }
    let mut worst = 0.0_f64;
    for _ in 0..TIMES {
        worst = worst.max(told()?);
    }
    fact("from a failure among 1,000 scenarios to its message, at most", worst * 1000.0, "ms");
    Ok(())
}

/// The program of a side; all are built with this one.
fn program(side: &str) -> Result<Command> {
    let beside: PathBuf = env::current_exe()?.parent().context("this program is in no folder")?.into();
    let mut command = Command::new(beside.join(format!("crowd-{side}")));
    command.args(["--test-threads", "2"]).stdin(Stdio::null());
    Ok(command)
}

/// How long a program took, and the most memory it was seen to have, in MiB.
fn run(command: &mut Command) -> Result<(Duration, f64)> {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0.0_f64;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(kib.unwrap_or_default() / 1024.0);
        std::thread::sleep(LOOK);
    };
    let took = start.elapsed();
    ensure!(ended.success(), "{command:?} ended with {ended}");
    Ok((took, peak))
}

/// Seconds from where a scenario fails to where its message is read.
fn told() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let stamp = folder.path().join("stamp");
    let mut command = program("ours")?;
    command.env("POLDER_OUTPUT_DIR", folder.path().join("runs")).env("BENCH_STAMP", &stamp);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let said = BufReader::new(child.stderr.take().context("no standard error")?);
    let mut read = None;
    for line in said.lines() {
        if line?.contains("this is why") && read.is_none() {
            read = Some(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64());
        }
    }
    ensure!(!child.wait()?.success(), "the scenario that fails passed");
    let failed: f64 = fs::read_to_string(&stamp)?.parse()?;
    Ok(read.context("the message was never told")? - failed)
}
