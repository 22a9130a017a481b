//! File systems of the ext family, read without a machine.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Seek, SeekFrom, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use ext4_view::{Ext4, Ext4Error};

use super::tree::{Kind, Seen, Tree};

/// Bytes read at once; zeros of this length become holes.
const CHUNK: usize = 64 * 1024;

impl Tree for Ext4 {
    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        let real = self.canonicalize(bytes(path)).map_err(unreadable)?;
        Ok(PathBuf::from(OsString::from_vec(real.as_ref().to_vec())))
    }

    fn look(&self, path: &Path) -> io::Result<Seen> {
        let meta = self.symlink_metadata(bytes(path)).map_err(unreadable)?;
        let kind = match meta.file_type() {
            kind if kind.is_regular_file() => Kind::File,
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_symlink() => Kind::Link,
            _ => Kind::Other,
        };
        let at = meta.modified();
        let since = Duration::new(u64::try_from(at.seconds()).unwrap_or(0), at.nanoseconds());
        let (mode, len) = (u32::from(meta.mode()) & 0o777, meta.len());
        Ok(Seen { kind, mode, len, modified: UNIX_EPOCH + since })
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let name = |entry: Result<ext4_view::DirEntry, Ext4Error>| {
            let name = entry.map_err(unreadable)?.file_name().as_ref().to_vec();
            Ok(PathBuf::from(OsString::from_vec(name)))
        };
        let names: io::Result<Vec<PathBuf>> =
            self.read_dir(bytes(folder)).map_err(unreadable)?.map(name).collect();
        Ok(names?.into_iter().filter(|name| name != Path::new(".") && name != Path::new("..")).collect())
    }

    fn target(&self, link: &Path) -> io::Result<PathBuf> {
        let target = self.read_link(bytes(link)).map_err(unreadable)?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_ref())))
    }

    fn copy(&self, file: &Path, skip: u64, to: &Path) -> io::Result<u64> {
        let mut file = self.open(bytes(file)).map_err(unreadable)?;
        file.seek_to(skip).map_err(unreadable)?;
        let mut out = fs::File::create_new(to)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let mut filled = 0;
            while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match file.read_bytes(rest).map_err(unreadable)? {
                    0 => break,
                    read => filled += read,
                }
            }
            let Some(read) = chunk.get(..filled).filter(|read| !read.is_empty()) else { break };
            if filled == CHUNK && read.iter().all(|&byte| byte == 0) {
                out.seek(SeekFrom::Current(i64::try_from(filled).unwrap_or(0)))?;
            } else {
                out.write_all(read)?;
            }
        }
        let end = out.stream_position()?;
        out.set_len(end)?;
        Ok(end)
    }

    fn text(&self, file: &Path) -> io::Result<String> {
        self.read_to_string(bytes(file)).map_err(unreadable)
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn unreadable(error: Ext4Error) -> io::Error {
    io::Error::other(error)
}
