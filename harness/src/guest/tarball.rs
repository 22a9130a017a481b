//! Files and folders of this host as tar streams in both directions, never whole in memory.
//! Blocking; knows no guests.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    fs,
    io::{self, BufWriter, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use tokio::sync::mpsc;

use super::run::Chunk;

/// Name of the file or folder in a packed archive.
pub(super) const DATA: &str = "data";
/// Name of the empty file that ends a packed archive: without it, not all has arrived.
pub(super) const WHOLE: &str = "whole";
/// Bytes sent at once.
const CHUNK: usize = 64 * 1024;

/// Sends `local` (a file or a folder) as an archive of [`DATA`] and [`WHOLE`]; returns the bytes sent.
///
/// With `sparse`, holes are sent as holes, which not every tar understands.
pub(super) fn pack(local: &Path, sparse: bool, to: mpsc::Sender<Chunk>) -> io::Result<u64> {
    archive(to, sparse, |archive| {
        // The one that was named is followed when it is a link; what lies in it is copied as it is.
        append(archive, &local.canonicalize()?, Path::new(DATA), &mut HashMap::new())?;
        let mut whole = tar::Header::new_ustar();
        whole.set_mode(0o600);
        whole.set_size(0);
        archive.append_data(&mut whole, WHOLE, io::empty())
    })
}

/// Sends these files and links below `base`, and folders without what lies in them; returns the bytes sent.
pub(super) fn pack_some(
    base: &Path,
    names: &[PathBuf],
    sparse: bool,
    to: mpsc::Sender<Chunk>,
) -> io::Result<u64> {
    archive(to, sparse, |archive| {
        let mut known = HashMap::new();
        names.iter().try_for_each(|name| {
            let path = base.join(name);
            match path.symlink_metadata()?.is_dir() {
                true => archive.append_dir(Path::new(".").join(name), &path),
                false => append(archive, &path, &Path::new(".").join(name), &mut known),
            }
        })
    })
}

/// Whether a file there takes less room than it is long, so that it is worth asking for a tar that knows holes.
pub(super) fn has_holes(path: &Path) -> io::Result<bool> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            if has_holes(&entry?.path())? {
                return Ok(true);
            }
        }
    }
    Ok(meta.is_file() && meta.blocks() * 512 < meta.len())
}

type Out = tar::Builder<BufWriter<ChunkWriter>>;

fn archive(
    to: mpsc::Sender<Chunk>,
    sparse: bool,
    fill: impl FnOnce(&mut Out) -> io::Result<()>,
) -> io::Result<u64> {
    let failed = to.clone();
    let mut archive =
        tar::Builder::new(BufWriter::with_capacity(CHUNK, ChunkWriter { to, sent: 0, broken: false }));
    archive.follow_symlinks(false);
    archive.sparse(sparse);
    let result = fill(&mut archive).and_then(|()| archive.finish()).and_then(|()| archive.get_mut().flush());
    match result {
        Ok(()) => Ok(archive.get_ref().get_ref().sent),
        Err(error) => {
            // What was sent must not be taken for the whole; nor must what is written when the archive goes.
            archive.get_mut().get_mut().broken = true;
            let _ = failed.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
            Err(error)
        }
    }
}

/// Appends what is at `path` as `name`; a file that is there under several names is sent once.
fn append(
    archive: &mut Out,
    path: &Path,
    name: &Path,
    known: &mut HashMap<(u64, u64), PathBuf>,
) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        archive.append_dir(name, path)?;
        let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        return entries
            .iter()
            .try_for_each(|entry| append(archive, &entry.path(), &name.join(entry.file_name()), known));
    }
    if meta.is_file() && meta.nlink() > 1 {
        match known.entry((meta.dev(), meta.ino())) {
            Entry::Vacant(place) => drop(place.insert(name.to_owned())),
            Entry::Occupied(first) => {
                let mut header = tar::Header::new_gnu();
                header.set_metadata(&meta);
                header.set_entry_type(tar::EntryType::Link);
                header.set_size(0);
                return archive.append_link(&mut header, name, first.get());
            }
        }
    }
    archive.append_path_with_name(path, name)
}

