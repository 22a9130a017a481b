//! Machines are controlled, hurt, changed, brought back and switched off; what stops the machine comes last.

use std::{
    io::Cursor,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use polder::{
    env::{DiskErrors, Fault, How, NewDisk, Progress, SnapshotOptions},
    guest::{Command, GuestError},
    prelude::secs,
    provider::MachineState,
};

use super::{NO_SLEEP, Place, REBOOT, Row, SHORT, services};

pub(super) const ROWS: &[Row] = &[
    Row("it is paused and goes on", None, |p| Box::pin(paused(p))),
    Row("its clock is wrong", None, |p| Box::pin(clock(p))),
    Row("its memory is short", None, |p| Box::pin(memory(p))),
    Row("its disk is full", None, |p| Box::pin(full(p))),
    Row("a disk comes, is slow, fails and goes", None, |p| Box::pin(disk(p))),
    Row("a NIC comes and goes", None, |p| Box::pin(nic(p))),
    Row("somebody types", None, |p| Box::pin(keyboard(p))),
    Row("its screen is seen", None, |p| Box::pin(screen(p))),
    Row("it goes back to a snapshot with its memory", None, |p| Box::pin(snapshot(p))),
    Row("it reboots", REBOOT, |p| Box::pin(reboot(p))),
    Row("it crashes, and its power is cut", None, |p| Box::pin(crash(p))),
    Row("it is shut down, and its disk is read", None, |p| Box::pin(off(p))),
];

const MIB: u64 = 1 << 20;
const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";

fn quiet() -> Progress {
    Progress::new(|_| {})
}

async fn paused(p: &Place) -> Result<()> {
    let pause = p.vm.pause().await?;
    ensure!(p.env.state_of(&p.vm).await? == MachineState::Paused);
    let error = p.vm.execute(Command::from("true").timeout(SHORT)).await.err().map(|e| e.to_string());
    ensure!(error.as_ref().is_some_and(|error| error.contains("it is paused")), "{error:?}");
    pause.heal().await?;
    ensure!(p.vm.succeed("echo awake").await? == "awake\n");
    p.polder(&["pause", "it"])?;
    p.polder(&["resume", "it"])?;
    ensure!(p.vm.succeed("echo awake").await? == "awake\n");
    Ok(())
}

async fn clock(p: &Place) -> Result<()> {
    const DAYS: u64 = 3 * 24 * 3600;
    let off = async || -> Result<i64> {
        let there = p.number("date +%s").await?;
        Ok(there - i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())?)
    };
    let days = i64::try_from(DAYS)?;
    let healed = async |wrong: Fault, by: i64| {
        let error = p.vm.execute(Command::from("sleep 4742").timeout(SHORT)).await.err();
        ensure!(matches!(&error, Some(GuestError::Deadline { killed: true, .. })), "{error:?}");
        let there = off().await?;
        ensure!((there - by).abs() < 60, "it is {there} s off, not {by}");
        wrong.heal().await?;
        let left = off().await?;
        ensure!(left.abs() < 60, "it is still {left} s off");
        Ok(())
    };
    healed(p.vm.clock_ahead(secs(DAYS)).await?, days).await?;
    healed(p.vm.clock_behind(secs(DAYS)).await?, -days).await
}

async fn memory(p: &Place) -> Result<()> {
    const FREE: &str = "sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo";
    let before = p.number(FREE).await?;
    let short = p.vm.take_memory(32).await?;
    let during = p.number(FREE).await?;
    ensure!(during + 20 * 1024 < before, "{before} KiB before, {during} KiB then");
    short.heal().await?;
    let after = p.number(FREE).await?;
    ensure!(during + 20 * 1024 < after, "{during} KiB then, {after} KiB healed");
    let error =
        p.vm.take_memory(100_000).await.err().map(|error| format!("{:#}", anyhow::Error::from(error)));
    ensure!(error.as_ref().is_some_and(|error| error.contains("MiB are free")), "{error:?}");
    Ok(())
}

