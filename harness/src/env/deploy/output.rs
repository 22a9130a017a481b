//! What a deploy script prints: told line by line while it runs, and whole in files.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

use crate::{
    base::id::MachineName,
    env::{EnvError, Progress, error::file},
};

/// Lines of each output that an error shows.
const SHOWN: usize = 20;
/// Bytes of each output in which they are looked for.
const LOOKED_AT: u64 = 64 * 1024;
/// Bytes of a line that are told; its file has all of them.
const TOLD: usize = 4096;

/// Bytes of a script's name that are in those of its files: theirs have more in them, most of all where a checkpoint has
/// them, and no name is longer than 255 bytes.
const NAME: usize = 100;

/// The file of a script's standard output.
pub(super) fn file_of(folder: &Path, machine: &MachineName, number: usize, name: &str) -> PathBuf {
    let end = (0..=name.len().min(NAME)).rev().find(|at| name.is_char_boundary(*at)).unwrap_or_default();
    folder_of(folder, machine).join(format!("{number}-{}.out", name.get(..end).unwrap_or_default()))
}

/// The folder of what the scripts of a machine printed.
pub(in crate::env) fn folder_of(folder: &Path, machine: &MachineName) -> PathBuf {
    folder.join("logs/deploy").join(machine.as_str())
}

/// The files of what the scripts of a machine printed, sorted; none where there were none.
pub(in crate::env) fn printed(folder: &Path, machine: &MachineName) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder_of(folder, machine)).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// The file of the standard error beside that of the standard output.
pub(super) fn err_of(output: &Path) -> PathBuf {
    output.with_extension("err")
}

/// One output on its way.
pub(super) struct Live {
    file: tokio::fs::File,
    /// Whose it is, for people.
    source: String,
    progress: Progress,
    /// A line that has not ended.
    line: Vec<u8>,
}

impl Live {
    /// To the file `path`; lines are told as those of `source`.
    pub(super) fn to(path: &Path, source: &str, progress: &Progress) -> Result<Self, EnvError> {
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder).map_err(file("make", folder))?;
        let made = fs::File::create(path).map_err(file("write", path))?;
        let (source, progress) = (source.to_owned(), progress.clone());
        Ok(Self { file: made.into(), source, progress, line: Vec::new() })
    }

    fn tell(&mut self, data: &[u8]) {
        for piece in data.split_inclusive(|&byte| byte == b'\n') {
            let room = TOLD.saturating_sub(self.line.len());
            self.line.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                self.tell_line();
            }
        }
    }

    fn tell_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        self.progress.say(&format!("{}: {}", self.source, line.trim_end()));
        self.line.clear();
    }
}

impl AsyncWrite for Live {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.file).poll_write(cx, data);
        if let Poll::Ready(Ok(len)) = written {
            self.tell(data.get(..len).unwrap_or(data));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_shutdown(cx)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.tell_line();
        }
    }
}

/// The end of both outputs, on lines of their own.
pub(super) fn tail(output: &Path) -> Result<String, EnvError> {
    let mut tail = String::new();
    for (name, path) in [("stdout", output.to_owned()), ("stderr", err_of(output))] {
        let (text, whole) = end_of(&path).map_err(file("read", &path))?;
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let skipped = lines.len().saturating_sub(SHOWN);
        if !lines.is_empty() {
            tail += &format!("\n--- {name}{} ---", if skipped > 0 || !whole { ", its end" } else { "" });
            lines.iter().skip(skipped).for_each(|line| tail += &format!("\n{line}"));
        }
    }
    Ok(tail)
}

/// The end of a file, and whether that is all of it.
fn end_of(path: &Path) -> io::Result<(String, bool)> {
    let mut file = fs::File::open(path)?;
    let skipped = file.metadata()?.len().saturating_sub(LOOKED_AT);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), skipped == 0))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn names_of_files_are_never_too_long() {
        let machine = "m".parse().unwrap();
        let file = |name: &str| {
            let path = file_of(Path::new("/e"), &machine, 12, name);
            path.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(file("set-up.sh"), "12-set-up.sh.out");
        assert_eq!(file(&"x".repeat(255)).len(), 3 + NAME + 4);
        // Letters of two bytes, cut between two of them.
        assert_eq!(file(&format!("y{}", "é".repeat(120))), format!("12-y{}.out", "é".repeat(49)));
    }

    #[tokio::test]
    async fn lines_are_told_as_they_come_and_all_of_them_are_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/1-a.out");
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = Arc::clone(&told);
        let progress = Progress::new(move |line| teller.lock().unwrap().push(line.to_owned()));
        let mut live = Live::to(&path, "web: a", &progress).unwrap();
        let long = "x".repeat(TOLD + 1);
        for (data, lines, last) in [
            ("half", 0, None),
            (" of it\n\nmore", 2, Some("web: a: ")),
            (&format!(" {long}\n"), 3, Some(&*format!("web: a: more {}", &long[..TOLD - 5]))),
            ("the end", 3, None),
        ] {
            live.write_all(data.as_bytes()).await.unwrap();
            live.flush().await.unwrap();
            let told = told.lock().unwrap();
            assert_eq!(told.len(), lines);
            assert!(last.is_none_or(|last| told.last().unwrap() == last), "{told:?}");
            assert!(fs::read_to_string(&path).unwrap().ends_with(data), "there while it runs");
        }
        drop(live);
        assert_eq!(told.lock().unwrap()[3], "web: a: the end");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("half of it\n\nmore {long}\nthe end"));
    }

    #[test]
    fn an_error_shows_the_end_of_both_outputs() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("1-a.out");
        fs::write(err_of(&output), "no\n").unwrap();
        fs::write(&output, "").unwrap();
        assert_eq!(tail(&output).unwrap(), "\n--- stderr ---\nno");
        let lines: String = (0..30).map(|n| format!("{n}\n")).collect();
        fs::write(&output, lines).unwrap();
        let tail = tail(&output).unwrap();
        assert!(tail.starts_with("\n--- stdout, its end ---\n10\n11\n"), "{tail}");
    }
}
