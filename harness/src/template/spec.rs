//! The words of templates as values: names, limits, users, what a usable template is. Decides and fetches nothing.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What a template's metadata file says, such as `distro` and `root-partition`.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// A template in one version, as repositories and the store name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TemplateId {
    /// Name of the repository.
    pub repo: String,
    /// Name of the template within it.
    pub template: String,
    /// Name of the version within the template.
    pub version: String,
}

impl TemplateId {
    /// The id a file of the store is named after; nothing for other files.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':').map(str::to_owned);
        let id = Self { repo: parts.next()?, template: parts.next()?, version: parts.next()? };
        let whole = [&id.repo, &id.template, &id.version].iter().all(|part| !part.is_empty());
        whole.then_some(id)
    }

    /// What layered images call it, which are to work with any repository that has it.
    #[must_use]
    pub fn without_repo(&self) -> String {
        format!("{}:{}", self.template, self.version)
    }
}

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.repo, self.template, self.version)
    }
}

impl Serialize for TemplateId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TemplateId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let wrong = || serde::de::Error::custom(format!("`{text}` is not `REPO:TEMPLATE:VERSION`"));
        Self::parse(&text).ok_or_else(wrong)
    }
}

/// A template ready for use: an image that nothing may write to, under overlays only.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TemplateDisk {
    /// Which one it is.
    pub id: TemplateId,
    /// The image.
    pub path: PathBuf,
    /// The image's format, in `qemu-img`'s words; always `raw`.
    pub format: String,
    /// Size in bytes, as a guest sees it.
    pub size: u64,
    /// What is known about it.
    pub metadata: Metadata,
    /// What tells this content from any other, however sparse the file is.
    pub digest: String,
}

/// Where templates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repo {
    /// The manifest at this path or URL.
    At(String),
    /// The registered repository whose manifest has this name.
    Named(String),
}

/// How long what is waited for, and how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection to be made.
    pub connect: Duration,
    /// For the next byte to arrive.
    pub stall: Duration,
    /// For one template to be ready for use, everything included.
    pub total: Duration,
    /// Attempts in a row that bring nothing new until a download is given up.
    pub attempts: u32,
    /// Between the first two attempts; doubled each time, up to [`Limits::LONGEST_PAUSE`].
    pub pause: Duration,
}

impl Limits {
    /// No pause between two attempts is longer.
    pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            total: Duration::from_secs(2 * 60 * 60),
            attempts: 5,
            pause: Duration::from_secs(1),
        }
    }
}

/// A prefix that uses templates, named by a file that lives as long as it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The prefix's `uuid` file, absolute.
    pub uuid_path: PathBuf,
    /// Its content.
    pub uuid: String,
}

/// Files of the store that belong to one template.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The usable image.
    pub image: PathBuf,
    /// SHA-1 of the image as it was published, uncompressed.
    pub hash: PathBuf,
    /// Metadata as it was published.
    pub metadata: PathBuf,
    /// Who uses it.
    pub users: PathBuf,
    /// Digest of the usable image and the file it was computed from.
    pub digest: PathBuf,
    /// One at a time works on the template.
    pub lock: PathBuf,
    /// Download in progress.
    pub download: PathBuf,
    /// What a later attempt needs to go on with the download.
    pub resume: PathBuf,
    /// The download uncompressed.
    pub unpacked: PathBuf,
    /// The usable image in the making.
    pub converted: PathBuf,
}

/// Ends of the names that stand beside an image's own.
pub(super) const SUFFIXES: &[&str] =
    &[".hash", ".metadata", ".users", ".digest", ".lock", ".tmp", ".tmp.resume", ".tmp.unpacked", ".tmp.raw"];

impl Places {
    pub(super) fn new(store: &Path, id: &TemplateId) -> Self {
        let place = |suffix: &str| store.join(format!("{id}{suffix}"));
        Self {
            image: place(""),
            hash: place(".hash"),
            metadata: place(".metadata"),
            users: place(".users"),
            digest: place(".digest"),
            lock: place(".lock"),
            download: place(".tmp"),
            resume: place(".tmp.resume"),
            unpacked: place(".tmp.unpacked"),
            converted: place(".tmp.raw"),
        }
    }

    /// What an interrupted download or conversion can have left.
    pub(super) fn leftovers(&self) -> [&Path; 4] {
        [&self.download, &self.resume, &self.unpacked, &self.converted]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("corp:el:v1", Some(("corp", "el", "v1")))]
    #[case("corp:el:v1:2", Some(("corp", "el", "v1:2")))]
    #[case("corp:el", None)]
    #[case("corp::v1", None)]
    #[case("", None)]
    fn ids_read_back(#[case] text: &str, #[case] parts: Option<(&str, &str, &str)>) {
        let id = TemplateId::parse(text);
        let found = id.as_ref().map(|id| (id.repo.as_str(), id.template.as_str(), id.version.as_str()));
        assert_eq!(found, parts);
        assert!(id.is_none_or(|id| id.to_string() == text));
    }
}
