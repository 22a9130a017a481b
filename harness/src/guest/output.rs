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

    /// What a shell on this host would say: the exit status, or 128 and the number of the signal; 255 when it is unknown.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Code(code) => u8::try_from(*code).unwrap_or(u8::MAX),
            Self::Signal(name) => SIGNALS
                .iter()
                .find(|(_, known)| known == name)
                .map(|(number, _)| *number)
                .or_else(|| name.parse().ok())
                .map_or(u8::MAX, |number| number.saturating_add(128)),
            Self::Unknown => u8::MAX,
        }
    }

    /// Ended by the signal of that number.
    pub(super) fn signal(number: i32) -> Self {
        let known = SIGNALS.iter().find(|(known, _)| i32::from(*known) == number);
        Self::Signal(known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned()))
    }
}

/// Signals by which programs end, as ssh calls them.
const SIGNALS: &[(u8, &str)] = &[
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (6, "ABRT"),
    (7, "BUS"),
    (8, "FPE"),
    (9, "KILL"),
    (10, "USR1"),
    (11, "SEGV"),
    (12, "USR2"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
];

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
    live: Option<Live>,
}

impl Capture {
    /// Keeps `cap` bytes in memory; everything goes to the file `spill` once there are more.
    pub(super) fn new(cap: usize, spill: PathBuf) -> Self {
        Self { so_far: Captured::default(), cap, spill, file: None, live: None }
    }

    /// Its lines go into the log as they come, too, `stream` naming them.
    pub(super) fn told_as(self, stream: &'static str) -> Self {
        Self { live: Some(Live { stream, told: 0, line: Vec::new() }), ..self }
    }

    pub(super) async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.so_far.total += data.len() as u64;
        if let Some(live) = &mut self.live {
            live.tell(data);
        }
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
        if let Some(live) = self.live.take() {
            live.end();
        }
        if let Some(mut file) = self.file.take() {
            file.flush().await?;
        }
        Ok(std::mem::take(&mut self.so_far))
    }
}

/// Lines of each output that go into the log; the others are counted.
const TOLD_LINES: u64 = 100;
/// Bytes of a line that go into the log.
const TOLD_BYTES: usize = 4096;

/// An output on its way into the log.
#[derive(Debug)]
struct Live {
    stream: &'static str,
    /// Lines that were there so far.
    told: u64,
    /// One that has not ended.
    line: Vec<u8>,
}

impl Live {
    fn tell(&mut self, data: &[u8]) {
        for piece in data.split_inclusive(|&byte| byte == b'\n') {
            let room = TOLD_BYTES.saturating_sub(self.line.len());
            self.line.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                self.tell_line();
            }
        }
    }

    fn tell_line(&mut self) {
        if self.told < TOLD_LINES {
            let line = String::from_utf8_lossy(&self.line);
            tracing::info!(target: "polder", stream = self.stream, "{}", line.trim_end());
        }
        self.told += 1;
        self.line.clear();
    }

    fn end(mut self) {
        if !self.line.is_empty() {
            self.tell_line();
        }
        if let Some(more) = self.told.checked_sub(TOLD_LINES).filter(|&more| more > 0) {
            tracing::info!(target: "polder", stream = self.stream, "[{more} lines more]");
        }
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

    #[rstest::rstest]
    #[case(Status::Code(0), 0)]
    #[case(Status::Code(255), 255)]
    #[case(Status::Code(-1), 255)]
    #[case(Status::signal(9), 137)]
    #[case(Status::signal(34), 162)]
    #[case(Status::Signal("TERM".into()), 143)]
    #[case(Status::Signal("Custom(\"x\")".into()), 255)]
    #[case(Status::Unknown, 255)]
    fn a_status_is_told_as_a_shell_would(#[case] status: Status, #[case] code: u8) {
        assert_eq!(status.code(), code, "{status}");
    }

    #[test]
    fn a_tail_says_what_it_leaves_out() {
        let captured = Captured { bytes: b"1\n2\n3\n".to_vec(), total: 6, whole: None };
        assert_eq!(captured.tail(2), "[1 lines before]\n2\n3");
        assert_eq!(captured.tail(3), "1\n2\n3");
    }
}
