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
        let mut below = None;
        for (path, format) in self.chain()?.into_iter().rev() {
            let opened = open(&path, format, below.take()).map_err(named(&path))?;
            below = Some(Arc::new(opened));
        }
        below.map(Opened).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Its images, each with the one below it after it.
    pub(super) fn chain(&self) -> io::Result<Vec<(PathBuf, DiskFormat)>> {
        let mut chain = vec![(self.image.clone(), self.format)];
        while let Some((path, DiskFormat::Qcow2)) = chain.last() {
            if chain.len() > DEEPEST {
                return Err(named(path)(io::Error::other("images lie over one another in a circle")));
            }
            let alone =
                File::open(StorageOpenOptions::new().filename(path)).and_then(|file| qcow2(file, None));
            let alone = alone.map_err(named(path))?;
            let Some(below) = alone.implicit_backing_file() else { break };
            let format = match alone.implicit_backing_format().map(String::as_str) {
                Some("qcow2") => DiskFormat::Qcow2,
                Some("raw") => DiskFormat::Raw,
                // Not guessed from what lies there, which a guest may have written.
                other => {
                    let format = other.unwrap_or("unnamed");
                    return Err(named(path)(io::Error::other(format!(
                        "it lies over an image of {format} format"
                    ))));
                }
            };
            let below = self.outside(path, Path::new(below));
            chain.push((below, format));
        }
        Ok(chain)
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

/// Opens one image of a chain, over the one that is open already.
fn open(path: &Path, format: DiskFormat, below: Option<Arc<Image>>) -> io::Result<Image> {
    let file = File::open(StorageOpenOptions::new().filename(path))?;
    let gate = DenyImplicitOpenGate::default();
    Ok(match format {
        DiskFormat::Raw => FormatAccess::new(Raw::builder(file).open(gate)?),
        DiskFormat::Qcow2 => FormatAccess::new(qcow2(file, below)?),
    })
}

fn qcow2(file: File, below: Option<Arc<Image>>) -> io::Result<Qcow2<File, Arc<Image>>> {
    Qcow2::<File, Arc<Image>>::builder(file).backing(below).open(DenyImplicitOpenGate::default())
}

fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
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
