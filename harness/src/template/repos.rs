//! Registered repositories: manifests in one folder, copied from elsewhere or grown here by adding images.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    chain::qemu,
    error::{IoContext, TemplateError},
    fetch::{is_url, shown},
    files::{FileLock, blocking, read_if_there, replace},
    manifest::{Manifest, bad_part, hint},
    publish::{Publication, beside},
    source::{copy_image, expand},
    spec::{Metadata, TemplateId},
    templates::Templates,
};

/// A registered repository.
#[derive(Debug, Clone, Serialize)]
pub struct RepoListed {
    /// Its name; for a manifest that cannot be read, the file's.
    pub name: String,
    /// Its manifest.
    pub path: PathBuf,
    /// Where it was copied from; nothing for one that grows here.
    pub origin: Option<String>,
    /// How many templates it has.
    pub templates: usize,
    /// Why its manifest cannot be read.
    pub problem: Option<String>,
}

/// What became of one repository's update.
#[derive(Debug, Clone, Serialize)]
pub struct Updated {
    /// The repository.
    pub name: String,
    /// Versions it has now and had not.
    pub new: Vec<TemplateId>,
    /// Versions it had and has no more.
    pub gone: Vec<TemplateId>,
    /// Why it stayed as it was.
    pub problem: Option<String>,
}

/// An image that becomes a version of a template in a local repository.
#[derive(Debug, Clone)]
pub struct NewImage {
    /// The image, of any format `qemu-img` recognises; one file.
    pub image: PathBuf,
    /// Name of the repository, which is made when there is none of that name.
    pub repo: String,
    /// Name of the template.
    pub template: String,
    /// Name of the version; the next number without.
    pub version: Option<String>,
    /// What is known about it, such as `distro` and `root-partition`.
    pub metadata: Metadata,
}

