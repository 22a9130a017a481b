//! Care for the store: what is there, whether it is what it was, and what nobody needs any more.

use std::{fs, io, os::unix::fs::MetadataExt, path::PathBuf};

use serde::Serialize;

use super::{
    error::{IoContext, TemplateError},
    files::{FileLock, remove},
    record::{Condition, UserList, Users, condition, half_made},
    repos::with_causes,
    spec::{Places, SUFFIXES, TemplateId},
    store::Store,
    templates::Templates,
};

/// One template of the store or of the repository.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Which one.
    pub id: TemplateId,
    /// Its image, when it is in the store.
    pub path: Option<PathBuf>,
    /// Bytes the image takes on the disk.
    pub bytes: u64,
    /// Folders of the prefixes that use it; nothing when that was never written down.
    pub users: Option<Vec<String>>,
    /// When it was used last, in seconds since the epoch.
    pub last_access: Option<f64>,
}

/// What a look at a whole image found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is what was stored.
    Good,
    /// Nothing was written down about it (another program stored it); now it is.
    New,
    /// It is not what was stored; the next use fetches it again.
    Damaged,
    /// It is not in the store.
    Missing,
    /// It could not be read.
    Unknown(String),
}

/// A template and what was found.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    /// Which one.
    pub id: TemplateId,
    /// What was found.
    pub verdict: Verdict,
}

/// What was removed from the store, and what not.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Pruned {
    /// Templates nobody uses, and files that interrupted downloads left, with the bytes they took.
    pub removed: Vec<(String, u64)>,
    /// Templates that stayed, and why.
    pub kept: Vec<(TemplateId, String)>,
    /// What could not be removed, and why.
    pub errors: Vec<String>,
}

impl Templates {
    /// What is in the store, and what else the repository has, as far as that is known without the network.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, TemplateError> {
        let mut listed = Vec::new();
        for id in self.store.ids()? {
            let places = self.store.places(&id);
            let bytes = fs::metadata(&places.image).map_or(0, |file| file.blocks() * 512);
            let list = UserList::load(&places)?;
            listed.push(Listed {
                id,
                path: Some(places.image),
                bytes,
                last_access: list.as_ref().map(|list| list.last_access),
                users: list.map(|list| list.alive()),
            });
        }
        let known = match self.known_manifest() {
            Ok(manifest) => manifest,
            Err(TemplateError::NoRepo) => None,
            Err(error) => {
                self.progress.note(with_causes(&error));
                None
            }
        };
        for (id, _) in known.iter().flat_map(|manifest| manifest.versions()) {
            if listed.iter().all(|other| other.id != id) {
                listed.push(Listed { id, path: None, bytes: 0, users: None, last_access: None });
            }
        }
        listed.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(listed)
    }

    /// Reads whole images of the store and compares them with what was stored: those in `ids`, or all.
    ///
    /// # Errors
    /// The store cannot be read; what goes wrong with one image is in its verdict.
    pub async fn verify(&self, ids: &[TemplateId]) -> Result<Vec<Verified>, TemplateError> {
        let ids = if ids.is_empty() { self.store.ids()? } else { ids.to_vec() };
        let mut verified = Vec::new();
        for id in ids {
            let cx = self.cx();
            let looked = match self.store.lock(&id, &cx).await {
                Ok(locked) => condition(&locked.places, true, &cx).await,
                Err(error) => Err(error),
            };
            let verdict = match looked {
                Ok(Condition::Good(_)) => Verdict::Good,
                Ok(Condition::New(_)) => Verdict::New,
                Ok(Condition::Damaged) => Verdict::Damaged,
                Ok(Condition::Missing) => Verdict::Missing,
                Err(error) => Verdict::Unknown(with_causes(&error)),
            };
            verified.push(Verified { id, verdict });
        }
        Ok(verified)
    }

    /// Removes templates whose users are all gone, and what interrupted downloads left. Templates of which nobody wrote
    /// down who uses them stay: prefixes made by another program may lie on them.
    ///
    /// # Errors
    /// The store cannot be read; what goes wrong with one template is in the result.
    pub fn prune(&self) -> Result<Pruned, TemplateError> {
        let mut pruned = Pruned::default();
        for id in self.store.all()? {
            if let Err(error) = self.prune_one(&id, &mut pruned) {
                pruned.errors.push(with_causes(&error));
            }
        }
        Ok(pruned)
    }

    fn prune_one(&self, id: &TemplateId, pruned: &mut Pruned) -> Result<(), TemplateError> {
        let places = self.store.places(id);
        let _lock = match FileLock::attempt(&places.lock)? {
            Ok(lock) => lock,
            Err(holder) => {
                pruned.kept.push((id.clone(), format!("{holder} works on it")));
                return Ok(());
            }
        };
        let bytes = |path: &std::path::Path| fs::metadata(path).map_or(0, |file| file.blocks() * 512);
        if half_made(&places)? {
            let why = "it was stored by half; `polder templates fetch` gets it again";
            pruned.kept.push((id.clone(), why.to_owned()));
            return Ok(());
        }
        let left: u64 = places.leftovers().into_iter().map(bytes).sum();
        if places.leftovers().into_iter().any(|path| path.exists()) {
            places.leftovers().into_iter().try_for_each(remove)?;
            pruned.removed.push((format!("interrupted download of {id}"), left));
        }
        if !places.image.exists() {
            return self.forget(&places);
        }
        let why = match Users::of(&places)? {
            Users::Nobody => None,
            Users::By(alive) => Some(format!("used by {}", alive.join(", "))),
            Users::Unknown(alive) if alive.is_empty() => Some("it is not known who uses it".to_owned()),
            Users::Unknown(alive) => Some(format!("used by {}, and perhaps by others", alive.join(", "))),
        };
        if let Some(why) = why {
            pruned.kept.push((id.clone(), why));
            return Ok(());
        }
        let size = bytes(&places.image);
        remove(&places.image)?;
        pruned.removed.push((id.to_string(), size));
        self.forget(&places)
    }

    /// Removes what stood beside an image, the lock last.
    fn forget(&self, places: &Places) -> Result<(), TemplateError> {
        let sides = [&places.hash, &places.metadata, &places.users, &places.digest, &places.lock];
        sides.into_iter().try_for_each(|path| remove(path))
    }
}

impl Store {
    /// Templates whose image is in the store.
    pub(super) fn ids(&self) -> Result<Vec<TemplateId>, TemplateError> {
        let mut ids = self.all()?;
        ids.retain(|id| self.places(id).image.is_file());
        Ok(ids)
    }

    /// Templates of which there is anything in the store.
    fn all(&self) -> Result<Vec<TemplateId>, TemplateError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error).or_cannot("read", &self.dir),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.or_cannot("read", &self.dir)?.file_name();
            let Some(name) = name.to_str() else { continue };
            // The longest end first: `.tmp.raw` is one, not the `.raw` of a version.
            let suffix = SUFFIXES.iter().filter(|suffix| name.ends_with(**suffix)).max_by_key(|s| s.len());
            let stem = suffix.and_then(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            ids.extend(TemplateId::parse(stem));
        }
        ids.sort();
        ids.dedup();
        Ok(ids)
    }
}
