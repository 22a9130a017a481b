//! Giving an image away: with its hash and metadata beside it, compressed if asked for. Knows no repositories.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    error::{IoContext, TemplateError},
    files::{blocking, copy, remove, replace, sha1_of},
    source::FetchCx,
    spec::Metadata,
};

/// Blocks of compressed images, in bytes: what is compressed, and can be uncompressed, side by side.
const BLOCK: u64 = 16 * 1024 * 1024;

/// The preset whose dictionary is as large as a block.
const PRESET: u32 = 7;

/// An image on its way out.
#[derive(Debug)]
pub(crate) struct Publication<'a> {
    /// The image as it was made; it is gone afterwards.
    pub(crate) made: &'a Path,
    /// Its place; files beside it have its name and an ending.
    pub(crate) place: &'a Path,
    /// What is known about it; size and hash are added.
    pub(crate) metadata: Metadata,
    /// Whether it is compressed; then `.xz` is appended to its name.
    pub(crate) compress: bool,
}

impl Publication<'_> {
    /// The files it becomes.
    pub(crate) fn files(place: &Path, compress: bool) -> [PathBuf; 3] {
        [beside(place, if compress { ".xz" } else { "" }), beside(place, ".hash"), beside(place, ".metadata")]
    }

    /// Puts the image and what belongs beside it into their places, the image last.
    pub(crate) async fn publish(self, cx: &FetchCx) -> Result<[PathBuf; 3], TemplateError> {
        let [image, hash_file, metadata_file] = Self::files(self.place, self.compress);
        let packed = beside(self.place, ".xz.part");
        let (made, target, worker) =
            (self.made.to_owned(), self.compress.then(|| packed.clone()), cx.clone());
        let work = blocking("read", self.made, move || hashed(&made, target.as_deref(), &worker)).await;
        let (hash, size) = match work {
            Ok(done) => done,
            Err(error) => {
                // The first error is the one to tell.
                let _ = remove(&packed);
                return Err(error);
            }
        };
        let mut metadata = self.metadata;
        metadata.insert("size".into(), json!(size));
        metadata.insert("sha1".into(), json!(hash));
        replace(&hash_file, hash.as_bytes())?;
        replace(&metadata_file, format!("{:#}\n", Value::Object(metadata)).as_bytes())?;
        fs::rename(if self.compress { &packed } else { self.made }, &image).or_cannot("create", &image)?;
        if self.compress {
            remove(self.made)?;
        }
        Ok([image, hash_file, metadata_file])
    }
}

/// Writes the hash of a file that goes as it is beside it.
pub(crate) async fn hash_beside(place: &Path, cx: &FetchCx) -> Result<PathBuf, TemplateError> {
    let (made, worker) = (place.to_owned(), cx.clone());
    let (hash, _) = blocking("read", place, move || sha1_of(&made, &worker)).await?;
    let file = beside(place, ".hash");
    replace(&file, hash.as_bytes())?;
    Ok(file)
}

/// The SHA-1 hash and the length of an image, which is compressed into `target` on the way.
fn hashed(made: &Path, target: Option<&Path>, cx: &FetchCx) -> Result<(String, u64), TemplateError> {
    let Some(target) = target else { return sha1_of(made, cx) };
    let mut file = File::open(made).or_cannot("open", made)?;
    let size = file.metadata().or_cannot("look at", made)?.len();
    let mut meter = cx.progress.meter(format!("compressing {}", made.display()), 0, Some(size));
    let threads = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let stream = liblzma::stream::MtStreamBuilder::new()
        .preset(PRESET)
        .block_size(BLOCK)
        .threads(threads)
        .check(liblzma::stream::Check::Crc64)
        .encoder()
        .map_err(std::io::Error::from)
        .or_cannot("compress", made)?;
    remove(target)?;
    let out = File::options().write(true).create_new(true).open(target).or_cannot("create", target)?;
    let mut encoder = liblzma::write::XzEncoder::new_stream(out, stream);
    let hash = copy(&mut file, &mut encoder, cx.deadline, &mut meter).or_cannot("compress", made)?;
    let ended = encoder.finish().and_then(|mut out| out.flush().and_then(|()| out.sync_all()));
    ended.or_cannot("write", target)?;
    meter.end();
    Ok((hash, size))
}

/// A path with an ending appended.
pub(crate) fn beside(place: &Path, ending: &str) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    place.with_file_name(name)
}
