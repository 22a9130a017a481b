//! Copies of files, links and folders of a file system, within a limit; what goes wrong is told at the end.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use super::tree::{Kind, Seen, Tree};

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
    tree: &'a dyn Tree,
    cap: u64,
    copied: Copied,
}

impl<'a> Copying<'a> {
    /// At most `cap` bytes.
    pub(super) fn new(tree: &'a dyn Tree, cap: u64) -> Self {
        Self { tree, cap, copied: Copied::default() }
    }

    /// Copies what is at `from`, also through a link there; links below it stay links.
    pub(super) fn all(mut self, from: &Path, to: &Path) -> Copied {
        match self.tree.real(from) {
            Ok(real) => self.any(&real, to, 0),
            Err(error) => self.trouble(from, &error),
        }
        self.copied.came = to.symlink_metadata().is_ok();
        self.copied
    }

    fn any(&mut self, from: &Path, to: &Path, depth: usize) {
        let result = self.tree.look(from).and_then(|seen| match seen.kind {
            Kind::Link => symlink(self.tree.target(from)?, to),
            Kind::Folder => self.folder(from, to, seen, depth),
            Kind::File => self.file(from, to, seen),
            Kind::Other => Ok(()),
        });
        if let Err(error) = result {
            self.trouble(from, &error);
        }
    }

    fn folder(&mut self, from: &Path, to: &Path, seen: Seen, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(io::Error::other("folders lie too deep in one another"));
        }
        fs::create_dir(to)?;
        for name in self.tree.names(from)? {
            self.any(&from.join(&name), &to.join(&name), depth + 1);
        }
        dress(&fs::File::open(to)?, seen, 0o700)
    }

    fn file(&mut self, from: &Path, to: &Path, seen: Seen) -> io::Result<()> {
        let room = self.cap.saturating_sub(self.copied.bytes);
        let (size, mut skip) = (seen.len, 0);
        if size > self.cap && room > 0 {
            // The end of a log is what is looked for.
            skip = size - room;
            let path = from.display();
            self.copied.troubles.push(format!("of the {size} bytes of {path}, the last {room}"));
        } else if size > room {
            self.copied.left_out = (self.copied.left_out.0 + 1, self.copied.left_out.1 + size);
            return Ok(());
        }
        self.copied.bytes += self.tree.copy(from, skip, to)?;
        dress(&fs::File::open(to)?, seen, 0o400)
    }

    fn trouble(&mut self, path: &Path, error: &dyn std::error::Error) {
        self.copied.troubles.push(format!("{}: {error}", path.display()));
    }
}

/// Gives a copy the mode, with at least the bits `least`, and the time of its original.
fn dress(copy: &fs::File, seen: Seen, least: u32) -> io::Result<()> {
    copy.set_permissions(fs::Permissions::from_mode(seen.mode | least))?;
    copy.set_times(fs::FileTimes::new().set_modified(seen.modified))
}
