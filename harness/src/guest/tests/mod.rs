//! The verbs against a real OpenSSH server and an agent that runs real commands.

/// The server under test; the test ends here where going without one is allowed.
macro_rules! rig {
    () => {
        rig!("")
    };
    ($extra:expr) => {
        match Rig::start($extra) {
            Some(rig) => rig,
            None => return,
        }
    };
}

mod agent;
mod breaking;
mod commands;
mod console;
mod files;
mod gather;
mod jobs;
mod password;
mod rig;
mod streams;
mod sync;
mod waiting;
mod ways;

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use self::rig::FakeAgent;
pub(crate) use self::rig::{Rig, Server, key};
use super::*;
use crate::{
    event::Fault,
    image::{Abilities, Ability},
};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);

/// The error with its causes, as people see it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!("\ncaused by: {error}");
        cause = error.source();
    }
    text
}

/// Whether a process with `needle` in its command line runs on this host.
fn runs(needle: &str) -> bool {
    std::process::Command::new("pgrep").args(["-f", "--", needle]).output().unwrap().status.success()
}

/// Bytes that do not compress and do not repeat.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect()
}

/// Waits until something in the guest has made `path`.
async fn appears(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(SECOND / 50).await;
    }
}

/// What lies in `dir`: names, kinds, modes, sizes and link targets.
fn tree(dir: &Path) -> Vec<String> {
    let find = std::process::Command::new("find")
        .args([".", "-printf", "%P %y %m %s %l\\0"])
        .current_dir(dir)
        .output();
    let mut lines: Vec<String> =
        find.unwrap().stdout.split(|b| *b == 0).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
    lines.retain(|line| !line.starts_with(" d"));
    lines.sort();
    // The size of a folder is the file system's business.
    lines
        .iter()
        .map(|l| if l.contains(" d ") { l.rsplit_once(' ').unwrap().0.to_owned() } else { l.clone() })
        .collect()
}
