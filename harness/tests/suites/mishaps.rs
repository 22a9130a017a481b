//! Machines are controlled, hurt and watched over; `tests/it` runs this and looks at what is said. Scenarios called
//! `blamed_..` do nothing that fails by itself: they are to fail because of their machines' health.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests fail that way")]

use std::{
    io::{Cursor, Read},
    os::unix::net::UnixStream,
    time::{Instant, SystemTime},
};

use polder::{
    env::{DiskErrors, NewDisk},
    prelude::*,
    provider::MachineState,
};

const MIB: u64 = 1 << 20;

async fn number(vm: &Vm, script: &str) -> Result<u64> {
    let said = vm.succeed(script).await?;
    said.trim().parse().with_context(|| format!("`{script}` said {said}"))
}

#[polder::suite(env = "mishaps.yaml", timeout = "6m")]
mod mishaps {
    use super::*;

    #[test]
    async fn a_machine_is_paused(env: &Env, plain: &Vm) -> Result {
        let pause = plain.pause().await?;
        ensure!(env.state_of(plain).await? == MachineState::Paused);
        pause.heal().await?;
        ensure!(env.state_of(plain).await? == MachineState::Running);
        drop(plain.pause().await?);
        ensure!(env.state_of(plain).await? == MachineState::Running);
        Ok(())
    }

