//! The console a hypervisor records to a file: its last lines, and the one after which the kernel is lost.
//! Reads only; the file may not exist yet and begins anew when a machine is started again.

use std::{io, path::PathBuf};

use super::limits;
use crate::{
    base::{
        follow::{Follow, length, read_from},
        text::plain,
    },
    event::Trouble,
};

/// More than this is never read of a console for its last lines.
const TAIL_BYTES: u64 = 256 * 1024;

/// A recorded console.
#[derive(Debug)]
pub(super) struct Console {
    path: PathBuf,
    /// The file that says, for other processes as well, what part of it belongs to lives of the machine that are over.
    begin: PathBuf,
}

impl Console {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { begin: path.with_extension("begin"), path }
    }

    /// Leaves what was said until now out of [`Console::panicked`].
    pub(super) async fn begin_anew(&self) {
        // Where it cannot be written, a panic of a former life is told once too often.
        let _ = tokio::fs::write(&self.begin, length(&self.path).await.to_string()).await;
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
    pub(super) async fn panicked(&self) -> String {
        let begin = tokio::fs::read_to_string(&self.begin).await.ok().and_then(|text| text.parse().ok());
        let mut follow = Follow::new(self.path.clone(), begin.unwrap_or_default());
        loop {
            let lines = follow.lines().await;
            if let Some(line) =
                lines.into_iter().find(|line| Trouble::of_kernel(line) == Some(Trouble::Panic))
            {
                return line;
            }
            tokio::time::sleep(limits::PAUSE).await;
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PANIC: &str = "[    1.2] \x1b[0;31mKernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\x1b[0m\r\n\
        [    1.3] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.1.0\r\n\
        [    1.4] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0) ]---\r\n";

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
        assert!(console.panicked().await.contains("Unable to mount root fs"));
        console.begin_anew().await;
        // Whoever looks at it.
        let console = Console::new(path.clone());
        let quiet = tokio::time::timeout(Duration::from_millis(300), console.panicked()).await;
        assert!(quiet.is_err());
        // Truncated by a new start, and panicking again in two writes.
        std::fs::write(&path, "booting\nKernel panic - not").unwrap();
        let write = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            std::fs::write(&path, "booting\nKernel panic - not syncing: again\n").unwrap();
        };
        let (line, ()) =
            tokio::join!(tokio::time::timeout(Duration::from_secs(5), console.panicked()), write);
        assert_eq!(line.unwrap(), "Kernel panic - not syncing: again");
    }
}
