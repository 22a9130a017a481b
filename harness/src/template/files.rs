//! Files of the store and of repositories: replaced as a whole, locked with the holder shown, copied with holes,
//! hashed. Does not know what is in them.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use sha1::Digest;

use super::{
    error::{IoContext, TemplateError},
    progress::{Meter, Progress},
    publish::beside,
    source::FetchCx,
};
use crate::base::{
    take::{NotTaken, take},
    wait::Deadline,
};

/// What is read, written and hashed at a time; also the grain of holes.
const CHUNK: usize = 64 * 1024;

/// A lock; the kernel takes it back when its holder dies.
#[derive(Debug)]
pub(crate) struct FileLock(File);

/// By name: a child that is just being forked holds a copy of the descriptor for a moment.
impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl FileLock {
    /// Waits for the lock at `path`; `what` is what it guards.
    pub(crate) async fn wait(
        path: &Path,
        what: &str,
        limit: Duration,
        progress: &Progress,
    ) -> Result<Self, TemplateError> {
        let of = format!("the lock of {what}");
        let tell = |holder: &str| progress.note(format!("waiting for {holder}, which works on {what}"));
        let taken = take(&of, limit, Duration::from_millis(100), || Self::attempt(path), tell);
        taken.await.map_err(|not| match not {
            NotTaken::Failed(error) => error,
            NotTaken::Held { holder, source } => {
                TemplateError::Busy { what: what.to_owned(), holder, source: Box::new(source) }
            }
        })
    }

    /// The lock at `path`, or who holds it.
    pub(super) fn attempt(path: &Path) -> Result<Result<Self, String>, TemplateError> {
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true).mode(0o660);
        let mut file = options.open(path).or_cannot("open", path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).or_cannot("read", path)?;
                return Ok(Err(holder.lines().next().unwrap_or("another process").to_owned()));
            }
            Err(errno) => return Err(io::Error::from(errno)).or_cannot("lock", path),
        }
        // Whoever pruned may have removed the file between our opening and locking it.
        if file.metadata().or_cannot("look at", path)?.nlink() == 0 {
            return Ok(Err("another process".to_owned()));
        }
        // A group may share the store; only the owner can say so, and whoever is not needs no saying.
        let _ = file.set_permissions(Permissions::from_mode(0o660));
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        // Over the last holder's line, in one piece: whoever waits always finds somebody named.
        let line = format!("process {} on {host}\n", std::process::id());
        file.write_all(line.as_bytes())
            .and_then(|()| file.set_len(line.len() as u64))
            .or_cannot("write", path)?;
        Ok(Ok(Self(file)))
    }
}

/// A lock beside a file that is being made; nothing is left of it.
#[derive(Debug)]
pub(super) struct Making {
    path: PathBuf,
    _lock: FileLock,
}

impl Making {
    /// Waits for the right to make the file at `place`.
    pub(super) async fn wait(place: &Path, cx: &FetchCx) -> Result<Self, TemplateError> {
        let path = beside(place, ".lock");
        let what = place.display().to_string();
        let lock = FileLock::wait(&path, &what, cx.deadline.left(), &cx.progress).await?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // While the lock is held: who waits sees that the file has gone.
        let _ = fs::remove_file(&self.path);
    }
}

/// Replaces a file as a whole, also when the power fails; the caller holds the lock that guards it.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), TemplateError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().or_cannot("write", path)
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), TemplateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).or_cannot("remove", path),
        _ => Ok(()),
    }
}

/// The text of a file; nothing when it is not there.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, TemplateError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).or_cannot("read", path),
    }
}

/// Makes names in `folder` survive a power failure, where the file system can.
pub(super) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Runs something that blocks (reading, computing) beside the others.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    path: &Path,
    work: impl FnOnce() -> Result<T, TemplateError> + Send + 'static,
) -> Result<T, TemplateError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)).or_cannot(what, path),
    }
}

/// Writes a file with holes where there are only zeros.
pub(super) struct SparseFile {
    file: File,
    length: u64,
}

impl SparseFile {
    /// A new file; one that is there is unlinked, so that whoever still writes to it harms nobody.
    pub(super) fn create(path: &Path) -> Result<Self, TemplateError> {
        remove(path)?;
        let file = File::options().write(true).create_new(true).open(path).or_cannot("create", path)?;
        Ok(Self { file, length: 0 })
    }

    /// Ends the file, its content on the disk.
    pub(super) fn finish(self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.sync_all()
    }
}

