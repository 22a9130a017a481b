//! Files that only grow, by lines of JSON, each on disk before the call that writes it comes back. Whoever is killed while it
//! writes leaves whole lines and at most one that is cut short, which was never reported as written. Not what lines mean.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

/// A file that grows.
#[derive(Debug)]
pub struct Lines {
    file: File,
}

/// A line is not what it has to be, and somebody else than a writer that was cut short is to blame.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// The file.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line.
    #[error("{} is damaged at line {line}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl Lines {
    /// Makes a file that was not there, with its first line. Only its owner can read it.
    ///
    /// # Errors
    /// It cannot be written, or is there.
    pub fn create(path: &Path, first: &impl Serialize) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)?;
        let mut lines = Self { file };
        lines.append(std::slice::from_ref(first))?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(lines)
    }

    /// Takes a file that is there, for this value alone; a line at its end that was cut short goes.
    ///
    /// # Errors
    /// It cannot be written, or somebody else has it.
    pub fn take(path: &Path) -> io::Result<Self> {
        let mut lines = Self { file: OpenOptions::new().append(true).open(path)? };
        lines.lock()?;
        let bytes = fs::read(path)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            lines.file.set_len(whole.try_into().map_err(io::Error::other)?)?;
            lines.file.sync_data()?;
        }
        Ok(lines)
    }

    /// Keeps others from taking the file until this value goes.
    ///
    /// # Errors
    /// Somebody else has it.
    pub fn lock(&mut self) -> io::Result<()> {
        self.file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "another process has it at this moment")
            }
            TryLockError::Error(error) => error,
        })
    }

    /// Writes lines at the end, all of them with one flush.
    ///
    /// # Errors
    /// They could not be brought to disk.
    pub fn append(&mut self, lines: &[impl Serialize]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        self.file.write_all(&bytes)?;
        self.file.sync_data()
    }
}

/// A child that was forked a moment ago, and has not begun its program yet, must not keep the file taken.
impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// All lines of a file, but for one at its end that was cut short.
///
/// # Errors
/// It cannot be read, or any other line is damaged.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, LinesError> {
    let bytes = fs::read(path).map_err(|source| LinesError::File { path: path.to_owned(), source })?;
    parse(path, &bytes)
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<Vec<T>, LinesError> {
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
    let lines = bytes.get(..whole).unwrap_or_default().split(|&byte| byte == b'\n');
    let lines = lines.enumerate().filter(|_| whole > 0);
    let line = |(number, line): (usize, &[u8])| {
        serde_json::from_slice(line).map_err(|error| LinesError::Damaged {
            path: path.to_owned(),
            line: number + 1,
            why: error.to_string(),
        })
    };
    lines.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_cut_anywhere_keeps_its_whole_lines_and_grows_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        let mut lines = Lines::create(&path, &"first").unwrap();
        lines.lock().unwrap();
        assert!(Lines::take(&path).unwrap_err().to_string().contains("another process"));
        lines.append(&["second", "third"]).unwrap();
        drop(lines);
        assert!(Lines::create(&path, &"again").is_err());
        let bytes = fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            let whole = bytes[..cut].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(read::<String>(&path).unwrap().len(), whole, "{cut}");
            Lines::take(&path).unwrap().append(&["more"]).unwrap();
            let after = read::<String>(&path).unwrap();
            assert_eq!((after.len(), after.last().map(String::as_str)), (whole + 1, Some("more")), "{cut}");
        }
    }

    #[test]
    fn any_other_damage_is_named_with_its_line() {
        let error = parse::<String>(Path::new("/j"), b"\"a\"\ngarbage\n\"b\"\n").unwrap_err().to_string();
        assert!(error.starts_with("/j is damaged at line 2: "), "{error}");
        assert!(read::<String>(Path::new("/nowhere/j")).unwrap_err().to_string().contains("/nowhere/j"));
    }
}
