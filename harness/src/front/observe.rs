//! What this host has of what scenarios can need.

use std::{env, fs, os::unix::fs::PermissionsExt};

/// Memory that is free or can be freed, in MiB, as the kernel reckons it.
pub(super) fn free_memory() -> Option<u64> {
    available(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// Whether a program of this name is in a folder of `PATH`.
pub(super) fn has_tool(name: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| {
        let data = fs::metadata(folder.join(name));
        data.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    })
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_much_memory_is_free() {
        let told = "MemTotal:  4096000 kB\nMemFree: 5 kB\nMemAvailable:    2097151 kB\nBuffers: 7 kB\n";
        assert_eq!(available(told), Some(2047));
        for strange in ["", "MemAvailable:", "MemAvailable: many kB", "MemAvailable: 7"] {
            assert_eq!(available(strange), None, "{strange}");
        }
        assert!(free_memory().is_some_and(|free| free > 0));
    }

    #[test]
    fn programs_are_files_that_can_be_run() {
        assert!(has_tool("sh"));
        assert!(!has_tool("no-such-program") && !has_tool("."));
    }
}
