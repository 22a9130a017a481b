//! The store: one raw image for each template in use, fetched by one process at a time, never half, and looked at before
//! each use. Knows no manifests.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    chain::qemu,
    error::{IoContext, TemplateError},
    files::{FileLock, SparseFile, blocking, copy, read_if_there, remove, replace, sync_folder},
    record::{Condition, Record, UserList, Users, condition},
    source::{self, FetchCx, TemplateSource},
    spec::{Limits, Places, TemplateDisk, TemplateId, User},
};

/// Every xz stream begins like this.
const XZ: &[u8] = b"\xfd7zXZ\0";

/// The store in one folder.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) dir: PathBuf,
    pub(super) limits: Limits,
}

/// Where a template's image can be had.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) source: &'a dyn TemplateSource,
    pub(super) handle: &'a str,
}

/// The right to work on one template of the store.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    store: &'a Store,
    id: &'a TemplateId,
    pub(super) places: Places,
    _lock: FileLock,
}

impl Store {
    pub(super) fn places(&self, id: &TemplateId) -> Places {
        Places::new(&self.dir, id)
    }

    /// Waits for the right to work on a template.
    pub(super) async fn lock<'a>(
        &'a self,
        id: &'a TemplateId,
        cx: &FetchCx,
    ) -> Result<Locked<'a>, TemplateError> {
        fs::create_dir_all(&self.dir).or_cannot("create", &self.dir)?;
        let places = self.places(id);
        let lock =
            FileLock::wait(&places.lock, &format!("template `{id}`"), cx.deadline.left(), &cx.progress)
                .await?;
        Ok(Locked { store: self, id, places, _lock: lock })
    }

    /// The template ready for use: as it is in the store, or fetched from `origin`. With `refresh`, also fetched when
    /// the origin has something else by now.
    pub(super) async fn obtain(
        &self,
        id: &TemplateId,
        origin: Option<Origin<'_>>,
        user: Option<&User>,
        refresh: bool,
        cx: &FetchCx,
    ) -> Result<TemplateDisk, TemplateError> {
        let locked = self.lock(id, cx).await?;
        let record = locked.obtain(origin, refresh, cx).await?;
        UserList::note(&locked.places, user)?;
        locked.disk(record)
    }
}

impl Locked<'_> {
    async fn obtain(
        &self,
        origin: Option<Origin<'_>>,
        refresh: bool,
        cx: &FetchCx,
    ) -> Result<Record, TemplateError> {
        let (id, places) = (self.id, &self.places);
        let absent = || TemplateError::NotThere {
            what: format!("template `{id}`"),
            places: vec![places.image.display().to_string()],
        };
        let limit = self.store.limits.total;
        let in_time = |error| timed_out(error, &format!("getting template `{id}`"), limit);
        let found = condition(places, false, cx).await.map_err(in_time)?;
        match (found, origin) {
            (Condition::Good(record) | Condition::New(record), Some(origin)) if refresh => {
                self.refresh(record, origin, cx).await.map_err(in_time)
            }
            (Condition::Good(record) | Condition::New(record), _) => {
                // Of whoever was killed when all was done but this.
                places.leftovers().into_iter().try_for_each(remove)?;
                Ok(record)
            }
            (Condition::Missing, Some(origin)) => {
                let hash = origin.source.hash(origin.handle, cx).await?;
                self.fetch(origin, &hash, cx).await.map_err(in_time)
            }
            (Condition::Missing, None) => Err(absent()),
            (Condition::Damaged, origin) => {
                cx.progress.note(format!("{} was changed since it was stored", places.image.display()));
                let path = places.image.clone();
                let damaged = |used, source| TemplateError::Damaged { path, used, source };
                let Some(origin) = origin else { return Err(damaged(false, None)) };
                let hash = match origin.source.hash(origin.handle, cx).await {
                    Ok(hash) => hash,
                    Err(error) => return Err(damaged(false, Some(Box::new(error)))),
                };
                // Overlays of living prefixes lie on the old content: nothing else may take its place.
                if self.published()?.as_ref() != Some(&hash) && Users::of(places)? != Users::Nobody {
                    return Err(damaged(true, None));
                }
                let fetched = self.fetch(origin, &hash, cx).await.map_err(in_time);
                fetched.map_err(|error| damaged(false, Some(Box::new(error))))
            }
        }
    }

    async fn refresh(
        &self,
        record: Record,
        origin: Origin<'_>,
        cx: &FetchCx,
    ) -> Result<Record, TemplateError> {
        let hash = origin.source.hash(origin.handle, cx).await?;
        if self.published()?.as_ref() == Some(&hash) {
            return Ok(record);
        }
        if let Some(users) = Users::of(&self.places)?.told() {
            return Err(TemplateError::InUse { id: self.id.clone(), users });
        }
        cx.progress.note(format!("`{}` is another image at its source now", self.id));
        self.fetch(origin, &hash, cx).await
    }

    /// Fetches the image, converts it, and puts it into its place in one step.
    async fn fetch(&self, origin: Origin<'_>, hash: &str, cx: &FetchCx) -> Result<Record, TemplateError> {
        let (id, places) = (self.id, &self.places);
        cx.progress.note(format!("fetching template `{id}`"));
        let metadata = origin.source.metadata(origin.handle, cx).await?;
        let image = self.bring(origin, hash, cx).await?;
        let info = qemu::standalone(&image).await?;
        cx.progress.note(format!("converting template `{id}` for use"));
        remove(&places.converted)?;
        qemu::convert(&info, &places.converted, "raw", cx.deadline).await?;
        let record = Record::compute(&places.converted, cx).await?;
        let converted = places.converted.clone();
        blocking("write", &places.converted, move || {
            File::open(&converted).and_then(|file| file.sync_all()).or_cannot("write", &converted)
        })
        .await?;
        // What is said of the image first: an image without it would be taken for one of another program, or for the
        // old one; the other way round it is fetched again.
        let text = serde_json::to_string_pretty(&metadata).unwrap_or_default();
        replace(&places.metadata, text.as_bytes())?;
        replace(&places.hash, hash.as_bytes())?;
        record.save(places)?;
        UserList::begin(places)?;
        fs::rename(&places.converted, &places.image).or_cannot("create", &places.image)?;
        sync_folder(&self.store.dir);
        places.leftovers().into_iter().try_for_each(remove)?;
        cx.progress.note(format!("template `{id}` is ready"));
        Ok(record)
    }

    /// Brings the image as it was published, uncompressed, with the right hash; returns the file.
    async fn bring(&self, origin: Origin<'_>, hash: &str, cx: &FetchCx) -> Result<PathBuf, TemplateError> {
        let places = &self.places;
        loop {
            let resumed = origin.source.fetch(origin.handle, &places.download, cx).await?;
            let unpacked = unpack(places, cx).await;
            let wrong = match unpacked {
                Ok((image, found)) if found == hash => return Ok(image),
                Ok((_, found)) => TemplateError::Hash {
                    id: Box::new(self.id.clone()),
                    place: origin.source.place(origin.handle),
                    expected: hash.to_owned(),
                    found,
                },
                Err(error @ TemplateError::Uncompress { .. }) => error,
                Err(error) => return Err(error),
            };
            places.leftovers().into_iter().try_for_each(remove)?;
            if !resumed {
                return Err(wrong);
            }
            cx.progress
                .note(format!("the continued download of template `{}` is broken; once more", self.id));
        }
    }

    /// The hash of the image as it was published.
    pub(super) fn published(&self) -> Result<Option<String>, TemplateError> {
        let text = read_if_there(&self.places.hash)?;
        Ok(text.and_then(|text| source::hash(String::new(), &text).ok()))
    }

    fn disk(&self, record: Record) -> Result<TemplateDisk, TemplateError> {
        let place = &self.places.metadata;
        let metadata = read_if_there(place)?
            .map(|text| source::metadata(place.display().to_string(), &text))
            .transpose()?
            .unwrap_or_default();
        Ok(TemplateDisk {
            id: self.id.clone(),
            path: self.places.image.clone(),
            format: "raw".into(),
            size: record.size,
            metadata,
            digest: record.digest,
        })
    }
}

