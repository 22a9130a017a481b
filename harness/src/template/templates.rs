//! The door to templates: by name and version, from the configured repository, through the store.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Mutex;

use super::{
    error::{IoContext, TemplateError},
    fetch::{Answer, Http, is_url, resume_place, shown},
    files::{Making, blocking, hex, read_if_there, remove, replace, sha1_of},
    manifest::Manifest,
    progress::Progress,
    publish::beside,
    repos,
    source::{
        self, FetchCx, FileSource, HttpSource, Lookup, SourceArgs, SourceFactory, TemplateSource, copy_image,
    },
    spec::{Limits, Repo, TemplateDisk, TemplateId, User},
    store::{self, Origin, Store},
};
use crate::base::wait::Deadline;

/// Where templates come from and where they are kept.
#[derive(Debug, Clone)]
pub struct TemplatesConfig {
    /// The repository; without one only what needs none works.
    pub repo: Option<Repo>,
    /// Folder of registered repositories.
    pub repos: PathBuf,
    /// Folder of images ready for use.
    pub store: PathBuf,
    /// How long what may take.
    pub limits: Limits,
}

/// Templates of one repository and one store; clones are the same one.
#[derive(Clone)]
pub struct Templates {
    pub(super) config: Arc<TemplatesConfig>,
    pub(super) store: Store,
    pub(super) progress: Progress,
    pub(super) env: Lookup,
    http: Http,
    sources: BTreeMap<String, SourceFactory>,
    /// The manifest as it was at its origin during this object's life.
    fresh: Arc<Mutex<Option<Arc<Manifest>>>>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Templates {
    /// Templates as `config` says; `env` finds the environment variables that roots of manifests may name.
    #[must_use]
    pub fn new(
        config: TemplatesConfig,
        env: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        progress: Progress,
    ) -> Self {
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let (repos, dir) = (absolute(config.repos), absolute(config.store));
        let config = TemplatesConfig { repos, store: dir.clone(), ..config };
        let env: Lookup = Arc::new(env);
        let http = Http::new(config.limits);
        let file: SourceFactory = {
            let env = Arc::clone(&env);
            Arc::new(move |args: SourceArgs<'_>| Ok(Arc::new(FileSource::new(args, &env)?)))
        };
        let web: SourceFactory = {
            let http = http.clone();
            Arc::new(move |args: SourceArgs<'_>| Ok(Arc::new(HttpSource::new(args, http.clone())?)))
        };
        Self {
            store: Store { dir, limits: config.limits },
            config: Arc::new(config),
            progress,
            env,
            http,
            sources: BTreeMap::from([("file".to_owned(), file), ("http".to_owned(), web)]),
            fresh: Arc::default(),
        }
    }

    /// Adds a type of source that manifests may name.
    #[must_use]
    pub fn with_source(mut self, kind: &str, factory: SourceFactory) -> Self {
        self.sources.insert(kind.to_owned(), factory);
        self
    }

    /// The same, telling somebody else how far things are.
    #[must_use]
    pub fn telling(self, progress: Progress) -> Self {
        Self { progress, ..self }
    }

    /// The template `name` in `version`, or in its newest one, ready for use; fetched when it is not in the store. `user`
    /// is written down as one who uses it.
    ///
    /// No network is touched for a version that is in the store and whose repository is known.
    ///
    /// # Errors
    /// There is no such template, or it cannot be fetched, verified or stored.
    pub async fn resolve(
        &self,
        name: &str,
        version: Option<&str>,
        user: Option<&User>,
    ) -> Result<TemplateDisk, TemplateError> {
        self.obtain(name, version, user, false).await
    }

    /// As [`resolve`](Self::resolve), and looks whether its source has something else by now.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), and when prefixes still use what would be replaced.
    pub async fn fetch(&self, name: &str, version: Option<&str>) -> Result<TemplateDisk, TemplateError> {
        self.obtain(name, version, None, true).await
    }

    /// Fetches a file that is no template, a URL or a path, unless it was fetched before; one process at a time. An
    /// interrupted download is continued. Where there is `URL.hash`, the file has to have that hash, and is fetched again
    /// when that is another one by now.
    ///
    /// # Errors
    /// It cannot be had or written, or is not what its hash says.
    pub async fn download(&self, at: &str, to: &Path) -> Result<(), TemplateError> {
        let cx = self.cx();
        let _making = Making::wait(to, &cx).await?;
        let promised = self.promised(at, to.exists()).await;
        let known = read_if_there(&beside(to, ".hash"))?;
        if to.exists() && promised.as_ref().is_none_or(|hash| known.as_ref() == Some(hash)) {
            return Ok(());
        }
        let part = beside(to, ".part");
        self.bring(at, &part, to, &cx).await?;
        if let Some(expected) = &promised {
            let (came, worker) = (part.clone(), cx.clone());
            let (found, _) = blocking("read", &part, move || sha1_of(&came, &worker)).await?;
            if found != *expected {
                [&part, &resume_place(&part)].into_iter().try_for_each(|path| remove(path))?;
                return Err(TemplateError::FileHash { place: shown(at), expected: expected.clone(), found });
            }
        }
        std::fs::rename(&part, to).or_cannot("create", to)?;
        // Not before: beside the file that was there, the new hash would be a lie.
        if let Some(hash) = promised {
            replace(&beside(to, ".hash"), hash.as_bytes())?;
        }
        remove(&resume_place(&part))
    }

    /// The hash that is published for a file, if there is one to be had.
    async fn promised(&self, at: &str, impatient: bool) -> Option<String> {
        if !is_url(at) || at.contains(['?', '#']) {
            return None;
        }
        let (url, attempts) = (format!("{at}.hash"), if impatient { 1 } else { self.config.limits.attempts });
        match self.http.text(&url, self.cx().deadline, attempts).await {
            Ok(Answer::Have(text)) => source::hash(url, &text).ok(),
            Ok(Answer::No(_)) | Err(_) => None,
        }
    }

    /// Uncompresses the image `packed` into `to`, unless that was done before. It has to have the hash that stands in the
    /// file `hash`, if there is one.
    ///
    /// # Errors
    /// It cannot be read or written, or is not what its hash says.
    pub(crate) async fn unpack(&self, packed: &Path, hash: &Path, to: &Path) -> Result<(), TemplateError> {
        let cx = self.cx();
        let _making = Making::wait(to, &cx).await?;
        if to.exists() {
            return Ok(());
        }
        let part = beside(to, ".part");
        let found = store::uncompress(packed, &part, &cx).await?;
        if let Some(text) = read_if_there(hash)? {
            let expected = source::hash(hash.display().to_string(), &text)?;
            if found != expected {
                remove(&part)?;
                return Err(TemplateError::FileHash { place: packed.display().to_string(), expected, found });
            }
        }
        std::fs::rename(&part, to).or_cannot("create", to)
    }

    async fn bring(&self, at: &str, part: &Path, to: &Path, cx: &FetchCx) -> Result<(), TemplateError> {
        if is_url(at) {
            match self.http.download(at, part, cx.deadline, &cx.progress).await? {
                Answer::Have(_) => {}
                Answer::No(status) => return Err(not_there("the file", at, status)),
            }
        } else {
            let from = PathBuf::from(at.strip_prefix("file://").unwrap_or(at));
            let (target, cx) = (part.to_owned(), cx.clone());
            blocking("write", to, move || copy_image(&from, &target, &cx)).await?;
        }
        Ok(())
    }

    /// Fetches the repository's manifest, unless there is one already; says so when it cannot be had.
    pub async fn learn(&self) {
        if let Ok(None) = self.known_manifest()
            && let Err(error) = self.fresh_manifest(true).await
        {
            self.progress.note(repos::with_causes(&error));
        }
    }

    /// Folder of images ready for use.
    #[must_use]
    pub fn store_dir(&self) -> &Path {
        &self.store.dir
    }

    async fn obtain(
        &self,
        name: &str,
        version: Option<&str>,
        user: Option<&User>,
        refresh: bool,
    ) -> Result<TemplateDisk, TemplateError> {
        let cx = self.cx();
        let (id, origin) = match self.locate(name, version, refresh).await {
            Ok((id, source, handle)) => (id, Some((source, handle))),
            Err(error) => match version.map(|version| self.only_stored(name, version)) {
                Some(Some(id)) if !refresh && unreachable_manifest(&error) => {
                    self.progress.note(format!("{error}; using `{id}`, which is in the store"));
                    (id, None)
                }
                _ => return Err(error),
            },
        };
        let origin = origin.as_ref().map(|(source, handle)| Origin { source: &**source, handle });
        self.store.obtain(&id, origin, user, refresh, &cx).await
    }

    /// Sees that an image of the store that something lies on is there and what it was.
    pub(super) async fn use_stored(&self, id: &TemplateId, user: Option<&User>) -> Result<(), TemplateError> {
        let there = self.store.places(id).image.is_file();
        let stored = self.store.obtain(id, None, user, false, &self.cx()).await;
        match stored {
            Err(TemplateError::Damaged { .. }) => {}
            Err(TemplateError::NotThere { .. }) if !there => {}
            other => return other.map(drop),
        }
        let (found, source, handle) = self.locate(&id.template, Some(&id.version), false).await?;
        if found != *id {
            return stored.map(drop);
        }
        let origin = Origin { source: &*source, handle: &handle };
        self.store.obtain(id, Some(origin), user, false, &self.cx()).await.map(drop)
    }

    /// Which template is meant, without getting its image.
    ///
    /// # Errors
    /// There is none such, or no manifest can be had.
    pub async fn find(&self, name: &str, version: Option<&str>) -> Result<TemplateId, TemplateError> {
        self.locate(name, version, false).await.map(|(id, ..)| id)
    }

    /// The same without the network; nothing where only a repository could tell that is not on this host.
    ///
    /// # Errors
    /// As [`Templates::find`].
    pub fn find_known(&self, name: &str, version: Option<&str>) -> Result<Option<TemplateId>, TemplateError> {
        let Some(manifest) = self.known_manifest()? else { return Ok(None) };
        match manifest.find(name, version) {
            Ok((id, _)) => Ok(Some(id)),
            // It may have it by now.
            Err(_) if matches!(self.repo()?, Repo::At(url) if is_url(url)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which template is meant and where its image is.
    async fn locate(
        &self,
        name: &str,
        version: Option<&str>,
        refresh: bool,
    ) -> Result<(TemplateId, Arc<dyn TemplateSource>, String), TemplateError> {
        if version.is_some()
            && !refresh
            && let Some(manifest) = self.known_manifest()?
            && let Ok((id, _)) = manifest.find(name, version)
            && self.store.places(&id).image.is_file()
        {
            return self.origin(&manifest, name, version);
        }
        let stored = version.and_then(|version| self.only_stored(name, version)).is_some();
        let manifest = self.fresh_manifest(stored).await?;
        self.origin(&manifest, name, version)
    }

    fn origin(
        &self,
        manifest: &Manifest,
        name: &str,
        version: Option<&str>,
    ) -> Result<(TemplateId, Arc<dyn TemplateSource>, String), TemplateError> {
        let (id, spec) = manifest.find(name, version)?;
        let wrong = |problem| TemplateError::SourceArgs {
            name: spec.source.clone(),
            origin: manifest.origin.clone(),
            problem,
        };
        let source = manifest.sources.get(&spec.source).ok_or_else(|| wrong("it is not there".into()))?;
        let factory = self.sources.get(&source.kind).ok_or_else(|| wrong("its type is not known".into()))?;
        let args = SourceArgs { args: &source.args, folder: manifest.folder.as_deref() };
        Ok((id, factory(args).map_err(wrong)?, spec.handle.clone()))
    }

    /// The manifest without touching the network: a local one, or the last one that was fetched.
    pub(super) fn known_manifest(&self) -> Result<Option<Manifest>, TemplateError> {
        match self.repo()? {
            Repo::Named(name) => repos::named(self, name).map(Some),
            Repo::At(at) if !is_url(at) => self.read_manifest(Path::new(at)).map(Some),
            Repo::At(url) => {
                let text = read_if_there(&self.cached(url))?;
                // One that cannot be read any more is fetched again.
                Ok(text.and_then(|text| self.parse(&text, &shown(url), None).ok()))
            }
        }
    }

    /// The manifest as it is now; the last one that was fetched when its origin cannot be reached. `impatient`: there is
    /// something to go on with.
    async fn fresh_manifest(&self, impatient: bool) -> Result<Arc<Manifest>, TemplateError> {
        let mut fresh = self.fresh.lock().await;
        if let Some(manifest) = &*fresh {
            return Ok(Arc::clone(manifest));
        }
        let known = self.known_manifest()?;
        let Repo::At(url) = self.repo()? else {
            return known.map(Arc::new).ok_or(TemplateError::NoRepo);
        };
        if !is_url(url) {
            return known.map(Arc::new).ok_or(TemplateError::NoRepo);
        }
        let attempts = if impatient || known.is_some() { 1 } else { self.config.limits.attempts };
        let manifest = match (self.manifest_text(url, attempts).await, known) {
            (Ok(text), _) => {
                let manifest = self.parse(&text, &shown(url), None)?;
                self.keep(url, &text)?;
                manifest
            }
            (Err(error @ TemplateError::Download { .. }), Some(known)) => {
                let age = self.age(url).map(|age| format!(" fetched {age} ago")).unwrap_or_default();
                self.progress.note(format!("{error}; using its manifest{age}"));
                known
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Arc::clone(fresh.insert(Arc::new(manifest))))
    }

    /// The text of a manifest at a URL.
    pub(super) async fn manifest_text(&self, url: &str, attempts: u32) -> Result<String, TemplateError> {
        match self.http.text(url, self.cx().deadline, attempts).await? {
            Answer::Have(text) => Ok(text),
            Answer::No(status) => Err(not_there("the manifest of the template repository", url, status)),
        }
    }

    /// Reads the manifest at a path.
    pub(super) fn read_manifest(&self, path: &Path) -> Result<Manifest, TemplateError> {
        let path = std::path::absolute(path).or_cannot("find", path)?;
        let text = std::fs::read_to_string(&path).or_cannot("read", &path)?;
        self.parse(&text, &path.display().to_string(), path.parent().map(Path::to_owned))
    }

    pub(super) fn parse(
        &self,
        text: &str,
        origin: &str,
        folder: Option<PathBuf>,
    ) -> Result<Manifest, TemplateError> {
        let kinds: Vec<&str> = self.sources.keys().map(String::as_str).collect();
        Manifest::parse(text, origin, folder, &kinds)
    }

    fn repo(&self) -> Result<&Repo, TemplateError> {
        self.config.repo.as_ref().ok_or(TemplateError::NoRepo)
    }

    /// Where the last manifest fetched from `url` is kept.
    fn cached(&self, url: &str) -> PathBuf {
        let digest = hex(&<sha2::Sha256 as sha2::Digest>::digest(url));
        self.store.dir.join(".manifests").join(format!("{digest}.json"))
    }

    fn keep(&self, url: &str, text: &str) -> Result<(), TemplateError> {
        let path = self.cached(url);
        let folder = self.store.dir.join(".manifests");
        std::fs::create_dir_all(&folder).or_cannot("create", &folder)?;
        replace(&path, text.as_bytes())
    }

    fn age(&self, url: &str) -> Option<String> {
        let age = self.cached(url).metadata().ok()?.modified().ok()?.elapsed().ok()?;
        Some(words(age))
    }

    /// The template of the store with this name and version, when there is one only.
    fn only_stored(&self, name: &str, version: &str) -> Option<TemplateId> {
        let ids = self.store.ids().ok()?;
        let mut fit = ids.into_iter().filter(|id| id.template == name && id.version == version);
        let first = fit.next()?;
        fit.next().is_none().then_some(first)
    }

    pub(super) fn cx(&self) -> FetchCx {
        FetchCx { deadline: Deadline::within(self.config.limits.total), progress: self.progress.clone() }
    }

    /// How long what may take.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.config.limits
    }
}

/// Whether a manifest exists perhaps but could not be had.
fn unreachable_manifest(error: &TemplateError) -> bool {
    matches!(error, TemplateError::Download { .. } | TemplateError::NotThere { .. } | TemplateError::NoRepo)
}

fn not_there(what: &str, url: &str, status: reqwest::StatusCode) -> TemplateError {
    TemplateError::NotThere { what: what.to_owned(), places: vec![format!("{} ({status})", shown(url))] }
}

/// A rough time for people.
fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(5, "5 s")]
    #[case(180, "3 min")]
    #[case(7200, "2 h")]
    #[case(259_200, "3 days")]
    fn ages(#[case] seconds: u64, #[case] text: &str) {
        assert_eq!(words(Duration::from_secs(seconds)), text);
    }
}