/// Writes an archive of either one file (`./name`) or a folder (`./` and what lies in it) to `dest`.
pub(super) fn unpack(from: mpsc::Receiver<Chunk>, dest: &Path) -> io::Result<()> {
    let mut archive = reader(from);
    let mut folders = Folders::default();
    let mut is_folder = false;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let is_root = entry.path()?.components().all(|part| part == Component::CurDir);
        if is_root && entry.header().entry_type().is_dir() {
            fs::create_dir_all(dest)?;
            is_folder = true;
        }
        if is_folder {
            folders.unpack(entry, dest)?;
        } else if dest.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "a file cannot replace a folder"));
        } else {
            entry.unpack(dest)?;
        }
    }
    rest(archive)?;
    folders.finish(0)
}

/// Writes those of `names` that come in an archive to their places below the folder `dest`, each when it is whole.
pub(super) fn unpack_some(
    from: mpsc::Receiver<Chunk>,
    dest: &Path,
    names: &BTreeSet<PathBuf>,
) -> io::Result<()> {
    let staging = tempfile::Builder::new().prefix(".polder-").tempdir_in(dest)?;
    let mut archive = reader(from);
    for (number, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        let parts = entry.path()?;
        let name: PathBuf = parts.components().filter(|part| *part != Component::CurDir).collect();
        drop(parts);
        if !names.contains(&name) {
            continue;
        }
        let place = inside(dest, &name)?;
        let staged = staging.path().join(number.to_string());
        if entry.header().entry_type().is_hard_link() {
            let first = entry.link_name()?.unwrap_or_default().into_owned();
            let first: PathBuf = first.components().filter(|part| *part != Component::CurDir).collect();
            fs::hard_link(inside(dest, &first)?, &staged)?;
        } else {
            entry.unpack(&staged)?;
        }
        fs::rename(&staged, &place)?;
    }
    rest(archive)
}

/// A path below `dest`; refused when it leads, by way of links, outside.
fn inside(dest: &Path, name: &Path) -> io::Result<PathBuf> {
    let place = dest.join(name);
    let is_below = name.components().all(|part| matches!(part, Component::Normal(_)));
    let parent = place.parent().unwrap_or(dest).canonicalize()?;
    if is_below && parent.starts_with(dest) {
        return Ok(place);
    }
    let what = format!("{} is outside of {}", name.display(), dest.display());
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// An archive as it comes.
pub(super) fn reader(from: mpsc::Receiver<Chunk>) -> tar::Archive<impl Read> {
    tar::Archive::new(ChunkReader { from, chunk: io::Cursor::new(Vec::new()) })
}

/// Takes what follows the end of an archive, as `tar` fills up its last block: who still sends it is not to fail because nobody does.
pub(super) fn rest(archive: tar::Archive<impl Read>) -> io::Result<()> {
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop)
}

/// Folders of an archive: their modes may forbid to write into them, and writing into them changes their times.
#[derive(Debug, Default)]
pub(super) struct Folders(Vec<(PathBuf, u32, u64)>);

impl Folders {
    /// Writes an entry to its place below `dest`, never outside of it.
    pub(super) fn unpack<R: Read>(&mut self, mut entry: tar::Entry<'_, R>, dest: &Path) -> io::Result<()> {
        let header = entry.header();
        let (is_folder, mode, mtime) = (header.entry_type().is_dir(), header.mode()?, header.mtime()?);
        if !is_folder {
            return entry.unpack_in(dest).map(drop);
        }
        let parts = entry.path()?;
        let below: PathBuf = parts.components().filter(|part| *part != Component::CurDir).collect();
        if below.as_os_str().is_empty() {
            self.0.push((dest.to_owned(), mode, mtime));
            return Ok(());
        }
        drop(parts);
        let path = dest.join(&below);
        if path.is_symlink() {
            let what = format!("{} is a link, a folder cannot go there", path.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, what));
        }
        if !entry.unpack_in(dest)? {
            return Ok(());
        }
        // We have to go on writing into it.
        set_mode(&path, mode | 0o700)?;
        self.0.push((path, mode, mtime));
        Ok(())
    }

    /// Gives all of them their modes, with at least the bits `least`, and times.
    pub(super) fn finish(self, least: u32) -> io::Result<()> {
        // What lies in a folder comes after it.
        for (path, mode, mtime) in self.0.into_iter().rev() {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(mtime);
            fs::File::open(&path)?.set_times(fs::FileTimes::new().set_modified(time))?;
            set_mode(&path, mode | least)?;
        }
        Ok(())
    }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o777))
}