impl Templates {
    /// All registered repositories by name.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn repos(&self) -> Result<Vec<RepoListed>, TemplateError> {
        let mut listed = Vec::new();
        for path in manifests(&self.config.repos)? {
            let origin = read_if_there(&origin_place(&path))?.map(|text| text.trim().to_owned());
            listed.push(match self.read_manifest(&path) {
                Ok(manifest) => {
                    let templates = manifest.templates.len();
                    RepoListed { name: manifest.name, path, origin, templates, problem: None }
                }
                Err(error) => {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    RepoListed { name, path, origin, templates: 0, problem: Some(with_causes(&error)) }
                }
            });
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Registers the repository whose manifest is at a path or URL.
    ///
    /// # Errors
    /// The manifest cannot be had or is wrong, or a repository of its name is registered already.
    pub async fn add_repo(&self, at: &str) -> Result<RepoListed, TemplateError> {
        let at = if is_url(at) {
            at.to_owned()
        } else {
            std::path::absolute(at).or_cannot("find", at)?.to_string_lossy().into_owned()
        };
        let (manifest, text) = self.copy_of(&at).await?;
        let dir = &self.config.repos;
        fs::create_dir_all(dir).or_cannot("create", dir)?;
        let path = dir.join(format!("{}.json", manifest.name));
        let _lock = self.lock_repo(&path).await?;
        let known = self.repos()?.into_iter().find(|repo| repo.name == manifest.name);
        if path.exists() || known.is_some() {
            let path = known.map_or(path, |repo| repo.path);
            return Err(TemplateError::RepoExists { name: manifest.name, path });
        }
        replace(&origin_place(&path), at.as_bytes())?;
        replace(&path, text.as_bytes())?;
        let templates = manifest.templates.len();
        Ok(RepoListed { name: manifest.name, path, origin: Some(shown(&at)), templates, problem: None })
    }

    /// Copies manifests of registered repositories again from where they came from: those in `names`, or all.
    ///
    /// # Errors
    /// The folder cannot be read, or a name is not registered; what goes wrong with one repository is in its result.
    pub async fn update_repos(&self, names: &[String]) -> Result<Vec<Updated>, TemplateError> {
        let repos = self.repos()?;
        if let Some(name) = names.iter().find(|name| repos.iter().all(|repo| repo.name != **name)) {
            return Err(unknown(self, name, &repos));
        }
        let mut updated = Vec::new();
        for repo in repos.iter().filter(|repo| names.is_empty() || names.contains(&repo.name)) {
            let Some(origin) = &repo.origin else { continue };
            let result = self.update_repo(repo, origin).await;
            updated.push(result.unwrap_or_else(|error| Updated {
                name: repo.name.clone(),
                new: vec![],
                gone: vec![],
                problem: Some(with_causes(&error)),
            }));
        }
        Ok(updated)
    }

    async fn update_repo(&self, repo: &RepoListed, origin: &str) -> Result<Updated, TemplateError> {
        let _lock = self.lock_repo(&repo.path).await?;
        let old = self.read_manifest(&repo.path).ok();
        let (manifest, text) = self.copy_of(origin).await?;
        if old.is_some() && manifest.name != repo.name {
            let problem = format!("the repository calls itself `{}` now", manifest.name);
            return Err(TemplateError::Manifest { origin: shown(origin), problems: vec![problem] });
        }
        replace(&repo.path, text.as_bytes())?;
        let ids = |manifest: &Manifest| manifest.versions().map(|(id, _)| id).collect::<Vec<_>>();
        let (had, has) = (old.as_ref().map(ids).unwrap_or_default(), ids(&manifest));
        Ok(Updated {
            name: manifest.name.clone(),
            new: has.iter().filter(|id| !had.contains(id)).cloned().collect(),
            gone: had.iter().filter(|id| !has.contains(id)).cloned().collect(),
            problem: None,
        })
    }

    /// Adds an image to a repository of this host, with hash and metadata beside it.
    ///
    /// # Errors
    /// The image cannot be read or needs others, the version is there already, or the repository is a copy of another.
    pub async fn add(&self, new: &NewImage) -> Result<TemplateId, TemplateError> {
        for (what, name) in [("repository's name", &new.repo), ("template's name", &new.template)] {
            if let Some(problem) = bad_part(name, false) {
                return Err(TemplateError::Name { what, problem });
            }
        }
        let image = std::path::absolute(&new.image).or_cannot("find", &new.image)?;
        let info = qemu::standalone(&image).await?;
        let dir = &self.config.repos;
        fs::create_dir_all(dir).or_cannot("create", dir)?;
        let registered = self.repos()?.into_iter().find(|repo| repo.name == new.repo);
        let path = registered.as_ref().map(|repo| repo.path.clone());
        let path = path.unwrap_or_else(|| dir.join(format!("{}.json", new.repo)));
        let _lock = self.lock_repo(&path).await?;
        let not_local = || TemplateError::RepoNotLocal { name: new.repo.clone() };
        if registered.is_some_and(|repo| repo.origin.is_some()) {
            return Err(not_local());
        }
        let mut content = self.local(&path, &new.repo)?;
        let manifest = self.parse(&content.to_string(), &path.display().to_string(), Some(dir.clone()))?;
        let known = manifest.templates.get(&new.template);
        let version = new.version.clone().unwrap_or_else(|| {
            let numbers =
                known.into_iter().flat_map(|t| t.versions.keys()).filter_map(|v| v.parse::<u64>().ok());
            (numbers.max().unwrap_or(0) + 1).to_string()
        });
        if let Some(problem) = bad_part(&version, true) {
            return Err(TemplateError::Name { what: "version's name", problem });
        }
        let id = TemplateId { repo: new.repo.clone(), template: new.template.clone(), version };
        if known.is_some_and(|template| template.versions.contains_key(&id.version)) {
            return Err(TemplateError::VersionExists { id });
        }
        let local = manifest.sources.iter().find(|(_, source)| source.kind == "file");
        let (source, spec) = local.ok_or_else(not_local)?;
        let root = spec.args.get("root").and_then(Value::as_str).unwrap_or_default();
        let root = expand(root, &self.env).map_err(|problem| TemplateError::SourceArgs {
            name: source.clone(),
            origin: path.display().to_string(),
            problem,
        })?;
        let handle = format!("{}/{}.{}", id.template, id.version, info.format);
        self.put(&dir.join(root).join(&handle), &image, &id, new).await?;

        let newest = known.into_iter().flat_map(|t| t.versions.values()).map(|v| v.timestamp);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let timestamp = newest.fold(now as f64, |newest, other| newest.max(other + 1.0));
        let entry = json!({"source": source, "handle": handle, "timestamp": timestamp});
        if let Some(templates) = object(&mut content, "templates")
            && let Some(template) = entry_object(templates, &id.template)
            && let Some(versions) = entry_object(template, "versions")
        {
            versions.insert(id.version.clone(), entry);
        }
        replace(&path, pretty(&content).as_bytes())?;
        Ok(id)
    }

    /// Puts an image and what belongs beside it into a repository.
    async fn put(
        &self,
        place: &Path,
        image: &Path,
        id: &TemplateId,
        new: &NewImage,
    ) -> Result<(), TemplateError> {
        let folder = place.parent().unwrap_or(place);
        fs::create_dir_all(folder).or_cannot("create", folder)?;
        let part = beside(place, ".part");
        let (from, to, cx) = (image.to_owned(), part.clone(), self.cx());
        blocking("copy", image, move || copy_image(&from, &to, &cx)).await?;
        let mut metadata = new.metadata.clone();
        metadata.insert("name".into(), json!(id.template));
        metadata.insert("version".into(), json!(id.version));
        let publication = Publication { made: &part, place, metadata, compress: false };
        publication.publish(&self.cx()).await.map(drop)
    }

    /// The content of a local repository's manifest; of a new one when there is none.
    fn local(&self, path: &Path, name: &str) -> Result<Value, TemplateError> {
        match read_if_there(path)? {
            Some(text) => serde_json::from_str(&text).map_err(|source| TemplateError::ManifestSyntax {
                origin: path.display().to_string(),
                source,
            }),
            None => Ok(json!({
                "name": name,
                "sources": {"files": {"type": "file", "args": {"root": name}}},
                "templates": {},
            })),
        }
    }

    /// A manifest that works from another folder: roots are absolute.
    async fn copy_of(&self, at: &str) -> Result<(Manifest, String), TemplateError> {
        if is_url(at) {
            let text = self.manifest_text(at, self.config.limits.attempts).await?;
            return Ok((self.parse(&text, &shown(at), None)?, text));
        }
        let path = Path::new(at);
        let manifest = self.read_manifest(path)?;
        let text = fs::read_to_string(path).or_cannot("read", path)?;
        let syntax = |source| TemplateError::ManifestSyntax { origin: at.to_owned(), source };
        let mut content: Value = serde_json::from_str(&text).map_err(syntax)?;
        let folder = path.parent().unwrap_or(path);
        for source in object(&mut content, "sources").into_iter().flat_map(|sources| sources.values_mut()) {
            if source.get("type").and_then(Value::as_str) == Some("file")
                && let Some(root) = source.pointer_mut("/args/root")
                && let Some(text) = root.as_str()
                && !text.starts_with(['/', '$', '~'])
            {
                *root = json!(folder.join(text));
            }
        }
        Ok((manifest, pretty(&content)))
    }

    async fn lock_repo(&self, path: &Path) -> Result<FileLock, TemplateError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let what = format!("repository {}", path.display());
        FileLock::wait(&path.with_file_name(name), &what, self.config.limits.total, &self.progress).await
    }
}

