//! A disk image and all it lies over, as one readable disk.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ext4_view::Ext4Read;
use imago::{
    DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, Storage, StorageOpenOptions, file::File,
    qcow2::Qcow2, raw::Raw,
};

/// Images that lie over one another at most: a longer chain is a circle.
const DEEPEST: usize = 100;

/// A disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its image, the one that is written to.
    pub image: PathBuf,
    /// What that is.
    pub format: DiskFormat,
    /// Where paths that stand in images really lead, by their beginning: as the emulator sees it, and here.
    pub seen: Vec<(PathBuf, PathBuf)>,
}

/// The format of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// QEMU's.
    Qcow2,
    /// The disk as it is.
    Raw,
}

type Image = FormatAccess<File>;

impl Disk {
    /// Opens it for reading, also while a machine writes to it.
    pub(super) fn open(&self) -> io::Result<Opened> {
        Ok(Opened(Arc::new(self.image(&self.image, self.format, 0)?)))
    }

    fn image(&self, path: &Path, format: DiskFormat, depth: usize) -> io::Result<Image> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if depth > DEEPEST {
            return Err(named(io::Error::other("images lie over one another in a circle")));
        }
        let file = || File::open(StorageOpenOptions::new().filename(path)).map_err(named);
        if format == DiskFormat::Raw {
            let raw = Raw::builder(file()?).open(DenyImplicitOpenGate::default()).map_err(named)?;
            return Ok(FormatAccess::new(raw));
        }
        let qcow2 = |below| {
            let builder = Qcow2::<File, Arc<Image>>::builder(file()?).backing(below);
            builder.open(DenyImplicitOpenGate::default()).map_err(named)
        };
        let alone = qcow2(None)?;
        let Some(below) = alone.implicit_backing_file() else { return Ok(FormatAccess::new(alone)) };
        let format = match alone.implicit_backing_format().map(String::as_str) {
            Some("qcow2") => DiskFormat::Qcow2,
            Some("raw") => DiskFormat::Raw,
            // Not guessed from what lies there, which a guest may have written.
            other => {
                let format = other.unwrap_or("unnamed");
                return Err(named(io::Error::other(format!("it lies over an image of {format} format"))));
            }
        };
        let below = self.image(&self.outside(path, Path::new(below)), format, depth + 1)?;
        Ok(FormatAccess::new(qcow2(Some(Arc::new(below)))?))
    }

    /// Where the path that stands in the image `over` is here.
    fn outside(&self, over: &Path, path: &Path) -> PathBuf {
        if path.is_relative() {
            return over.parent().unwrap_or(Path::new("/")).join(path);
        }
        let found = self.seen.iter().find_map(|(inside, outside)| match path.strip_prefix(inside).ok()? {
            // Joining nothing would make a folder of a file.
            rest if rest.as_os_str().is_empty() => Some(outside.clone()),
            rest => Some(outside.join(rest)),
        });
        found.unwrap_or_else(|| path.to_owned())
    }
}

/// A disk that can be read.
#[derive(Clone)]
pub(super) struct Opened(Arc<Image>);

impl Opened {
    pub(super) fn size(&self) -> u64 {
        self.0.size()
    }

    /// Reads from `offset` on; nothing but zeros lie behind its end.
    pub(super) fn read(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.0.read(to, offset)
    }

    /// The part of it from `offset` on.
    pub(super) fn from(&self, offset: u64) -> Part {
        Part { disk: self.clone(), offset }
    }
}

/// A part of a disk, for the file system on it.
pub(super) struct Part {
    disk: Opened,
    offset: u64,
}

impl Ext4Read for Part {
    fn read(&mut self, start: u64, to: &mut [u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let offset = start.checked_add(self.offset).filter(|&at| at < self.disk.size());
        let offset = offset.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(self.disk.read(offset, to)?)
    }
}