impl Write for SparseFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.iter().all(|byte| *byte == 0) {
            self.file.seek(SeekFrom::Current(i64::try_from(bytes.len()).map_err(io::Error::other)?))?;
        } else {
            self.file.write_all(bytes)?;
        }
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Reads `from` to its end into `to` and returns its SHA-1 hash; gives up (`TimedOut`) when the time is up.
pub(super) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    deadline: Deadline,
    meter: &mut Meter,
) -> io::Result<String> {
    let mut hasher = sha1::Sha1::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = fill(from, &mut chunk)?;
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(hex(&hasher.finalize()));
        };
        if deadline.passed() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        hasher.update(bytes);
        to.write_all(bytes)?;
        meter.add(count as u64);
    }
}

/// The SHA-1 hash and the length of a file.
pub(super) fn sha1_of(path: &Path, cx: &FetchCx) -> Result<(String, u64), TemplateError> {
    let mut file = File::open(path).or_cannot("open", path)?;
    let size = file.metadata().or_cannot("look at", path)?.len();
    let mut meter = cx.progress.meter(format!("hashing {}", path.display()), 0, Some(size));
    let hash = copy(&mut file, &mut io::sink(), cx.deadline, &mut meter).or_cannot("read", path)?;
    meter.end();
    Ok((hash, size))
}

/// Digest of an image's content: of its length and its chunks that are not zeros, each with its place. Holes cost
/// nothing, and a copy with other holes has the same digest.
pub(super) fn image_digest(file: &File, deadline: Deadline, meter: &mut Meter) -> io::Result<String> {
    let length = file.metadata()?.len();
    let mut hasher = sha2::Sha256::new();
    hasher.update(length.to_le_bytes());
    let mut reader = file;
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < length {
        if deadline.passed() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let data = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data - data % CHUNK as u64,
            Err(rustix::io::Errno::NXIO) => length,
            // The file system knows no holes.
            Err(_) => at,
        };
        meter.add(data.saturating_sub(at));
        at = data.max(at);
        reader.seek(SeekFrom::Start(at))?;
        let count = fill(&mut reader, &mut chunk)?;
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        if bytes.iter().any(|byte| *byte != 0) {
            hasher.update(at.to_le_bytes());
            hasher.update(bytes);
        }
        at += count as u64;
        meter.add(count as u64);
    }
    Ok(hex(&hasher.finalize()))
}

/// Reads until `chunk` is full or there is no more.
fn fill(from: &mut dyn Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = chunk.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn meter() -> Meter {
        Progress::new(|_| {}).meter("x", 0, None)
    }

    fn digest(path: &Path) -> String {
        let soon = Deadline::within(Duration::from_secs(60));
        image_digest(&File::open(path).unwrap(), soon, &mut meter()).unwrap()
    }

    #[test]
    fn digest_depends_on_content_and_not_on_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (dense, sparse) = (dir.path().join("dense"), dir.path().join("sparse"));
        let mut content = vec![0_u8; 10 * CHUNK + 77];
        content[3 * CHUNK + 5] = 1;
        content[10 * CHUNK + 1] = 2;
        fs::write(&dense, &content).unwrap();
        let mut file = SparseFile::create(&sparse).unwrap();
        let soon = Deadline::within(Duration::from_secs(60));
        let hash = copy(&mut &content[..], &mut file, soon, &mut meter()).unwrap();
        file.finish().unwrap();
        assert_eq!(hash, hex(&sha1::Sha1::digest(&content)));
        assert_eq!(fs::read(&sparse).unwrap(), content);
        assert!(fs::metadata(&sparse).unwrap().blocks() < fs::metadata(&dense).unwrap().blocks());

        let first = digest(&dense);
        assert_eq!(digest(&sparse), first);
        let file = File::options().write(true).open(&sparse).unwrap();
        file.write_all_at(&[1], 9 * CHUNK as u64).unwrap();
        assert_ne!(digest(&sparse), first, "another byte");
        file.write_all_at(&[0], 9 * CHUNK as u64).unwrap();
        assert_eq!(digest(&sparse), first, "as before");
        file.set_len(content.len() as u64 + 1).unwrap();
        assert_ne!(digest(&sparse), first, "longer");
    }

    #[test]
    fn long_work_ends_with_its_deadline() {
        let past = Deadline::within(Duration::ZERO);
        let error = copy(&mut io::repeat(1), &mut io::sink(), past, &mut meter()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_lock_names_its_holder_and_gives_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::attempt(&path).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let notes = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let progress = Progress::new({
            let notes = notes.clone();
            move |event| notes.lock().unwrap().push(event.to_string())
        });
        let error =
            FileLock::wait(&path, "`a:b:c`", Duration::from_millis(250), &progress).await.unwrap_err();
        let me = format!("process {}", std::process::id());
        assert!(error.to_string().starts_with(&format!("`a:b:c` is being worked on by {me} on ")), "{error}");
        assert_eq!(notes.lock().unwrap().len(), 1, "told once");
        drop(held);
        FileLock::wait(&path, "`a:b:c`", Duration::from_secs(60), &progress).await.unwrap();
    }
}
