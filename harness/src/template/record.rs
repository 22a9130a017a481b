//! What the store remembers beside an image: the digest of its content, and who uses it.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata as FileMetadata},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{
    error::{IoContext, TemplateError},
    files::{blocking, image_digest, read_if_there, replace},
    source::FetchCx,
    spec::{Places, User},
};

/// The content of an image, and the file as it was when that was computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    pub(super) digest: String,
    pub(super) size: u64,
    mtime: i64,
    mtime_nanoseconds: i64,
    inode: u64,
}

/// What an image of the store is, compared with what is remembered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It is not there.
    Missing,
    /// It is what it was.
    Good(Record),
    /// Nothing was remembered (another program stored it); now it is.
    New(Record),
    /// It is not what it was.
    Damaged,
}

impl Record {
    const VERSION: u32 = 1;

    /// Computes the digest of an image.
    pub(super) async fn compute(image: &Path, cx: &FetchCx) -> Result<Self, TemplateError> {
        let (path, cx) = (image.to_owned(), cx.clone());
        blocking("read", image, move || {
            let file = File::open(&path).or_cannot("open", &path)?;
            let before = file.metadata().or_cannot("look at", &path)?;
            let mut meter = cx.progress.meter(format!("verifying {}", path.display()), 0, Some(before.len()));
            let digest = image_digest(&file, cx.deadline, &mut meter).or_cannot("verify", &path)?;
            meter.end();
            Ok(Self::of(digest, &before))
        })
        .await
    }

    /// Writes it down.
    pub(super) fn save(&self, places: &Places) -> Result<(), TemplateError> {
        replace(&places.digest, serde_json::json!(self).to_string().as_bytes())
    }

    /// What was written down; what cannot be read is as good as nothing.
    pub(super) fn load(places: &Places) -> Result<Option<Self>, TemplateError> {
        let text = read_if_there(&places.digest)?;
        let record: Option<Self> = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(record.filter(|record| record.version == Self::VERSION))
    }

    fn of(digest: String, file: &FileMetadata) -> Self {
        Self {
            version: Self::VERSION,
            digest,
            size: file.len(),
            mtime: file.mtime(),
            mtime_nanoseconds: file.mtime_nsec(),
            inode: file.ino(),
        }
    }
}

/// Compares an image with what is remembered of it; reads it whole when it looks touched, or when `whole` is asked for.
pub(super) async fn condition(
    places: &Places,
    whole: bool,
    cx: &FetchCx,
) -> Result<Condition, TemplateError> {
    let file = match fs::metadata(&places.image) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Condition::Missing),
        Err(error) => return Err(error).or_cannot("look at", &places.image),
    };
    let known = Record::load(places)?;
    if let Some(known) = &known {
        if !whole && *known == Record::of(known.digest.clone(), &file) {
            return Ok(Condition::Good(known.clone()));
        }
        if known.size != file.len() {
            return Ok(Condition::Damaged);
        }
    }
    let now = Record::compute(&places.image, cx).await?;
    match known {
        Some(known) if known.digest != now.digest => Ok(Condition::Damaged),
        Some(_) => {
            now.save(places)?;
            Ok(Condition::Good(now))
        }
        None => {
            now.save(places)?;
            Ok(Condition::New(now))
        }
    }
}

/// Who uses an image, in Lago's format.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Users {
    #[serde(default)]
    users: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) last_access: f64,
}

impl Users {
    /// Who is written down; nothing when nobody ever was.
    pub(super) fn load(places: &Places) -> Result<Option<Self>, TemplateError> {
        let text = read_if_there(&places.users)?;
        // A list that cannot be read is not an empty one: nobody knows who was in it.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// The folders of the prefixes that still live and use the image.
    pub(super) fn alive(&self) -> Vec<String> {
        let alive = self.users.iter().filter(|(path, uuid)| lives(path, uuid));
        let folder = |path: &String| Path::new(path).parent().unwrap_or(Path::new("/")).display().to_string();
        alive.map(|(path, _)| folder(path)).collect()
    }

    /// Writes down that the image is used now, by `user` if one is named, and forgets who is gone.
    pub(super) fn note(places: &Places, user: Option<&User>) -> Result<(), TemplateError> {
        // Without a list and a user there are users we do not know of: the list stays away.
        let known = Self::load(places)?;
        if known.is_none() && user.is_none() {
            return Ok(());
        }
        let mut users = known.unwrap_or_default();
        users.users.retain(|path, uuid| lives(path, uuid));
        if let Some(user) = user {
            users.users.insert(user.uuid_path.display().to_string(), user.uuid.clone());
        }
        users.save(places)
    }

    /// Begins the list of an image that is new in the store.
    pub(super) fn begin(places: &Places) -> Result<(), TemplateError> {
        if Self::load(places)?.is_none() { Self::default().save(places) } else { Ok(()) }
    }

    fn save(mut self, places: &Places) -> Result<(), TemplateError> {
        self.last_access = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        replace(&places.users, serde_json::json!(self).to_string().as_bytes())
    }
}

fn lives(uuid_path: &str, uuid: &str) -> bool {
    fs::read_to_string(uuid_path).is_ok_and(|found| found.trim() == uuid)
}
