//! Files and folders of this host as tar streams in both directions, never whole in memory.
//! Blocking; knows no guests.

use std::{
    fs,
    io::{self, BufWriter, Read, Write},
    path::{Component, Path},
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
pub(super) fn pack(local: &Path, to: mpsc::Sender<Chunk>) -> io::Result<u64> {
    let failed = to.clone();
    let mut out = BufWriter::with_capacity(CHUNK, ChunkWriter { to, sent: 0 });
    let result = write_archive(local, &mut out).and_then(|()| out.flush());
    let (writer, _) = out.into_parts();
    match result {
        Ok(()) => Ok(writer.sent),
        Err(error) => {
            // What was sent must not be taken for the whole.
            let _ = failed.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
            Err(error)
        }
    }
}

fn write_archive(local: &Path, out: &mut impl Write) -> io::Result<()> {
    // The one that was named is followed when it is a link; what lies in it is copied as it is.
    let local = local.canonicalize()?;
    let mut archive = tar::Builder::new(out);
    archive.follow_symlinks(false);
    // Not every tar of a guest knows sparse entries.
    archive.sparse(false);
    if local.is_dir() {
        archive.append_dir_all(DATA, &local)?;
    } else {
        archive.append_path_with_name(&local, DATA)?;
    }
    let mut whole = tar::Header::new_ustar();
    whole.set_mode(0o600);
    whole.set_size(0);
    archive.append_data(&mut whole, WHOLE, io::empty())?;
    archive.finish()
}

/// Writes an archive of either one file (`./name`) or a folder (`./` and what lies in it) to `dest`.
pub(super) fn unpack(from: mpsc::Receiver<Chunk>, dest: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(ChunkReader { from, chunk: io::Cursor::new(Vec::new()) });
    let mut folders = Vec::new();
    let mut root_mode = None;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let is_folder = entry.header().entry_type().is_dir();
        let is_root = entry.path()?.components().all(|part| part == Component::CurDir);
        if is_root && is_folder {
            fs::create_dir_all(dest)?;
            root_mode = Some(entry.header().mode()?);
        } else if root_mode.is_none() {
            if dest.is_dir() {
                return Err(io::Error::new(io::ErrorKind::IsADirectory, "a file cannot replace a folder"));
            }
            entry.unpack(dest)?;
        } else if is_folder {
            // Their modes may forbid to write into them.
            folders.push(entry);
        } else {
            entry.unpack_in(dest)?;
        }
    }
    folders.sort_by(|a, b| b.path_bytes().cmp(&a.path_bytes()));
    for mut folder in folders {
        folder.unpack_in(dest)?;
    }
    root_mode.map_or(Ok(()), |mode| set_mode(dest, mode))
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o777))
}

struct ChunkWriter {
    to: mpsc::Sender<Chunk>,
    sent: u64,
}

impl Write for ChunkWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
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
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn packed(local: &Path) -> (io::Result<u64>, Vec<Chunk>) {
        let (to, mut from) = mpsc::channel(10_000);
        let result = pack(local, to);
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