struct ChunkWriter {
    to: mpsc::Sender<Chunk>,
    sent: u64,
    broken: bool,
}

impl Write for ChunkWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.broken {
            return Ok(data.len());
        }
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the files any more");
        self.to.blocking_send(Ok(data.to_vec())).map_err(gone)?;
        self.sent += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct ChunkReader {
    from: mpsc::Receiver<Chunk>,
    chunk: io::Cursor<Vec<u8>>,
}

impl Read for ChunkReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.read(buf)?;
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            match self.from.blocking_recv() {
                Some(chunk) => self.chunk = io::Cursor::new(chunk?),
                None => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn packed(local: &Path) -> (io::Result<u64>, Vec<Chunk>) {
        let (to, mut from) = mpsc::channel(10_000);
        let result = pack(local, true, to);
        let chunks = std::iter::from_fn(|| from.blocking_recv()).collect();
        (result, chunks)
    }

    fn unpacked(archive: &[u8], dest: &Path) -> io::Result<()> {
        let (to, from) = mpsc::channel(10_000);
        for chunk in archive.chunks(1000) {
            to.blocking_send(Ok(chunk.to_vec())).unwrap();
        }
        drop(to);
        unpack(from, dest)
    }

    #[test]
    fn what_follows_the_end_is_taken_from_who_sends_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("f"), "1").unwrap();
        let archive = tar_of(dir.path(), &["./f"]);
        let sent = |take: &dyn Fn(mpsc::Receiver<Chunk>) -> io::Result<()>| {
            let (to, from) = mpsc::channel(1);
            let archive = archive.clone();
            let sender = std::thread::spawn(move || {
                let filling = std::iter::repeat_n(vec![0; 10_240], 20);
                std::iter::once(archive).chain(filling).all(|chunk| to.blocking_send(Ok(chunk)).is_ok())
            });
            take(from).unwrap();
            sender.join().unwrap()
        };
        assert!(sent(&|from| unpack(from, &dir.path().join("g"))));
        let names = [PathBuf::from("f")].into();
        assert!(sent(&|from| unpack_some(from, dir.path(), &names)));
    }

    /// What `tar` makes of `args`, run in `dir`.
    fn tar_of(dir: &Path, args: &[&str]) -> Vec<u8> {
        let output =
            std::process::Command::new("tar").args(["-c", "-f", "-"]).args(args).current_dir(dir).output();
        output.unwrap().stdout
    }

    #[test]
    fn a_packed_folder_has_its_links_modes_and_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::create_dir_all(source.join("sub")).unwrap();
        fs::write(source.join("sub/odd \n name ü"), "x").unwrap();
        set_mode(&source.join("sub/odd \n name ü"), 0o640).unwrap();
        symlink("nowhere", source.join("link")).unwrap();
        let (result, chunks) = packed(&source);
        let archive: Vec<u8> = chunks.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(result.unwrap(), archive.len() as u64);

        fs::write(dir.path().join("a.tar"), &archive).unwrap();
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        let tar =
            std::process::Command::new("tar").args(["-x", "-p", "-f", "../a.tar"]).current_dir(&out).status();
        assert!(tar.unwrap().success());
        assert_eq!(fs::metadata(out.join("data/sub/odd \n name ü")).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_link(out.join("data/link")).unwrap(), Path::new("nowhere"));
        assert_eq!(fs::metadata(out.join("whole")).unwrap().len(), 0);
    }

    #[test]
    fn a_source_that_breaks_sends_an_error_and_no_end() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "x").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("b")).unwrap();
        let (result, mut chunks) = packed(dir.path());
        assert!(result.unwrap_err().to_string().contains("socket"));
        assert!(chunks.pop().unwrap().is_err());
        let sent: Vec<u8> = chunks.into_iter().flat_map(Result::unwrap).collect();
        assert!(!sent.windows(WHOLE.len()).any(|w| w == WHOLE.as_bytes()));
    }

    #[test]
    fn folders_come_out_with_modes_that_forbid_writing() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("s");
        fs::create_dir_all(source.join("ro/deep")).unwrap();
        fs::write(source.join("ro/deep/f"), "1").unwrap();
        set_mode(&source.join("ro/deep"), 0o555).unwrap();
        set_mode(&source.join("ro"), 0o500).unwrap();
        set_mode(&source, 0o711).unwrap();
        let dest = dir.path().join("d");
        unpacked(&tar_of(&source, &["."]), &dest).unwrap();
        let modes = ["", "ro", "ro/deep"].map(|p| fs::metadata(dest.join(p)).unwrap().mode() & 0o777);
        assert_eq!(modes, [0o711, 0o500, 0o555]);
        assert_eq!(fs::read(dest.join("ro/deep/f")).unwrap(), b"1");
        for path in [&source, &dest] {
            set_mode(&path.join("ro/deep"), 0o755).unwrap();
            set_mode(&path.join("ro"), 0o755).unwrap();
        }
    }

    #[test]
    fn a_file_comes_out_as_the_destination_and_never_replaces_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("-odd"), "1").unwrap();
        let archive = tar_of(dir.path(), &["./-odd"]);
        unpacked(&archive, &dir.path().join("new")).unwrap();
        assert_eq!(fs::read(dir.path().join("new")).unwrap(), b"1");
        let error = unpacked(&archive, dir.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn links_holes_and_times_go_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("s");
        fs::create_dir_all(source.join("sub")).unwrap();
        fs::write(source.join("a"), "one").unwrap();
        fs::hard_link(source.join("a"), source.join("sub/z")).unwrap();
        let long = fs::File::create(source.join("holes")).unwrap();
        long.set_len(50_000_000).unwrap();
        std::os::unix::fs::FileExt::write_at(&long, b"end", 40_000_000).unwrap();
        assert!(has_holes(&source).unwrap() && !has_holes(&source.join("a")).unwrap());
        let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        for path in ["a", "holes", "sub", ""] {
            let times = fs::FileTimes::new().set_modified(old);
            fs::File::open(source.join(path)).unwrap().set_times(times).unwrap();
        }
        let right = |path: &Path| {
            let meta = |name: &str| fs::metadata(path.join(name)).unwrap();
            assert_eq!(meta("a").ino(), meta("sub/z").ino());
            assert!(meta("holes").blocks() * 512 < 1_000_000, "{} blocks", meta("holes").blocks());
            assert!(fs::read(path.join("holes")).unwrap() == fs::read(source.join("holes")).unwrap());
            assert_eq!(["a", "holes", "sub", ""].map(|name| meta(name).mtime()), [1_000_000_000; 4]);
        };

        let (result, chunks) = packed(&source);
        assert!(result.unwrap() < 200_000);
        let archive: Vec<u8> = chunks.into_iter().flat_map(Result::unwrap).collect();
        fs::write(dir.path().join("a.tar"), &archive).unwrap();
        let tar = std::process::Command::new("tar").args(["-x", "-f", "a.tar"]).current_dir(&dir).status();
        assert!(tar.unwrap().success());
        right(&dir.path().join("data"));
        unpacked(&tar_of(&source, &["-S", "."]), &dir.path().join("d")).unwrap();
        right(&dir.path().join("d"));
    }

    #[test]
    fn a_folder_of_the_archive_does_not_reach_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["s/link", "outside", "d"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        set_mode(&dir.path().join("outside"), 0o700).unwrap();
        symlink("../outside", dir.path().join("d/link")).unwrap();
        let archive = tar_of(&dir.path().join("s"), &["."]);
        let error = unpacked(&archive, &dir.path().join("d")).unwrap_err();
        assert!(error.to_string().ends_with("d/link is a link, a folder cannot go there"), "{error}");
        assert_eq!(fs::metadata(dir.path().join("outside")).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_guest_cannot_write_outside_the_destination() {
        let dir = tempfile::tempdir().unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        archive.append_data(&mut header, "./", io::empty()).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        let name = b"../evil";
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_cksum();
        archive.append(&header, &b"evil"[..]).unwrap();
        let archive = archive.into_inner().unwrap();
        unpacked(&archive, &dir.path().join("inside")).unwrap();
        assert!(!dir.path().join("evil").exists());
    }
}
