//! Machines that get into real trouble: nothing here is made up in a log. `tests/it` runs this and looks at what is said.
//! Scenarios called `blamed_..` do nothing that fails by itself.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests fail that way")]

use polder::{prelude::*, provider::MachineState};

/// Reads what is at address 0.
const NULL_POINTER: &[u8] = &[0x31, 0xc0, 0x8b, 0x00];
/// No instruction.
const INVALID_OPCODE: &[u8] = &[0x0f, 0x0b];

/// Has the kernel run `code` as its own: in place of what a module of its does first.
async fn run_in_kernel(vm: &Vm, code: &[u8]) -> Result {
    let release = vm.succeed("uname -r").await?;
    let path = format!("/lib/modules/{}/kernel/drivers/net/dummy.ko", release.trim());
    let module = vm.read_file(&path).await?;
    vm.write_file("/root/broken.ko", with_code(module, code).context("the module is of an unknown form")?)
        .await?;
    // It does not come back, or not well.
    vm.execute(Command::new("insmod").arg("/root/broken.ko")).await?;
    Ok(())
}

/// A module (ELF, 64 bits) whose function for its start is `code`, behind the call at its begin that tracers are told of.
fn with_code(mut module: Vec<u8>, code: &[u8]) -> Option<Vec<u8>> {
    const TRACED: usize = 5;
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let bytes = module.get(at..at + bytes)?;
        Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    };
    let (sections, each) = (number(0x28, 8)?, number(0x3a, 2)?);
    let header = |nth: usize| sections + nth * each;
    let names = number(header(number(0x3e, 2)?) + 0x18, 8)?;
    let is_start = |nth: usize| {
        let name = names + number(header(nth), 4)?;
        module.get(name..)?.starts_with(b".init.text\0").then_some(nth)
    };
    let start = (0..number(0x3c, 2)?).find_map(is_start)?;
    let at = number(header(start) + 0x18, 8)? + TRACED;
    module.get_mut(at..at + code.len())?.copy_from_slice(code);
    // What is signed wrongly is refused; what is not signed is let in.
    let signed = module.strip_suffix(b"~Module signature appended~\n")?.len();
    module.truncate(signed);
    Some(module)
}

/// Waits until libvirt, and not only a console, says that it has crashed.
async fn until_crashed(vm: &Vm) -> Result {
    let begun = std::time::Instant::now();
    while vm.state().await? != MachineState::Crashed {
        ensure!(begun.elapsed() < secs(60), "{} is {:?}", vm.name(), vm.state().await?);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn come_back(vm: &Vm) -> Result {
    vm.power_cut().await?;
    vm.wait_for_ssh(secs(120)).await?;
    Ok(())
}

const FAIL: &str = "systemd-run --quiet --unit=doomed --wait false || true; systemctl reset-failed doomed";

#[polder::suite(env = "health.yaml", timeout = "8m")]
mod health {
    use super::*;

    #[setup]
    async fn allow(full: &Vm) -> Result {
        full.allow(Trouble::FailedUnit);
        Ok(())
    }

    #[test]
    async fn what_is_allowed_is_nobodys_fault(full: &Vm) -> Result {
        full.succeed(FAIL).await?;
        Ok(())
    }

    #[test]
    async fn blamed_for_what_is_not_allowed(full: &Vm) -> Result {
        full.succeed(FAIL).await?;
        // Reads what is at address 1.
        let died =
            full.execute(Command::new("perl").args(["-e", r#"print unpack "p", pack "J", 1"#])).await?;
        ensure!(!died.status.success(), "{died:?}");
        Ok(())
    }

    // Before the oops: a kernel that had one tells of no more tasks that hang.
    #[test]
    async fn blamed_for_a_hung_task(full: &Vm) -> Result {
        full.succeed(
            "echo 1 >/proc/sys/kernel/hung_task_timeout_secs; fsfreeze --freeze /; touch /root/x & \
             for i in $(seq 40); do dmesg | grep -q 'blocked for more' && break; sleep 0.5; done
             fsfreeze --unfreeze /; wait; echo 0 >/proc/sys/kernel/hung_task_timeout_secs",
        )
        .await?;
        Ok(())
    }

    #[test]
    async fn blamed_for_an_oops(plain: &Vm, full: &Vm) -> Result {
        run_in_kernel(plain, NULL_POINTER).await?;
        run_in_kernel(full, INVALID_OPCODE).await?;
        // Long enough for it to be told before this is.
        tokio::time::sleep(secs(2)).await;
        plain.pause().await?.heal().await?;
        Ok(())
    }

    #[test]
    async fn blamed_for_want_of_memory(full: &Vm) -> Result {
        // Of the unit, and not of all: who looks for the last page looks long.
        full.succeed("systemd-run --quiet --property=MemoryMax=20M --wait tail /dev/zero || true").await?;
        Ok(())
    }

    #[test]
    async fn machines_crash_without_their_guests_help(plain: &Vm, full: &Vm) -> Result {
        plain.expect(Trouble::Panic);
        full.expect(Trouble::Panic);
        for vm in [plain, full] {
            vm.press("alt-sysrq-c").await?;
        }
        until_crashed(full).await?;
        let error = plain.execute("sleep 60").await.unwrap_err().to_string();
        ensure!(error.contains("sysrq triggered crash"), "{error}");
        come_back(plain).await?;
        come_back(full).await?;
        plain.inject_nmi().await?;
        let error = plain.execute("sleep 60").await.unwrap_err().to_string();
        ensure!(error.contains("NMI"), "{error}");
        come_back(plain).await
    }

    #[test]
    async fn blamed_for_a_panic_without_a_word(full: &Vm) -> Result {
        full.inject_nmi().await?;
        until_crashed(full).await
    }
}

polder::main!();