    #[test]
    async fn clocks_are_wrong(plain: &Vm, full: &Vm) -> Result {
        const DAYS: u64 = 3 * 24 * 3600;
        let off = async |vm: &Vm| -> Result<i64> {
            let there = i64::try_from(number(vm, "date +%s").await?)?;
            Ok(there - i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())?)
        };
        for vm in [plain, full] {
            let wrong = vm.clock_ahead(secs(DAYS)).await?;
            let ahead = off(vm).await? - i64::try_from(DAYS)?;
            ensure!(ahead.abs() < 60, "{} is {ahead} s off the mark", vm.name());
            wrong.heal().await?;
            let left = off(vm).await?;
            ensure!(left.abs() < 60, "{} is still {left} s off", vm.name());
        }
        let behind = plain.clock_behind(secs(DAYS)).await?;
        ensure!(off(plain).await? < -i64::try_from(DAYS)? + 60);
        behind.heal().await?;
        Ok(())
    }

    #[test]
    async fn memory_is_short(plain: &Vm) -> Result {
        const FREE: &str = "sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo";
        let before = number(plain, FREE).await?;
        let short = plain.take_memory(32).await?;
        let during = number(plain, FREE).await?;
        ensure!(during + 28 * 1024 < before, "{before} KiB before, {during} KiB then");
        short.heal().await?;
        let after = number(plain, FREE).await?;
        ensure!(during + 28 * 1024 < after, "{during} KiB then, {after} KiB healed");
        let error = plain.take_memory(100_000).await.unwrap_err().source_text();
        ensure!(error.contains("MiB are free"), "{error}");
        Ok(())
    }

    #[test]
    async fn a_disk_is_full(plain: &Vm, full: &Vm) -> Result {
        for vm in [plain, full] {
            let write = "dd if=/dev/zero of=/root/more bs=1048576 count=8 2>&1; sync";
            let stuffed = vm.fill_disk("/root", 2048).await?;
            vm.succeed("dd if=/dev/zero of=/root/more bs=1048576 count=1 conv=fsync 2>&1").await?;
            let said = vm.succeed(write).await?;
            ensure!(said.contains("No space left on device"), "{}: {said}", vm.name());
            stuffed.heal().await?;
            let said = vm.succeed(write).await?;
            ensure!(!said.contains("No space"), "{}: {said}", vm.name());
            vm.succeed("rm /root/more; [ -z \"$(ls -A /root | grep polder-full)\" ]").await?;
        }
        // Nobody waits for the end of this one; the suite does.
        drop(full.fill_disk("/root", 2048).await?);
        let error = plain.fill_disk("/nowhere", 0).await.unwrap_err().source_text();
        ensure!(error.contains("there is no folder /nowhere"), "{error}");
        Ok(())
    }

    #[test]
    async fn a_disk_comes_is_slow_breaks_and_goes(env: &Env, plain: &Vm, artifacts: &Artifacts) -> Result {
        let image = artifacts.path("image.raw")?;
        let mut bytes = vec![0; usize::try_from(4 * MIB)?];
        bytes[..5].copy_from_slice(b"fresh");
        std::fs::write(&image, bytes)?;
        let copy = NewDisk::Copy { path: image.clone(), format: polder::provider::spec::ImageFormat::Raw };
        let disk = env.attach_disk(plain, &copy).await?;
        std::fs::remove_file(image)?;
        ensure!(disk.dev() == "vdb");
        let serial = format!("grep -q {} /sys/block/vdb/serial && head -c 5 /dev/vdb", disk.serial());
        ensure!(plain.wait_until_succeeds(serial.as_str(), secs(20)).await? == "fresh");

        // One by one: a limit lets the first through whatever its size.
        let write = "for i in 1 2 3 4; do dd if=/dev/zero of=/dev/vdb bs=65536 count=2 conv=fsync,notrunc 2>&1 || exit; done";
        let timed = async || -> Result<f64> {
            let start = Instant::now();
            plain.succeed(write).await?;
            Ok(start.elapsed().as_secs_f64())
        };
        let slow = plain.slow_disk("vdb", 150_000).await?;
        let then = timed().await?;
        slow.heal().await?;
        let now = timed().await?;
        ensure!(then > 2.5 && now < then / 1.5, "{then} s when it was slow, {now} s now");

        let broken = plain.break_disk("vdb", DiskErrors::Writes).await?;
        let said = plain.fails(write).await?.stdout.text().into_owned();
        ensure!(said.contains("I/O error") || said.contains("Input/output error"), "{said}");
        let error = plain.break_disk("vdb", DiskErrors::All).await.unwrap_err().to_string();
        ensure!(error.ends_with("it is broken already"), "{error}");
        broken.heal().await?;
        plain.succeed(write).await?;
        let error = plain.break_disk("vdz", DiskErrors::All).await.unwrap_err().to_string();
        ensure!(error.ends_with("it has no such disk"), "{error}");

        let image = disk.image().to_owned();
        disk.detach().await?;
        plain.wait_until_succeeds("[ ! -e /sys/block/vdb ]", secs(20)).await?;
        ensure!(!image.exists());
        let empty = env.attach_disk(plain, &NewDisk::Empty { size: 8 * MIB }).await?;
        let size = plain.wait_until_succeeds("cat /sys/block/vdb/size", secs(20)).await?;
        ensure!(size.trim().parse::<u64>()? * 512 == 8 * MIB, "{size}");
        empty.detach().await?;
        Ok(())
    }

    #[test]
    async fn somebody_types(plain: &Vm) -> Result {
        let typed = async {
            // It is read from when somebody reads.
            plain.wait_until_succeeds("[ -e /tmp/reading ]", secs(20)).await?;
            plain.type_text("Hello, (World) | 7~\n").await?;
            anyhow::Ok(())
        };
        let reads = "touch /tmp/reading; timeout 30 head -n 1 </dev/tty1";
        let (read, typed) = tokio::join!(plain.succeed(reads), typed);
        typed?;
        let read = read?;
        ensure!(read.trim() == "Hello, (World) | 7~", "{read}");
        let error = plain.press("ctrl-nonsense").await.unwrap_err().to_string();
        ensure!(error.contains("nonsense"), "{error}");
        let error = plain.type_text("für").await.unwrap_err().to_string();
        ensure!(error.contains("no key makes 'ü'"), "{error}");
        Ok(())
    }

    #[test]
    async fn a_screen_is_seen(env: &Env, plain: &Vm, full: &Vm, artifacts: &Artifacts) -> Result {
        let image = plain.screenshot().await?;
        artifacts.add("screen.png", &image)?;
        let mut reader = png::Decoder::new(Cursor::new(image)).read_info()?;
        let mut pixels = vec![0; reader.output_buffer_size().context("it is too large")?];
        let info = reader.next_frame(&mut pixels)?;
        ensure!(info.width >= 640 && info.height >= 350, "{info:?}");
        // The image's kernel drives no screen: it shows what the firmware said.
        let bright = pixels.iter().filter(|&&byte| byte > 100).count();
        ensure!(bright > 1000 && bright < pixels.len() / 2, "{bright} of {} are bright", pixels.len());
        let error = full.screenshot().await.unwrap_err().to_string();
        ensure!(error.contains("`graphics: true`"), "{error}");

        let lab = env.status().await?.prefix.lab.context("there is a lab")?;
        ensure!(lab.screens.keys().collect::<Vec<_>>() == ["plain"], "{:?}", lab.screens);
        let mut banner = [0; 4];
        UnixStream::connect(&lab.screens["plain"])?.read_exact(&mut banner)?;
        ensure!(&banner == b"RFB ", "{banner:?}");
        Ok(())
    }

    #[test]
    async fn a_machine_crashes_and_keeps_what_was_written(plain: &Vm) -> Result {
        // Only what is written on demand reaches the disk.
        plain.succeed("echo 360000 >/proc/sys/vm/dirty_writeback_centisecs").await?;
        plain.succeed("echo kept >/root/kept; sync; echo lost >/root/lost").await?;
        let before = plain.succeed("cat /proc/sys/kernel/random/boot_id").await?;
        plain.crash().await?;
        plain.power_cut().await?;
        plain.wait_for_ssh(secs(60)).await?;
        ensure!(plain.succeed("cat /proc/sys/kernel/random/boot_id").await? != before);
        ensure!(plain.succeed("cat /root/kept").await? == "kept\n");
        ensure!(!plain.execute("cat /root/lost").await?.stdout.text().contains("lost"));
        Ok(())
    }

    #[test]
    async fn what_is_expected_is_nobodys_fault(plain: &Vm, full: &Vm) -> Result {
        full.expect(Trouble::FailedUnit);
        plain.expect(Trouble::Oops);
        full.succeed("systemd-run --quiet --wait false || true").await?;
        plain.succeed("echo '<1>BUG: kernel NULL pointer dereference, address: 0' >/dev/kmsg").await?;
        Ok(())
    }

    #[test]
    async fn blamed_for_a_unit_and_a_core(full: &Vm) -> Result {
        // Who follows the journal is lost and comes back.
        full.succeed("kill $(pidof journalctl); systemd-run --quiet --unit=doomed --wait false || true")
            .await?;
        // As systemd's collector of cores does, which the image does not have.
        let entry = "MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1\nMESSAGE=Process 77 (web) dumped core.\n";
        full.succeed(Command::new("logger").arg("--journald").stdin(entry)).await?;
        Ok(())
    }

    #[test]
    async fn blamed_for_what_the_kernel_says(plain: &Vm) -> Result {
        let more =
            "echo 1 >/proc/sys/vm/overcommit_memory; dd if=/dev/zero of=/dev/null bs=200M count=1; true";
        plain.succeed(more).await?;
        plain
            .succeed(
                "echo 1 >/proc/sys/kernel/hung_task_timeout_secs; fsfreeze --freeze /; touch /root/x & \
                 sleep 3; fsfreeze --unfreeze /; wait; echo 0 >/proc/sys/kernel/hung_task_timeout_secs",
            )
            .await?;
        // What the kernel prints when it goes wrong, by the way it prints it.
        plain.succeed("echo '<1>Oops: 0002 [#1] PREEMPT SMP' >/dev/kmsg").await?;
        Ok(())
    }

    #[test]
    async fn blamed_for_a_panic(plain: &Vm) -> Result {
        let _ = plain.execute("echo c >/proc/sysrq-trigger").await;
        Ok(())
    }

    #[test]
    async fn nobody_is_blamed_for_the_past(full: &Vm) -> Result {
        full.succeed("true").await?;
        Ok(())
    }
}

/// An error and its causes in one line.
trait SourceText {
    fn source_text(self) -> String;
}

impl<E: Into<anyhow::Error>> SourceText for E {
    fn source_text(self) -> String {
        format!("{:#}", self.into())
    }
}

polder::main!();
