//! Versioned JSON documents, replaced as a whole: whoever reads sees the old one or the new one, whenever the writer
//! is killed. Not what documents mean, and no locks: writers that must not race hold one.

use std::{
    fs,
    io::{self, Write},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD};
use serde::{Serialize, de::DeserializeOwned, ser::Error as _};
use serde_json::{Map, Value};

/// What a file holds: a JSON object whose first key, `version`, is added and checked here.
pub trait Document: Serialize + DeserializeOwned {
    /// The version of the format this program writes, and the only one it reads.
    const VERSION: u32;
}

/// A document could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its content is not such a document.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        #[source]
        source: serde_json::Error,
    },
    /// Another version of the program wrote it.
    #[error("{} has format {found}, this polder knows format {known}; use the version that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u64,
        /// The format this program knows.
        known: u32,
    },
}

/// Reads a document; `None` when there is no such file.
///
/// # Errors
/// The file cannot be read, is damaged, or has another format.
pub fn read<T: Document>(path: &Path) -> Result<Option<T>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => parse(path, &bytes).map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::File { what: "read", path: path.to_owned(), source }),
    }
}

/// The document in `bytes`, which came from `path`.
///
/// # Errors
/// It is damaged, or has another format.
pub fn parse<T: Document>(path: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    let damaged = |source| StoreError::Damaged { path: path.to_owned(), source };
    let value: Value = serde_json::from_slice(bytes).map_err(damaged)?;
    let found = value.get("version").and_then(Value::as_u64).unwrap_or(0);
    if found != u64::from(T::VERSION) {
        return Err(StoreError::Version { path: path.to_owned(), found, known: T::VERSION });
    }
    // From the bytes once more, because then an error knows its line.
    serde_json::from_slice(bytes).map_err(damaged)
}

/// Writes a document in place of the one that may be there. Only its owner can read the file.
///
/// # Errors
/// The file cannot be written, or what is there has a newer format than this program knows.
pub fn write<T: Document>(path: &Path, document: &T) -> Result<(), StoreError> {
    let file = |what| move |source| StoreError::File { what, path: path.to_owned(), source };
    if let Some(found) = version_of(path)
        && found > u64::from(T::VERSION)
    {
        return Err(StoreError::Version { path: path.to_owned(), found, known: T::VERSION });
    }
    let text = text(document).map_err(|e| file("write")(e.into()))?;
    replace(path, &text).map_err(file("write"))
}

/// The text that is written of a document.
///
/// # Errors
/// It is no JSON object.
pub fn text<T: Document>(document: &T) -> Result<Vec<u8>, serde_json::Error> {
    let Value::Object(fields) = serde_json::to_value(document)? else {
        return Err(serde_json::Error::custom("a document is an object"));
    };
    let mut all = Map::with_capacity(fields.len() + 1);
    all.insert("version".into(), T::VERSION.into());
    all.extend(fields.into_iter().filter(|(key, _)| key != "version"));
    let mut text = serde_json::to_vec_pretty(&all)?;
    text.push(b'\n');
    Ok(text)
}

/// The format of what is there; a damaged document has none and may be replaced.
fn version_of(path: &Path) -> Option<u64> {
    serde_json::from_slice::<Value>(&fs::read(path).ok()?).ok()?.get("version")?.as_u64()
}

/// Puts a file with this content in the place of `path`, on disk when this comes back. Only its owner can read it.
///
/// # Errors
/// What the system said; `path` is then as it was.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.symlink_metadata().is_ok() || create(folder, path, content).is_err() {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
    }
    fs::File::open(folder)?.sync_all()
}

/// A file that has no name before it is whole: who is killed while it is written leaves nothing. Not every file system can
/// do it.
fn create(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()?;
    let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, nameless, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(test)]
mod tests {
    use std::{process::Stdio, time::Duration};

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        number: u64,
        lines: Vec<u64>,
    }

    impl Document for Note {
        const VERSION: u32 = 3;
    }

    /// Longer than one page, so that a write that is not atomic could be seen half.
    fn note(number: u64) -> Note {
        Note { number, lines: vec![number; 4000] }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_lies_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note.json");
        assert_eq!(read::<Note>(&path).unwrap(), None);
        for number in [1, 2] {
            write(&path, &note(number)).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(read(&path).unwrap(), Some(note(2)));
        assert!(fs::read_to_string(&path).unwrap().starts_with("{\n  \"version\": 3,"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[rstest::rstest]
    #[case(r#"{"version": 4, "number": 1, "lines": []}"#, "has format 4, this polder knows format 3", false)]
    #[case(r#"{"version": 2}"#, "has format 2, this polder knows format 3", true)]
    #[case(r#"{"number": 1}"#, "has format 0", true)]
    #[case(
        "{\"version\": 3,\n\"number\": \"x\"}",
        "is damaged: invalid type: string \"x\", expected u64 at line 2",
        true
    )]
    #[case("", "is damaged: EOF", true)]
    #[case("[1]", "has format 0", true)]
    fn what_is_not_ours_is_named_and_a_newer_one_kept(
        #[case] text: &str,
        #[case] message: &str,
        #[case] replaced: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note.json");
        fs::write(&path, text).unwrap();
        let error = format!("{:#}", anyhow::Error::from(read::<Note>(&path).unwrap_err()));
        assert!(error.contains(message), "{error}");
        assert_eq!(write(&path, &note(1)).is_ok(), replaced);
        assert_eq!(fs::read_to_string(&path).unwrap() != text, replaced);
    }

    /// Run as a process of its own by the test below, until it is killed.
    #[test]
    #[ignore = "a victim"]
    fn rewrites_for_ever() {
        let path = PathBuf::from(std::env::var_os("POLDER_TEST_NOTE").unwrap());
        for number in 1.. {
            write(&path, &note(number)).unwrap();
        }
    }

    /// Run as a process of its own by the test below, until it is killed.
    #[test]
    #[ignore = "a victim"]
    fn writes_others_for_ever() {
        let path = PathBuf::from(std::env::var_os("POLDER_TEST_NOTE").unwrap());
        for number in 1.. {
            write(&path.join(format!("{number}.json")), &note(number)).unwrap();
        }
    }

    fn victim(test: &str, path: &Path) -> std::process::Child {
        let mut victim = std::process::Command::new(std::env::current_exe().unwrap());
        victim.args(["--ignored", "--exact", &format!("base::store::tests::{test}")]);
        victim.env("POLDER_TEST_NOTE", path).stdout(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn a_killed_writer_of_what_was_not_there_leaves_what_is_whole_and_nothing_else() {
        for round in 0..20_u64 {
            let dir = tempfile::tempdir().unwrap();
            let mut victim = victim("writes_others_for_ever", dir.path());
            while !dir.path().join("1.json").exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(round * 1_237 % 9_001));
            victim.kill().unwrap();
            victim.wait().unwrap();
            for entry in fs::read_dir(dir.path()).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap();
                assert_eq!(read(&path).unwrap(), Some(note(name.parse().unwrap())), "{name}");
            }
        }
    }

    #[test]
    fn a_killed_writer_leaves_the_old_one_or_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("note.json");
        for round in 0..20_u64 {
            write(&path, &note(0)).unwrap();
            let mut victim = victim("rewrites_for_ever", &path);
            let whole = || {
                let found: Note = read(&path).unwrap().unwrap();
                assert_eq!(found, note(found.number));
                found.number
            };
            while whole() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(round * 1_237 % 9_001));
            victim.kill().unwrap();
            victim.wait().unwrap();
            whole();
        }
    }
}
