//! Copies of files, links and folders of an ext file system, within a limit; what goes wrong is told at the end.

use std::{
    fs,
    io::{self, Seek, SeekFrom, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{PermissionsExt, symlink},
    },
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use ext4_view::{Ext4, Ext4Error, Metadata};

/// Bytes read at once; zeros of this length become holes.
const CHUNK: usize = 64 * 1024;
/// Folders within one another: more is damage.
const DEEPEST: usize = 128;
/// Troubles that are told.
const TOLD: usize = 5;

/// What became of a copy.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// Whether there is something of it.
    pub(super) came: bool,
    pub(super) bytes: u64,
    left_out: (u64, u64),
    troubles: Vec<String>,
}

impl Copied {
    pub(super) fn failed(why: String) -> Self {
        Self { troubles: vec![why], ..Self::default() }
    }

    /// Why not all of it came.
    pub(super) fn trouble(&self) -> Option<String> {
        let mut told: Vec<String> = self.troubles.iter().take(TOLD).cloned().collect();
        let more = self.troubles.len().saturating_sub(TOLD);
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        if self.left_out.0 > 0 {
            told.push(format!(
                "{} files with {} bytes are beyond the limit",
                self.left_out.0, self.left_out.1
            ));
        }
        (!told.is_empty()).then(|| told.join("; "))
    }
}

/// A copy under way.
pub(super) struct Copying<'a> {
    fs: &'a Ext4,
    cap: u64,
    copied: Copied,
}

impl<'a> Copying<'a> {
    /// At most `cap` bytes.
    pub(super) fn new(fs: &'a Ext4, cap: u64) -> Self {
        Self { fs, cap, copied: Copied::default() }
    }

    /// Copies what is at `from`, also through a link there; links below it stay links.
    pub(super) fn all(mut self, from: &Path, to: &Path) -> Copied {
        match self.fs.canonicalize(from.as_os_str().as_bytes()) {
            Ok(real) => {
                let real = std::ffi::OsString::from_vec(real.as_ref().to_vec());
                self.any(Path::new(&real), to, 0);
            }
            Err(error) => self.trouble(from, &error),
        }
        self.copied.came = to.symlink_metadata().is_ok();
        self.copied
    }

    fn any(&mut self, from: &Path, to: &Path, depth: usize) {
        let path = from.as_os_str().as_bytes();
        let result = self.fs.symlink_metadata(path).map_err(unreadable).and_then(|meta| {
            if meta.is_symlink() {
                let target = self.fs.read_link(path).map_err(unreadable)?;
                return symlink(std::ffi::OsStr::from_bytes(target.as_ref()), to);
            }
            if meta.is_dir() {
                return self.folder(from, to, &meta, depth);
            }
            if meta.file_type().is_regular_file() { self.file(from, to, &meta) } else { Ok(()) }
        });
        if let Err(error) = result {
            self.trouble(from, &error);
        }
    }

    fn folder(&mut self, from: &Path, to: &Path, meta: &Metadata, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(io::Error::other("folders lie too deep in one another"));
        }
        fs::create_dir(to)?;
        for entry in self.fs.read_dir(from.as_os_str().as_bytes()).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = Path::new(std::ffi::OsStr::from_bytes(entry.file_name().as_ref())).to_owned();
            if name != Path::new(".") && name != Path::new("..") {
                self.any(&from.join(&name), &to.join(&name), depth + 1);
            }
        }
        dress(&fs::File::open(to)?, meta, 0o700)
    }

    fn file(&mut self, from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
        let room = self.cap.saturating_sub(self.copied.bytes);
        let mut skip = 0;
        if meta.len() > self.cap && room > 0 {
            // The end of a log is what is looked for.
            skip = meta.len() - room;
            let (size, path) = (meta.len(), from.display());
            self.copied.troubles.push(format!("of the {size} bytes of {path}, the last {room}"));
        } else if meta.len() > room {
            self.copied.left_out = (self.copied.left_out.0 + 1, self.copied.left_out.1 + meta.len());
            return Ok(());
        }
        let mut file = self.fs.open(from.as_os_str().as_bytes()).map_err(unreadable)?;
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
            self.copied.bytes += filled as u64;
        }
        let end = out.stream_position()?;
        out.set_len(end)?;
        dress(&out, meta, 0o400)
    }

    fn trouble(&mut self, path: &Path, error: &dyn std::error::Error) {
        self.copied.troubles.push(format!("{}: {error}", path.display()));
    }
}

/// Gives a copy the mode, with at least the bits `least`, and the time of its original.
fn dress(copy: &fs::File, meta: &Metadata, least: u32) -> io::Result<()> {
    copy.set_permissions(fs::Permissions::from_mode(u32::from(meta.mode()) & 0o777 | least))?;
    let modified = meta.modified();
    let since = Duration::new(u64::try_from(modified.seconds()).unwrap_or(0), modified.nanoseconds());
    copy.set_times(fs::FileTimes::new().set_modified(UNIX_EPOCH + since))
}

fn unreadable(error: Ext4Error) -> io::Error {
    io::Error::other(error)
}