/// Uncompresses the download if it is compressed; returns the image and its SHA-1 hash.
async fn unpack(places: &Places, cx: &FetchCx) -> Result<(PathBuf, String), TemplateError> {
    let (download, unpacked, cx) = (places.download.clone(), places.unpacked.clone(), cx.clone());
    blocking("uncompress", &places.download, move || {
        let mut file = File::open(&download).or_cannot("open", &download)?;
        let length = file.metadata().or_cannot("look at", &download)?.len();
        if packed(&download)? {
            let hash = decode(&download, file, &unpacked, &cx)?;
            Ok((unpacked, hash))
        } else {
            let mut meter = cx.progress.meter(format!("hashing {}", download.display()), 0, Some(length));
            let hash =
                copy(&mut file, &mut io::sink(), cx.deadline, &mut meter).or_cannot("read", &download)?;
            meter.end();
            Ok((download, hash))
        }
    })
    .await
}

/// Uncompresses a file; returns the SHA-1 hash of what was in it.
pub(super) async fn uncompress(packed: &Path, to: &Path, cx: &FetchCx) -> Result<String, TemplateError> {
    let (from, target, cx) = (packed.to_owned(), to.to_owned(), cx.clone());
    blocking("uncompress", packed, move || {
        decode(&from, File::open(&from).or_cannot("open", &from)?, &target, &cx)
    })
    .await
}

fn decode(packed: &Path, file: File, to: &Path, cx: &FetchCx) -> Result<String, TemplateError> {
    let mut meter = cx.progress.meter(format!("uncompressing {}", packed.display()), 0, None);
    let mut target = SparseFile::create(to)?;
    let mut decoder = liblzma::read::XzDecoder::new_multi_decoder(file);
    let hash = copy(&mut decoder, &mut target, cx.deadline, &mut meter);
    let hash = hash.map_err(|source| broken(packed, source))?;
    target.finish().or_cannot("write", to)?;
    meter.end();
    Ok(hash)
}

/// Whether a file is compressed with xz.
pub(super) fn packed(path: &Path) -> Result<bool, TemplateError> {
    let mut magic = Vec::new();
    let file = File::open(path).or_cannot("open", path)?;
    file.take(XZ.len() as u64).read_to_end(&mut magic).or_cannot("read", path)?;
    Ok(magic == XZ)
}

/// What went wrong while uncompressing: the data, or something around it.
fn broken(path: &Path, source: io::Error) -> TemplateError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::StorageFull => {
            TemplateError::Io { what: "uncompress", path, source }
        }
        _ => TemplateError::Uncompress { path, source },
    }
}

/// Says of work that was given up that its time was up.
fn timed_out(error: TemplateError, what: &str, limit: std::time::Duration) -> TemplateError {
    let late = match &error {
        TemplateError::Io { source, .. } => source.kind() == io::ErrorKind::TimedOut,
        TemplateError::Qemu { source, .. } => {
            matches!(source, crate::base::process::ProcessError::TimedOut { .. })
        }
        _ => false,
    };
    if late { TemplateError::Deadline { what: what.to_owned(), limit } } else { error }
}
