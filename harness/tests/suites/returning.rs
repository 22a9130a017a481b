//! Scenarios that begin in the states others left, and attempts that begin where the first one did.

use std::sync::atomic::{AtomicU32, Ordering};

use polder::{FromSuite, Need, OnReturn, Param, Scope, SuiteCx, prelude::*};

/// Writes where the disk keeps it and where only memory does, and leaves something running.
async fn mark(vm: &Vm, name: &str) -> Result {
    let script = format!(
        "echo {name} > /root/{name}; sync; echo {name} > /run/{name}; \
         setsid sh -c 'while sleep 0.2; do echo {name} >> /run/{name}.beats; done' < /dev/null > /dev/null 2>&1 &"
    );
    vm.succeed(script.as_str()).await?;
    vm.succeed(format!("until test -s /run/{name}.beats; do sleep 0.1; done").as_str()).await?;
    Ok(())
}

/// What of the marks is there.
async fn marks(vm: &Vm) -> Result<String> {
    let output =
        vm.succeed("cd /root && ls -d *.mark 2>/dev/null; cd /run && ls -d *.mark 2>/dev/null; true").await?;
    Ok(output.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// That what was left running runs.
async fn beats(vm: &Vm, name: &str) -> Result {
    let script =
        format!("n=$(wc -l < /run/{name}.beats); sleep 0.7; [ $(wc -l < /run/{name}.beats) -gt $n ]");
    vm.succeed(script.as_str()).await?;
    Ok(())
}

/// How wrong clocks are in the states that are kept, in seconds, and how wrong they may be once they were set: those of busy
/// machines jump.
const WRONG: u64 = 600;
const RIGHT: u64 = 60;

async fn put_back_clock(vm: &Vm) -> Result {
    vm.succeed(format!("date -s @$(($(date +%s) - {WRONG}))").as_str()).await?;
    ensure!(clock_error(vm).await? > RIGHT, "the clock of {vm} is right");
    Ok(())
}

/// By how much a machine's clock is wrong, in seconds.
async fn clock_error(vm: &Vm) -> Result<u64> {
    let there: u64 = vm.succeed("date +%s").await?.trim().parse()?;
    let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    Ok(there.abs_diff(here))
}

/// Counts how often it was made.
struct Remade(u32);

static MADE: AtomicU32 = AtomicU32::new(0);

impl FromSuite for Remade {
    const NEED: Need = Need::Nothing;
    const SCOPE: Scope = Scope::Suite;
    const ON_RETURN: OnReturn = OnReturn::Remake;
    async fn from_suite(_: &SuiteCx, _: &Param) -> Result<Self> {
        Ok(Self(MADE.fetch_add(1, Ordering::Relaxed) + 1))
    }
}

#[polder::suite(env = "returning.yaml", cvp, timeout = "5m")]
mod states {
    use super::*;

    #[test]
    async fn first(left: &Vm, right: &Vm, lan: &Net, cvp: &Cvp, changes: &Changes, value: &Remade) -> Result {
        for vm in [left, right] {
            mark(vm, "first.mark").await?;
            put_back_clock(vm).await?;
        }
        lan.add_record("first.test", "192.0.2.1".parse()?).await?;
        cvp.configlet("ntp").content("ntp server 192.0.2.1\n").make().await?;
        let stays =
            Change::new("stays").apply("touch /root/changed.first").rollback("rm /root/changed.first");
        changes.apply(stays).on([left]).await?;
        ensure!(value.0 == 1, "it is the first");
        Ok(())
    }

    #[test]
    async fn spoils(left: &Vm, right: &Vm, lan: &Net, cvp: &Cvp, changes: &Changes) -> Result {
        left.succeed("rm /root/first.mark /run/first.mark; pkill -f first.mark; true").await?;
        mark(left, "second.mark").await?;
        lan.add_record("second.test", "192.0.2.2".parse()?).await?;
        lan.remove_record("first.test").await?;
        cvp.configlet("dns").content("ip domain-name x.test\n").make().await?;
        let goes =
            Change::new("goes").apply("touch /root/changed.second").rollback("rm /root/changed.second");
        changes.apply(goes).on([left]).await?;
        Ok(right.stop().await?)
    }

    /// That everything is as `first` left it.
    async fn look(left: &Vm, right: &Vm, lan: &Net, cvp: &Cvp) -> Result {
        for vm in [left, right] {
            ensure!(marks(vm).await? == "first.mark first.mark", "{vm}: {}", marks(vm).await?);
            beats(vm, "first.mark").await?;
            let error = clock_error(vm).await?;
            ensure!(error <= RIGHT, "the clock of {vm} is wrong by {error} s");
        }
        left.succeed("test -e /root/changed.first && test ! -e /root/changed.second").await?;
        ensure!(lan.resolve("first.test").len() == 1 && lan.resolve("second.test").is_empty());
        left.succeed(format!("ping -c 1 -W 5 {}", right.ip().context("it has one")?).as_str()).await?;
        let names: Vec<String> = cvp.client().configlets().await?.into_iter().map(|one| one.name).collect();
        let ours: Vec<&String> = names.iter().filter(|name| name.starts_with(&cvp.named(""))).collect();
        ensure!(ours == [&cvp.named("ntp")], "{ours:?}");
        Ok(())
    }

    #[test(from(first))]
    async fn begins_there(left: &Vm, right: &Vm, lan: &Net, cvp: &Cvp, value: &Remade) -> Result {
        ensure!(value.0 == 2, "it was made again");
        look(left, right, lan, cvp).await?;
        left.succeed("rm /root/first.mark").await?;
        mark(right, "third.mark").await
    }

    #[test(from(first))]
    async fn begins_there_again(left: &Vm, right: &Vm, lan: &Net, cvp: &Cvp) -> Result {
        look(left, right, lan, cvp).await
    }

    #[test(from(begins_there_again), after(first))]
    async fn goes_on_at_once(left: &Vm) -> Result {
        beats(left, "first.mark").await
    }

    #[test(retries = 2)]
    async fn is_tried_again_from_where_it_began(left: &Vm) -> Result {
        static TRIED: AtomicU32 = AtomicU32::new(0);
        let attempt = TRIED.fetch_add(1, Ordering::Relaxed) + 1;
        left.succeed("test ! -e /root/tried && test ! -e /run/tried").await.context("it was tried before")?;
        left.succeed("touch /root/tried /run/tried && sync").await?;
        ensure!(attempt == 3, "not yet, at attempt {attempt}");
        Ok(())
    }

    #[test(from(first), retries = 1)]
    async fn is_tried_again_from_there(left: &Vm, artifacts: &Artifacts) -> Result {
        static TRIED: AtomicU32 = AtomicU32::new(0);
        left.succeed("test ! -e /root/tried").await.context("it was tried before")?;
        left.succeed("touch /root/tried").await?;
        ensure!(TRIED.fetch_add(1, Ordering::Relaxed) == 1, "not yet");
        artifacts.add("begun", "")?;
        Ok(())
    }
}

#[polder::suite(env = "plain_disk.yaml", timeout = "5m")]
mod plain {
    use super::*;

    #[test]
    async fn first(only: &Vm) -> Result {
        put_back_clock(only).await?;
        mark(only, "first.mark").await?;
        only.succeed("echo first | dd of=/dev/vdb bs=512 conv=sync,fsync").await?;
        Ok(())
    }

    #[test]
    async fn spoils(only: &Vm) -> Result {
        only.succeed("rm /root/first.mark; echo other | dd of=/dev/vdb bs=512 conv=sync,fsync").await?;
        Ok(())
    }

    #[test(from(first))]
    async fn begins_there(only: &Vm) -> Result {
        ensure!(marks(only).await? == "first.mark first.mark");
        beats(only, "first.mark").await?;
        only.succeed("dd if=/dev/vdb bs=5 count=1 iflag=direct 2>/dev/null | grep first || dd if=/dev/vdb bs=5 count=1 | grep first")
            .await?;
        ensure!(clock_error(only).await? <= RIGHT);
        Ok(())
    }
}

polder::main!();