/// The registered repository of this name.
pub(super) fn named(templates: &Templates, name: &str) -> Result<Manifest, TemplateError> {
    let repos = templates.repos()?;
    match repos.iter().find(|repo| repo.name == name && repo.problem.is_none()) {
        Some(repo) => templates.read_manifest(&repo.path),
        None => Err(unknown(templates, name, &repos)),
    }
}

fn unknown(templates: &Templates, name: &str, repos: &[RepoListed]) -> TemplateError {
    let good = repos.iter().filter(|repo| repo.problem.is_none());
    TemplateError::UnknownRepo {
        name: name.to_owned(),
        folder: templates.config.repos.clone(),
        hint: hint(name, good.map(|repo| &repo.name)),
        broken: repos.iter().filter_map(|repo| repo.problem.clone()).collect(),
    }
}

/// All `*.json` files below a folder.
fn manifests(folder: &Path) -> Result<Vec<PathBuf>, TemplateError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).or_cannot("read", folder),
        };
        for entry in entries {
            let entry = entry.or_cannot("read", &folder)?;
            let path = entry.path();
            // Links to folders are not followed: they can lead back.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The file that remembers where a manifest was copied from.
fn origin_place(manifest: &Path) -> PathBuf {
    manifest.with_extension("origin")
}

fn object<'a>(content: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    entry_object(content.as_object_mut()?, key)
}

fn entry_object<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    map.entry(key).or_insert_with(|| json!({})).as_object_mut()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// An error and what caused it, in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
