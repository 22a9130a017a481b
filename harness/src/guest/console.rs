//! The console a hypervisor records to a file: its last lines, and lines after which the kernel is lost.
//! Reads only; the file may not exist yet and begins anew when a machine is started again.

use std::{
    fmt, io,
    io::SeekFrom,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::limits;

/// More than this is never read of a console for its last lines.
const TAIL_BYTES: u64 = 256 * 1024;

/// A line that says that the kernel is in trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal {
    /// What kind of trouble.
    pub kind: FatalKind,
    /// The line, without control characters.
    pub line: String,
}

/// A kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FatalKind {
    /// The kernel has stopped.
    Panic,
    /// The kernel went wrong and tries to go on.
    Oops,
    /// The kernel killed a process to get memory.
    OutOfMemory,
}

impl fmt::Display for FatalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panic => "kernel panic",
            Self::Oops => "kernel oops",
            Self::OutOfMemory => "out of memory",
        })
    }
}

/// Words of a console line and what they mean; the first that fits counts.
const SIGNS: &[(&str, FatalKind)] = &[
    ("end Kernel panic", FatalKind::Panic),
    ("Kernel panic - not syncing", FatalKind::Panic),
    ("BUG: unable to handle", FatalKind::Oops),
    ("BUG: kernel NULL pointer", FatalKind::Oops),
    ("kernel BUG at ", FatalKind::Oops),
    ("general protection fault", FatalKind::Oops),
    ("Oops: ", FatalKind::Oops),
    ("Out of memory: Kill", FatalKind::OutOfMemory),
    ("Memory cgroup out of memory: Kill", FatalKind::OutOfMemory),
];

/// The lines of a console that say that the kernel is in trouble, in order.
#[must_use]
pub fn fatal_lines(text: &str) -> Vec<Fatal> {
    let mut found: Vec<Fatal> = Vec::new();
    for line in text.lines().map(plain) {
        let sign = SIGNS.iter().find(|(words, _)| line.contains(words));
        if let Some(&(words, kind)) = sign {
            // The kernel repeats its panic as the last thing it says.
            if words != "end Kernel panic" || found.iter().all(|f| f.kind != FatalKind::Panic) {
                found.push(Fatal { kind, line });
            }
        }
    }
    found
}

/// A recorded console.
#[derive(Debug)]
pub(super) struct Console {
    path: PathBuf,
    /// What stands before belongs to a life of the machine that is over.
    begin: AtomicU64,
}

impl Console {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, begin: AtomicU64::new(0) }
    }

    /// Leaves what was said until now out of [`Console::panicked`].
    pub(super) async fn begin_anew(&self) {
        self.begin.store(length(&self.path).await, Ordering::Relaxed);
    }

    /// The last `lines` lines, without control characters; empty when there is no console yet.
    pub(super) async fn tail(&self, lines: usize) -> Vec<String> {
        let start = length(&self.path).await.saturating_sub(TAIL_BYTES);
        let text = self::text(&read_from(&self.path, start).await.unwrap_or_default());
        let all: Vec<String> = text.lines().map(plain).filter(|line| !line.is_empty()).collect();
        let skipped = all.len().saturating_sub(lines);
        all.into_iter().skip(skipped).collect()
    }

    /// The first line that `fits` since the machine was made.
    pub(super) async fn find(&self, fits: impl Fn(&str) -> bool) -> io::Result<Option<String>> {
        let all = self::text(&read_from(&self.path, 0).await?);
        Ok(all.lines().map(plain).find(|line| fits(line)))
    }

    /// Returns when the guest's kernel has panicked, with the line that says so; never otherwise.
    pub(super) async fn panicked(&self) -> Fatal {
        let mut seen = self.begin.load(Ordering::Relaxed);
        loop {
            let length = length(&self.path).await;
            if length < seen {
                seen = 0;
            }
            if length > seen {
                let bytes = read_from(&self.path, seen).await.unwrap_or_default();
                if let Some(fatal) =
                    fatal_lines(&text(&bytes)).into_iter().find(|f| f.kind == FatalKind::Panic)
                {
                    return fatal;
                }
                // An unfinished line is looked at again when there is more of it.
                seen += bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end as u64 + 1);
            }
            tokio::time::sleep(limits::PAUSE).await;
        }
    }
}

async fn length(path: &Path) -> u64 {
    tokio::fs::metadata(path).await.map_or(0, |meta| meta.len())
}

async fn read_from(path: &Path, start: u64) -> io::Result<Vec<u8>> {
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(SeekFrom::Start(start)).await?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `line` without escape sequences and control characters.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            // A control sequence ends with a letter or one of `@[\]^_`{|}~`; other escapes have one more character.
            '\x1b' => {
                if chars.next() == Some('[') {
                    chars.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PANIC: &str = "[    1.2] \x1b[0;31mKernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\x1b[0m\r\n\
        [    1.3] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.1.0\r\n\
        [    1.4] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---\r\n";

    #[rstest::rstest]
    #[case("", &[])]
    #[case("login: \nBug: nothing to see\n", &[])]
    #[case(PANIC, &[(FatalKind::Panic, "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)")])]
    #[case("x] Oops: 0002 [#1] PREEMPT SMP\n", &[(FatalKind::Oops, "x] Oops: 0002 [#1] PREEMPT SMP")])]
    #[case("x] BUG: kernel NULL pointer dereference, address: 0\n", &[(FatalKind::Oops, "x] BUG: kernel NULL pointer dereference, address: 0")])]
    #[case("x] Out of memory: Killed process 7 (hog)\ny] watchdog: BUG: soft lockup - CPU#0 stuck\n", &[(FatalKind::OutOfMemory, "x] Out of memory: Killed process 7 (hog)")])]
    #[case("---[ end Kernel panic - not syncing: cut off ]---", &[(FatalKind::Panic, "---[ end Kernel panic - not syncing: cut off ]---")])]
    fn trouble_is_found(#[case] text: &str, #[case] expected: &[(FatalKind, &str)]) {
        let found = fatal_lines(text);
        let found: Vec<_> = found.iter().map(|f| (f.kind, f.line.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn the_tail_has_no_control_characters_and_no_empty_lines() {
        let dir = tempfile::tempdir().unwrap();
        let console = Console::new(dir.path().join("console"));
        assert!(console.tail(3).await.is_empty());
        std::fs::write(dir.path().join("console"), b"a\r\n\r\n\x1b[1;32mOK\x1b[0m b\tc\r\n\x1bcd\xff")
            .unwrap();
        assert_eq!(console.tail(2).await, ["OK b c", "d\u{fffd}"]);
    }

    #[tokio::test]
    async fn a_panic_of_a_life_that_is_over_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        let console = Console::new(path.clone());
        std::fs::write(&path, PANIC).unwrap();
        assert_eq!(console.panicked().await.kind, FatalKind::Panic);
        console.begin_anew().await;
        let quiet = tokio::time::timeout(Duration::from_millis(300), console.panicked()).await;
        assert!(quiet.is_err());
        // Truncated by a new start, and panicking again in two writes.
        std::fs::write(&path, "booting\nKernel panic - not").unwrap();
        let write = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            std::fs::write(&path, "booting\nKernel panic - not syncing: again\n").unwrap();
        };
        let (fatal, ()) =
            tokio::join!(tokio::time::timeout(Duration::from_secs(5), console.panicked()), write);
        assert_eq!(fatal.unwrap().line, "Kernel panic - not syncing: again");
    }
}