async fn full(p: &Place) -> Result<()> {
    let write = "dd if=/dev/zero of=/root/more bs=1048576 count=8 2>&1; sync";
    let full = p.vm.fill_disk("/root", 2048).await?;
    p.vm.succeed("dd if=/dev/zero of=/root/more bs=1048576 count=1 conv=fsync 2>&1").await?;
    let said = p.vm.succeed(write).await?;
    ensure!(said.contains("No space left on device"), "{said}");
    // Commands and scripts go on.
    ensure!(p.vm.succeed(Command::upload("#!/bin/sh\necho it runs\n")).await? == "it runs\n");
    full.heal().await?;
    let said = p.vm.succeed(write).await?;
    ensure!(!said.contains("No space"), "{said}");
    p.vm.succeed("rm /root/more; [ -z \"$(ls -A /root | grep polder-full)\" ]").await?;
    Ok(())
}

async fn disk(p: &Place) -> Result<()> {
    let disk = p.env.attach_disk(&p.vm, &NewDisk::Empty { size: 8 * MIB }).await?;
    let dev = disk.dev().to_owned();
    let serial = format!("grep -q {} /sys/block/{dev}/serial && cat /sys/block/{dev}/size", disk.serial());
    let size = p.vm.wait_until_succeeds(serial, secs(30)).await?;
    ensure!(size.trim().parse::<u64>()? * 512 == 8 * MIB, "{size}");

    // One by one: a limit lets the first through whatever its size.
    let write = format!(
        "for i in 1 2 3 4; do dd if=/dev/zero of=/dev/{dev} bs=65536 count=2 conv=fsync,notrunc 2>&1 || exit; done"
    );
    let timed = async || -> Result<Duration> {
        let start = Instant::now();
        p.vm.succeed(write.as_str()).await?;
        Ok(start.elapsed())
    };
    let slow = p.vm.slow_disk(&dev, 150_000).await?;
    let then = timed().await?;
    slow.heal().await?;
    // Who else is at work on this host is slow at times, too.
    let mut now = timed().await?;
    for _ in 0..4 {
        now = if now < then { now } else { timed().await? };
    }
    ensure!(then > secs(2) && now < then, "{then:?} when it was slow, {now:?} now");

    let broken = p.vm.break_disk(&dev, DiskErrors::Writes).await?;
    let said = p.vm.fails(write.as_str()).await?.stdout.text().into_owned();
    ensure!(said.contains("I/O error") || said.contains("Input/output error"), "{said}");
    broken.heal().await?;
    p.vm.succeed(write.as_str()).await?;
    disk.detach().await?;
    p.vm.wait_until_succeeds(format!("[ ! -e /sys/block/{dev} ]"), secs(30)).await?;
    Ok(())
}

async fn nic(p: &Place) -> Result<()> {
    let nics = "ls -d /sys/class/net/*/device | wc -l";
    ensure!(p.number(nics).await? == 1);
    let link = p.env.net("side").context("there is one")?.attach(&p.vm).await?;
    p.vm.until(nics, |said| said.trim() == "2").within(secs(30)).await?;
    let mac = format!("grep -il {} /sys/class/net/*/address", link.nic().mac);
    p.vm.succeed(mac).await?;
    link.detach().await?;
    p.vm.until(nics, |said| said.trim() == "1").within(secs(30)).await?;
    Ok(())
}

/// The seventh virtual terminal is nobody's; it is gone to by its keys.
async fn keyboard(p: &Place) -> Result<()> {
    let reading = p.vm.spawn("exec </dev/tty7; touch /tmp/reading; head -n 1").await?;
    p.vm.wait_for_file("/tmp/reading", secs(20)).await?;
    p.vm.press("alt-f7").await?;
    p.vm.until("cat /sys/class/tty/tty0/active", |said| said == "tty7\n").within(secs(20)).await?;
    p.vm.type_text("Hello, (World) | 7~\n").await?;
    let read = reading.wait(secs(30)).await?;
    ensure!(read.stdout.text() == "Hello, (World) | 7~\n", "{read:?}");
    let error = p.vm.type_text("für").await.err().map(|error| error.to_string());
    ensure!(error.as_ref().is_some_and(|error| error.contains("no key makes 'ü'")), "{error:?}");
    Ok(())
}

