//! What the store remembers beside an image: the digest of its content, and who uses it.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata as FileMetadata},
    io,
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
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Condition::Missing),
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
    if half_made(places)? {
        return Ok(Condition::Damaged);
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

/// Whether an image was being converted by another program, which does that in the image's own place, when that ended.
pub(super) fn half_made(places: &Places) -> Result<bool, TemplateError> {
    Ok(places.image.exists() && places.download.exists() && Record::load(places)?.is_none())
}

/// Who uses an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Users {
    /// Nobody does.
    Nobody,
    /// The prefixes in these folders do.
    By(Vec<String>),
    /// Prefixes may do that nobody wrote down, besides those in these folders.
    Unknown(Vec<String>),
}

impl Users {
    /// Who is known to use the image of these places.
    pub(super) fn of(places: &Places) -> Result<Self, TemplateError> {
        let known = UserList::load(places)?;
        Ok(match known.map(|list| (list.others, list.alive())) {
            None => Self::Unknown(Vec::new()),
            Some((true, alive)) => Self::Unknown(alive),
            Some((false, alive)) if alive.is_empty() => Self::Nobody,
            Some((false, alive)) => Self::By(alive),
        })
    }

    /// In words, unless it is nobody.
    pub(super) fn told(self) -> Option<Vec<String>> {
        match self {
            Self::Nobody => None,
            Self::By(folders) => Some(folders),
            Self::Unknown(mut folders) => {
                folders.push("prefixes of which nothing was written down".to_owned());
                Some(folders)
            }
        }
    }
}

/// The list of who uses an image, in Lago's format.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct UserList {
    #[serde(default)]
    users: BTreeMap<String, String>,
    /// Whether the list was begun when the image had been there already: others may use it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    others: bool,
    #[serde(default)]
    pub(super) last_access: f64,
}

impl UserList {
    /// What is written down. A list that cannot be read is as good as none, which is not an empty one: nobody knows who
    /// was in it.
    pub(super) fn load(places: &Places) -> Result<Option<Self>, TemplateError> {
        let text = read_if_there(&places.users)?;
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
        // Without a list and a user there is nothing to be said: the list stays away.
        let known = Self::load(places)?;
        if known.is_none() && user.is_none() {
            return Ok(());
        }
        let mut list = known.unwrap_or_else(|| Self { others: true, ..Self::default() });
        list.users.retain(|path, uuid| lives(path, uuid));
        if let Some(user) = user {
            list.users.insert(user.uuid_path.display().to_string(), user.uuid.clone());
        }
        list.save(places)
    }

    /// Begins the list of an image that is about to come into the store, or back into it.
    pub(super) fn begin(places: &Places) -> Result<(), TemplateError> {
        if Self::load(places)?.is_some() {
            return Ok(());
        }
        Self { others: places.image.exists(), ..Self::default() }.save(places)
    }

    fn save(mut self, places: &Places) -> Result<(), TemplateError> {
        self.last_access = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        replace(&places.users, serde_json::json!(self).to_string().as_bytes())
    }
}

/// Whether a prefix is still there, or cannot be looked at.
fn lives(uuid_path: &str, uuid: &str) -> bool {
    match fs::read_to_string(uuid_path) {
        Ok(found) => found.trim() == uuid,
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}
