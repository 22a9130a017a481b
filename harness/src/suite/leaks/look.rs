//! Which children this process has, as the kernel tells it. Cheap where it has none.

use std::{fs, io};

use rustix::{
    io::Errno,
    param::clock_ticks_per_second,
    process::{WaitId, WaitIdOptions, waitid},
    time::{ClockId, clock_gettime},
};

use super::model::{Micros, Process};

/// Now.
pub(super) fn now() -> Micros {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default() / 1000
}

/// All children of ours. Of one who has none, that is one call.
pub(super) fn children() -> Vec<Process> {
    // Nobody is waited for, and nobody's end is taken away from who waits for it.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if matches!(waitid(WaitId::All, options), Err(Errno::CHILD)) {
        return Vec::new();
    }
    // One that has ended meanwhile is not there any more.
    numbers().unwrap_or_default().into_iter().filter_map(process).collect()
}

/// Children of all our threads.
fn numbers() -> io::Result<Vec<i32>> {
    let mut all = Vec::new();
    for thread in fs::read_dir("/proc/self/task")?.flatten() {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        all.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Ok(all)
}

fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let ticks: u64 = fields.nth(18)?.parse().ok()?;
    let began = ticks.saturating_mul(1_000_000) / clock_ticks_per_second();
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty());
    let mut argv: Vec<String> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    if argv.is_empty() {
        argv.extend(head.split_once('(').map(|(_, name)| name.to_owned()));
    }
    Some(Process { pid, began, is_dead, argv })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_with_its_age_and_is_dead_before_it_is_asked_for() {
        let before = now();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let found = loop {
            let found = children().into_iter().find(|one| one.pid == pid);
            if let Some(found) = found.filter(|one| one.argv == ["sleep", "1000"]) {
                break found;
            }
            assert!(std::time::Instant::now() < deadline);
        };
        let (earliest, latest) = (before.saturating_sub(20_000), now());
        assert!(earliest <= found.began && found.began <= latest, "{earliest} {found:?} {latest}");
        assert!(!found.is_dead);
        child.kill().unwrap();
        while !children().iter().any(|one| one.pid == pid && one.is_dead) {
            assert!(std::time::Instant::now() < deadline);
        }
        child.wait().unwrap();
        assert!(children().iter().all(|one| one.pid != pid));
    }
}
