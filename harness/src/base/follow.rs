//! A text file that grows, line by line: what was written since one looked last. Reads only; the file may not exist yet,
//! and begins anew when it is shorter than it was.

use std::{
    io,
    io::SeekFrom,
    path::{Path, PathBuf},
};

use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::text::plain;

/// A place in a file that grows.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    seen: u64,
}

impl Follow {
    /// From byte `seen` of the file at `path` on.
    #[must_use]
    pub fn new(path: PathBuf, seen: u64) -> Self {
        Self { path, seen }
    }

    /// The lines that were ended since the last look, without control characters; an unfinished one comes when it is whole.
    pub async fn lines(&mut self) -> Vec<String> {
        let length = length(&self.path).await;
        if length < self.seen {
            self.seen = 0;
        }
        if length == self.seen {
            return Vec::new();
        }
        let mut bytes = read_from(&self.path, self.seen).await.unwrap_or_default();
        bytes.truncate(bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1));
        self.seen += bytes.len() as u64;
        String::from_utf8_lossy(&bytes).lines().map(plain).collect()
    }
}

/// How long a file is, in bytes; 0 when there is none.
pub async fn length(path: &Path) -> u64 {
    tokio::fs::metadata(path).await.map_or(0, |meta| meta.len())
}

/// What a file holds from byte `start` on.
///
/// # Errors
/// It cannot be read.
pub async fn read_from(path: &Path, start: u64) -> io::Result<Vec<u8>> {
    let mut file = tokio::fs::File::open(path).await?;
    file.seek(SeekFrom::Start(start)).await?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[tokio::test]
    async fn lines_come_once_whole_and_plain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        let mut follow = Follow::new(path.clone(), 0);
        assert!(follow.lines().await.is_empty());
        fs::write(&path, "\x1b[1mone\x1b[0m\r\ntw").unwrap();
        assert_eq!(follow.lines().await, ["one"]);
        assert!(follow.lines().await.is_empty());
        fs::File::options().append(true).open(&path).unwrap().write_all(b"o\n\n").unwrap();
        assert_eq!(follow.lines().await, ["two", ""]);
        fs::write(&path, "anew\n").unwrap();
        assert_eq!(follow.lines().await, ["anew"]);
        assert_eq!(Follow::new(path, 2).lines().await, ["ew"]);
    }
}
