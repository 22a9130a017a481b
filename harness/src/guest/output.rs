//! What a command left: its status and both outputs, in memory up to a cap and beyond it whole in a file.

use std::{
    borrow::Cow,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::io::AsyncWriteExt;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// With this exit status.
    Code(i32),
    /// By this signal, such as `KILL`.
    Signal(String),
    /// The channel was closed without a word about it.
    Unknown,
}

impl Status {
    /// Whether it ended with exit status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(name) => write!(f, "signal {name}"),
            Self::Unknown => f.write_str("unknown status"),
        }
    }
}

/// What a command left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
    /// How long it took, the way there and back included.
    pub took: Duration,
}

/// One stream of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// Its first bytes, at most [`IN_MEMORY`](super::limits::IN_MEMORY).
    pub bytes: Vec<u8>,
    /// Its whole length in bytes.
    pub total: u64,
    /// Where all of it is, when it did not fit into memory.
    pub whole: Option<PathBuf>,
}

impl Captured {
    /// The bytes as text, invalid UTF-8 replaced; where not all of it is here, a last line says so.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        let text = String::from_utf8_lossy(&self.bytes);
        match &self.whole {
            Some(path) => {
                let cut = format!("{text}\n[cut: all {} bytes are in {}]", self.total, path.display());
                Cow::Owned(cut)
            }
            None => text,
        }
    }

    /// The last `lines` lines for an error message; says how many stand before them.
    pub(super) fn tail(&self, lines: usize) -> String {
        let text = self.text();
        let all: Vec<&str> = text.lines().collect();
        let skipped = all.len().saturating_sub(lines);
        let shown = all.iter().skip(skipped).copied().collect::<Vec<_>>().join("\n");
        if skipped == 0 { shown } else { format!("[{skipped} lines before]\n{shown}") }
    }
}

/// A stream while it arrives.
#[derive(Debug)]
pub(super) struct Capture {
    so_far: Captured,
    cap: usize,
    spill: PathBuf,
    file: Option<tokio::fs::File>,
}

impl Capture {
    /// Keeps `cap` bytes in memory; everything goes to the file `spill` once there are more.
    pub(super) fn new(cap: usize, spill: PathBuf) -> Self {
        Self { so_far: Captured::default(), cap, spill, file: None }
    }

    pub(super) async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.so_far.total += data.len() as u64;
        if self.file.is_none() && self.so_far.bytes.len() + data.len() > self.cap {
            let mut file = create(&self.spill).await?;
            file.write_all(&self.so_far.bytes).await?;
            self.file = Some(file);
            self.so_far.whole = Some(self.spill.clone());
        }
        if let Some(file) = &mut self.file {
            file.write_all(data).await?;
        }
        let room = self.cap.saturating_sub(self.so_far.bytes.len());
        self.so_far.bytes.extend(data.iter().take(room));
        Ok(())
    }

    /// What arrived until now.
    pub(super) async fn take(&mut self) -> io::Result<Captured> {
        if let Some(mut file) = self.file.take() {
            file.flush().await?;
        }
        Ok(std::mem::take(&mut self.so_far))
    }
}

async fn create(path: &Path) -> io::Result<tokio::fs::File> {
    if let Some(dir) = path.parent() {
        tokio::fs::create_dir_all(dir).await?;
    }
    tokio::fs::File::create(path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_is_whole_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let spill = dir.path().join("new/out");
        let mut capture = Capture::new(4, spill.clone());
        for part in [&b"abc"[..], b"def", b"ghi"] {
            capture.write(part).await.unwrap();
        }
        let captured = capture.take().await.unwrap();
        assert_eq!(captured, Captured { bytes: b"abcd".to_vec(), total: 9, whole: Some(spill.clone()) });
        assert_eq!(std::fs::read(&spill).unwrap(), b"abcdefghi");
        assert!(captured.text().starts_with("abcd\n[cut: all 9 bytes are in /"), "{}", captured.text());
    }

    #[tokio::test]
    async fn what_fits_makes_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut capture = Capture::new(4, dir.path().join("out"));
        capture.write(b"abcd").await.unwrap();
        assert_eq!(capture.take().await.unwrap().text(), "abcd");
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    }

    #[test]
    fn a_tail_says_what_it_leaves_out() {
        let captured = Captured { bytes: b"1\n2\n3\n".to_vec(), total: 6, whole: None };
        assert_eq!(captured.tail(2), "[1 lines before]\n2\n3");
        assert_eq!(captured.tail(3), "1\n2\n3");
    }
}
