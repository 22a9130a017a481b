//! What a benchmark ran on, because numbers without a machine mean nothing.

use std::{fmt, fs, process::Command};

use serde::Serialize;

use crate::command;

/// The machine and the versions that matter.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    /// Model name of the processor.
    pub(super) cpu: String,
    /// How many of its cores this process may use.
    pub(super) cores: usize,
    /// Memory.
    pub(super) memory_mib: u64,
    /// Release of the kernel.
    pub(super) kernel: String,
    /// Version of QEMU.
    pub(super) qemu: String,
    /// Version of libvirt.
    pub(super) libvirt: String,
}

impl Machine {
    /// The one we run on.
    pub(super) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let says = |program: &str| {
            version(&command::output(Command::new(program).arg("--version")).unwrap_or_default())
        };
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_mib(&read("/proc/meminfo")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            qemu: says("qemu-system-x86_64"),
            libvirt: says("/usr/sbin/libvirtd"),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            cores,
            memory_mib,
            kernel,
            qemu,
            libvirt,
        } = self;
        write!(
            f,
            "{cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}, QEMU {qemu}, libvirt {libvirt}"
        )
    }
}

fn field(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    text.lines().find_map(value)
}

fn memory_mib(meminfo: &str) -> u64 {
    let kib = field(meminfo, "MemTotal").and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// The first word that looks like a version.
fn version(said: &str) -> String {
    let looks = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    said.split_whitespace()
        .find(looks)
        .unwrap_or("unknown")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read_from_what_the_kernel_says() {
        assert_eq!(
            field("processor\t: 0\nmodel name\t: AMD: EPYC\n", "model name").as_deref(),
            Some("AMD: EPYC")
        );
        assert_eq!(memory_mib("MemTotal:       24576 kB\nMemFree: 1 kB\n"), 24);
        assert_eq!(memory_mib("odd"), 0);
    }

    #[test]
    fn versions_are_found_in_what_programs_say() {
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2)"), "7.2.22");
        assert_eq!(version("/usr/sbin/libvirtd (libvirt) 9.0.0"), "9.0.0");
        assert_eq!(version(""), "unknown");
    }
}
