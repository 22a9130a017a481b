//! How much this host has, where nobody says how much of it suites may take.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Memory in MiB: the host's, or what its groups leave to this process, if that is less.
pub(super) fn memory_mib() -> Option<u64> {
    let total = total(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = places(&group).into_iter().filter_map(|file| limit(&fs::read_to_string(file).ok()?));
    Some(limits.fold(total, u64::min))
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

/// Files with limits, of the group that `/proc/self/cgroup` names and of all above it.
fn places(group: &str) -> Vec<PathBuf> {
    let Some(group) = group.lines().find_map(|line| line.strip_prefix("0::/")) else { return Vec::new() };
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(group);
    own.ancestors().take_while(|path| path.starts_with(root)).map(|path| path.join("memory.max")).collect()
}

fn limit(text: &str) -> Option<u64> {
    text.trim().parse::<u64>().ok().map(|bytes| bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_the_kernel_writes_it() {
        assert_eq!(total("MemTotal:  4096000 kB\nMemFree: 5 kB\n"), Some(4000));
        assert_eq!(total("MemTotal: lots"), None);
        assert_eq!((limit("max\n"), limit("1073741824\n")), (None, Some(1024)));
        let places = places("1:name=systemd:/x\n0::/user.slice/a.scope\n");
        let shown: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(
            shown,
            [
                "/sys/fs/cgroup/user.slice/a.scope/memory.max",
                "/sys/fs/cgroup/user.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert!(memory_mib().is_some_and(|mib| mib > 0));
    }
}
