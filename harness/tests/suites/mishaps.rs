//! Machines are controlled, hurt and watched over; `tests/it` runs this and looks at what is said. Scenarios called
//! `blamed_..` do nothing that fails by itself: they are to fail because of their machines' health.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests fail that way")]

use std::{
    io::{Cursor, Read},
    os::unix::net::UnixStream,
};

use polder::{prelude::*, provider::MachineState};

#[polder::suite(env = "mishaps.yaml", timeout = "6m")]
mod mishaps {
    use super::*;

    #[test]
    async fn a_machine_is_paused(env: &Env, plain: &Vm) -> Result {
        let pause = plain.pause().await?;
        ensure!(env.state_of(plain).await? == MachineState::Paused);
        pause.heal().await?;
        ensure!(env.state_of(plain).await? == MachineState::Running);
        // Nobody waits for its end here: it comes by itself.
        drop(plain.pause().await?);
        eventually(secs(30), async || Ok(env.state_of(plain).await? == MachineState::Running)).await?;
        Ok(())
    }

    #[test]
    async fn a_disk_is_full(full: &Vm) -> Result {
        // Nobody waits for its end; the suite does.
        drop(full.fill_disk("/root", 2048).await?);
        let error = full.fill_disk("/nowhere", 0).await.unwrap_err().source_text();
        ensure!(error.contains("there is no folder /nowhere"), "{error}");
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