async fn screen(p: &Place) -> Result<()> {
    let mut reader = png::Decoder::new(Cursor::new(p.vm.screenshot().await?)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("it is too large")?];
    let info = reader.next_frame(&mut pixels)?;
    ensure!(info.width >= 640 && info.height >= 350, "{info:?}");
    ensure!(pixels.iter().any(|&byte| byte > 100), "it is dark");
    Ok(())
}

async fn snapshot(p: &Place) -> Result<()> {
    p.vm.succeed("echo before >/root/moment").await?;
    let job = p.vm.spawn("sleep 4751").await?;
    let options = SnapshotOptions { machines: p.only(), memory: true, ..SnapshotOptions::default() };
    p.env.snapshot("moment", &options, &quiet()).await?;
    p.vm.succeed(format!("echo after >/root/moment; {NO_SLEEP}")).await?;
    p.env.revert("moment", &quiet()).await?;
    ensure!(p.vm.succeed("cat /root/moment").await? == "before\n");
    ensure!(job.is_running().await?);
    p.env.delete_snapshot("moment").await?;
    Ok(())
}

/// A command that is given while it goes down and comes back is neither lost nor noticed by the machine it was before.
async fn reboot(p: &Place) -> Result<()> {
    let before = p.vm.succeed(BOOT_ID).await?;
    let job = p.vm.spawn("sleep 4752").await?;
    let asked = async {
        loop {
            match p.vm.succeed(BOOT_ID).await {
                Ok(now) if now != before => return Ok(()),
                // Going down, it may have no `/proc` any more.
                Ok(_) | Err(GuestError::Lost { .. } | GuestError::Failed(_)) => {}
                Err(error) => return Err(error),
            }
        }
    };
    let (back, asked) = tokio::join!(p.vm.reboot(secs(120)), asked);
    back?;
    asked?;
    let gone = job.wait(secs(5)).await.err();
    ensure!(matches!(&gone, Some(GuestError::JobGone { .. })), "{gone:?}");
    // It only just came up, and would not hear its power button.
    let before = p.vm.succeed(BOOT_ID).await?;
    p.polder(&["reboot", "it"])?;
    let again = async || match p.vm.succeed(BOOT_ID).await {
        Ok(now) => Ok(now != before),
        Err(GuestError::Lost { .. } | GuestError::Failed(_)) => Ok(false),
        Err(error) => Err(error),
    };
    let end = Instant::now() + secs(120);
    while !again().await? {
        ensure!(Instant::now() < end, "it did not restart");
    }
    Ok(())
}

async fn crash(p: &Place) -> Result<()> {
    let before = p.vm.succeed(BOOT_ID).await?;
    // Only what is written on demand reaches the disk.
    p.vm.succeed("echo 360000 >/proc/sys/vm/dirty_writeback_centisecs").await?;
    p.vm.succeed("echo kept >/root/synced; sync; echo lost >/root/lost").await?;
    p.vm.crash().await?;
    let error = p.vm.execute(Command::from("true").timeout(secs(5))).await.err();
    ensure!(matches!(&error, Some(GuestError::Panicked { .. })), "{error:?}");
    p.vm.power_cut().await?;
    p.vm.wait_for_ssh(secs(120)).await?;
    ensure!(p.vm.succeed(BOOT_ID).await? != before);
    ensure!(p.vm.succeed("cat /root/synced").await? == "kept\n");
    ensure!(!p.vm.execute("cat /root/lost").await?.stdout.text().contains("lost"));
    Ok(())
}

async fn off(p: &Place) -> Result<()> {
    let stopped = p.env.shutdown(&p.only(), secs(60), &quiet()).await?;
    ensure!(stopped.iter().all(|one| one.how == How::Graceful), "{stopped:?}");
    ensure!(p.env.state_of(&p.vm).await? == MachineState::Absent);
    let said = p.ground.polder(&["exec", "it", "true"]);
    ensure!(said.code == Some(1) && said.err.contains("it is not running but absent"), "{said:?}");
    p.polder(&["collect", "-o", "off"])?;
    services::collection(p, "off")
}
