//! Gets what an init file names: images of ours, templates of repositories, archives and files to be downloaded; and
//! finds out what images lie over. Decides nothing but which of the two kinds of images a name means.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{
    EnvError, Host, Progress,
    error::file,
    export::IMAGE_KEY,
    plan::{self, PlanError},
};
use crate::{
    image::{self, ImageError, ImageInfo, Recipe},
    initfile::{
        EnvSpec,
        spec::{DiskFormat, DiskSource, DiskSpec, MachineSpec, Place},
    },
    template::{self, OvaDisk, TemplateDisk, TemplateError, TemplateId, Templates, User},
};

/// What was got.
#[derive(Debug)]
pub(super) struct Fetched {
    /// What is asked for, with what archives brought.
    pub(super) spec: EnvSpec,
    pub(super) images: BTreeMap<String, ImageInfo>,
    pub(super) templates: BTreeMap<(String, Option<String>), TemplateDisk>,
    pub(super) downloads: BTreeMap<String, PathBuf>,
    pub(super) backing: BTreeMap<PathBuf, Vec<PathBuf>>,
}

/// Where things are got to.
pub(super) struct To<'a> {
    /// Where downloads go.
    pub(super) folder: &'a Path,
    /// Whether those that have a place of their own go there.
    pub(super) may_place: bool,
    /// Who is noted as one who uses what is in the store.
    pub(super) user: Option<User>,
}

/// An image of which only a repository can say whether it has it.
pub(super) struct Open<'a> {
    pub(super) at: &'a Place,
    pub(super) name: &'a str,
    version: Option<&'a str>,
    /// Why this host does not know.
    pub(super) why: String,
    /// Templates that are known, for suggestions.
    known: Vec<String>,
}

/// The images of `spec` that cannot be had, and those of which that has to be asked; nobody is asked.
pub(super) fn unknown<'a>(host: &Host, spec: &'a EnvSpec) -> (Vec<PlanError>, Vec<Open<'a>>) {
    let (mut unknown, mut open) = (Vec::new(), Vec::new());
    for disk in spec.machines.iter().flat_map(|machine| &machine.disks) {
        let DiskSource::Template { name, version } = &disk.source else { continue };
        if let Some(recipe) = &disk.recipe {
            let bad = |error| PlanError::BadRecipe { at: disk.at.clone(), why: super::error::chain(&error) };
            unknown.extend(Recipe::load(recipe).err().map(bad));
            continue;
        }
        if is_ours(name, version.as_ref()) {
            continue;
        }
        let version = version.as_deref();
        let listed = host.templates.list().unwrap_or_default();
        let is_it =
            |id: &TemplateId| id.template == *name && version.is_none_or(|version| id.version == version);
        if listed.iter().any(|listed| is_it(&listed.id)) {
            continue;
        }
        let known = listed.into_iter().map(|listed| listed.id.template).collect();
        let why = "its repository has to be asked".to_owned();
        let one = Open { at: &disk.at, name, version, why, known };
        match host.templates.find_known(name, version) {
            Ok(Some(_)) => {}
            Ok(None) => open.push(one),
            Err(error) => {
                let why = super::error::chain(&error);
                match one.judge(error) {
                    Ok(error) => unknown.push(error),
                    Err(_) => open.push(Open { why, ..one }),
                }
            }
        }
    }
    (unknown, open)
}

impl Open<'_> {
    /// What is wrong, where `error` says that there is no such template; else it still is not known.
    fn judge(&self, error: TemplateError) -> Result<PlanError, TemplateError> {
        match error {
            TemplateError::NoRepo | TemplateError::UnknownTemplate { .. } => {
                Ok(plan::unknown_image(self.name, self.at, self.known.iter().map(String::as_str)))
            }
            TemplateError::UnknownVersion { template, version, hint, .. } => {
                let name = format!("{template}, version {version}");
                Ok(PlanError::Unknown { at: self.at.clone(), what: "template", name, help: hint })
            }
            error => Err(error),
        }
    }
}

/// Those of `open` that no repository has. Nothing is got for it but the repository's manifest.
pub(super) async fn ask(
    host: &Host,
    open: Vec<Open<'_>>,
    progress: &Progress,
) -> Result<Vec<PlanError>, EnvError> {
    let templates = telling(host, progress);
    let mut unknown = Vec::new();
    for one in open {
        if let Err(error) = templates.find(one.name, one.version).await {
            unknown.push(one.judge(error)?);
        }
    }
    Ok(unknown)
}

/// Whether a name can mean an image of ours.
fn is_ours(name: &str, version: Option<&String>) -> bool {
    version.is_none() && image::recipe(name).is_ok()
}

fn telling(host: &Host, progress: &Progress) -> Templates {
    let tell = progress.clone();
    host.templates.clone().telling(template::Progress::new(move |event| tell.say(&event.to_string())))
}

/// Gets everything `spec` names.
pub(super) async fn fetch(
    host: &Host,
    spec: &EnvSpec,
    to: &To<'_>,
    progress: &Progress,
) -> Result<Fetched, EnvError> {
    let templates = telling(host, progress);
    let user = to.user.as_ref();
    let mut got = Fetched {
        spec: spec.clone(),
        images: BTreeMap::new(),
        templates: BTreeMap::new(),
        downloads: BTreeMap::new(),
        backing: BTreeMap::new(),
    };
    for machine in &mut got.spec.machines {
        unpack(&templates, machine, to.folder).await?;
        for disk in &mut machine.disks {
            uncompress(&templates, disk, to.folder).await?;
        }
    }
    let disks: Vec<DiskSpec> = got.spec.machines.iter().flat_map(|m| m.disks.clone()).collect();
    for path in disks.iter().filter_map(|disk| disk.recipe.as_deref()) {
        of_file(host, path, &mut got, progress).await?;
    }
    for disk in &disks {
        let source = &disk.source;
        match source {
            DiskSource::Template { name, version } => {
                named(host, &templates, name, version.as_ref(), user, &mut got, progress).await?;
            }
            DiskSource::Qcow2 { path } => chain(&templates, path, user, &mut got).await?,
            DiskSource::File { path, url, .. } => {
                let path = match url {
                    Some(url) => download(&templates, url, path.as_deref(), to, &mut got).await?,
                    None => path.clone().unwrap_or_default(),
                };
                if disk.format == DiskFormat::Qcow2 {
                    chain(&templates, &path, user, &mut got).await?;
                }
            }
            DiskSource::Empty { .. } => {}
        }
    }
    // What was made from an image of ours is still run like it.
    let about = disks.iter().map(|disk| &disk.metadata).chain(got.templates.values().map(|t| &t.metadata));
    let recipes = host.images.recipes()?;
    let like = about.filter_map(|metadata| {
        let name = metadata.get(IMAGE_KEY)?.as_str()?;
        recipes.iter().find(|recipe| recipe.name == name)
    });
    for recipe in like.collect::<Vec<_>>() {
        ours(host, recipe, &mut got, progress).await?;
    }
    Ok(got)
}

/// The image or template of a name: repositories win, for what is theirs may be called like an image of ours.
async fn named(
    host: &Host,
    templates: &Templates,
    name: &str,
    version: Option<&String>,
    user: Option<&User>,
    got: &mut Fetched,
    progress: &Progress,
) -> Result<(), EnvError> {
    let key = (name.to_owned(), version.cloned());
    if got.images.contains_key(name) || got.templates.contains_key(&key) {
        return Ok(());
    }
    match templates.resolve(name, version.map(String::as_str), user).await {
        Ok(found) => drop(got.templates.insert(key, found)),
        Err(error) => {
            let theirs =
                || templates.list().is_ok_and(|all| all.iter().any(|listed| listed.id.template == name));
            match image::recipe(name) {
                // What cannot be asked cannot stand in the way of what it need not be asked for.
                Ok(recipe) if version.is_none() && !theirs() => {
                    if !matches!(error, TemplateError::NoRepo | TemplateError::UnknownTemplate { .. }) {
                        let why = super::error::chain(&error);
                        progress.warn(&format!("warning: taking the image `{name}` of our own: {why}"));
                    }
                    ours(host, recipe, got, progress).await?;
                }
                // That there is nothing of the name is the plan's to report, with everything else that is wrong.
                _ if matches!(error, TemplateError::NoRepo) => {}
                _ => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// An image of ours, built now if need be.
async fn ours(host: &Host, recipe: &Recipe, got: &mut Fetched, progress: &Progress) -> Result<(), EnvError> {
    if !got.images.contains_key(&recipe.name) {
        let tell = |text: &str| progress.say(text);
        got.images.insert(recipe.name.clone(), host.images.ensure(recipe, &host.lab, &tell).await?);
    }
    Ok(())
}

/// The image of a recipe that stands in a file, built now if need be.
async fn of_file(host: &Host, path: &Path, got: &mut Fetched, progress: &Progress) -> Result<(), EnvError> {
    let image = host.images.ensure_file(path, &host.lab, &|text| progress.say(text)).await?;
    let digest = image.digest.clone();
    match got.images.insert(image.name.clone(), image) {
        Some(other) if other.digest != digest => {
            let problem = format!("another file's image is called `{}`, too", other.name);
            Err(ImageError::RecipeFile { path: path.to_owned(), problem }.into())
        }
        _ => Ok(()),
    }
}

/// What an image lies over, where it names that.
async fn chain(
    templates: &Templates,
    image: &Path,
    user: Option<&User>,
    got: &mut Fetched,
) -> Result<(), EnvError> {
    let links = templates.ensure_chain(image, "qcow2", user).await?;
    let below = links.into_iter().skip(1).flat_map(|link| {
        let leads_to = link.path.canonicalize().ok().filter(|file| *file != link.path);
        leads_to.into_iter().chain([link.path])
    });
    got.backing.insert(image.to_owned(), below.collect());
    Ok(())
}

/// Downloads a file to where it is wanted, unless it is there; else into the folder for downloads.
async fn download(
    templates: &Templates,
    url: &str,
    path: Option<&Path>,
    to: &To<'_>,
    got: &mut Fetched,
) -> Result<PathBuf, EnvError> {
    if let Some(known) = got.downloads.get(url) {
        return Ok(known.clone());
    }
    let (folder, path) = (to.folder, path.filter(|path| to.may_place || path.exists()));
    let to = path.map_or_else(|| folder.join(place(url, "")), Path::to_owned);
    // What somebody has put where it is wanted is left alone.
    if path.is_none() || !to.exists() {
        let parent = to.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(file("make", parent))?;
        templates.download(url, &to).await?;
    }
    got.downloads.insert(url.to_owned(), to.clone());
    Ok(to)
}

/// Lets a disk whose image is only there compressed, as in an export, have the image itself.
async fn uncompress(templates: &Templates, disk: &mut DiskSpec, folder: &Path) -> Result<(), EnvError> {
    let (DiskSource::Qcow2 { path } | DiskSource::File { path: Some(path), url: None, .. }) =
        &mut disk.source
    else {
        return Ok(());
    };
    let packed = template::beside(path, ".xz");
    if path.exists() || !packed.is_file() {
        return Ok(());
    }
    let to = folder.join(place(&path.display().to_string(), &stamp(&packed)));
    std::fs::create_dir_all(folder).map_err(file("make", folder))?;
    templates.unpack(&packed, &template::beside(path, ".hash"), &to).await?;
    *path = to;
    Ok(())
}

/// What tells the file at a path from other ones that are or were there; nothing, where there is none.
fn stamp(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let about = |file: std::fs::Metadata| format!("{} {} {}", file.len(), file.mtime(), file.mtime_nsec());
    std::fs::metadata(path).map(about).unwrap_or_default()
}

/// A name for what comes from a URL or path: unique, and with what people know it by.
fn place(url: &str, stamp: &str) -> String {
    let digest = Sha256::new().chain_update(url).chain_update(stamp).finalize();
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let last = url.split(['?', '#']).next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    format!("{digest}-{}", last.chars().map(plain).collect::<String>())
}

/// Takes memory, processors and disks of a machine from its archive, if it has one.
async fn unpack(templates: &Templates, machine: &mut MachineSpec, folder: &Path) -> Result<(), EnvError> {
    let Some(source) = &machine.ova else { return Ok(()) };
    let local = Path::new(source.url.strip_prefix("file://").unwrap_or(&source.url));
    let into = folder.join(format!("ova-{}", place(&source.url, &stamp(local))));
    let ova = templates.import_ova(&source.url, &into).await?;
    machine.vcpus = ova.vcpus;
    machine.memory_mib = u32::try_from(ova.memory_mib).unwrap_or(u32::MAX);
    let mut disks = Vec::new();
    for (letter, disk) in ('a'..='z').zip(ova.disks) {
        disks.push(disk_of(machine, letter, disk)?);
    }
    // Those of the init file come behind, and make room.
    let taken: Vec<String> = disks.iter().map(|disk| disk.dev.clone()).collect();
    let asked = std::mem::take(&mut machine.disks);
    let free = ('a'..='z').map(|letter| format!("vd{letter}"));
    let mut free: Vec<String> =
        free.filter(|dev| !taken.contains(dev) && asked.iter().all(|disk| disk.dev != *dev)).collect();
    free.reverse();
    for mut disk in asked {
        if taken.contains(&disk.dev) {
            disk.dev = free.pop().unwrap_or(disk.dev);
        }
        disks.push(disk);
    }
    machine.disks = disks;
    Ok(())
}

fn disk_of(machine: &MachineSpec, letter: char, disk: OvaDisk) -> Result<DiskSpec, EnvError> {
    let odd = |error: String| {
        file("take a disk called so from the archive", &disk.path)(std::io::Error::other(error))
    };
    Ok(DiskSpec {
        name: disk.name.parse().map_err(|e| odd(format!("{e}")))?,
        at: machine.at.clone(),
        dev: format!("vd{letter}"),
        bus: None,
        serial: None,
        boot: None,
        format: DiskFormat::Qcow2,
        source: DiskSource::Qcow2 { path: disk.path.clone() },
        recipe: None,
        metadata: disk.metadata,
        build: Vec::new(),
        build_folder: PathBuf::new(),
        skip_export: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::id::MachineName,
        initfile,
        template::{
            Limits, Repo, TemplatesConfig,
            tests::{archives, content, one_image, qcow2, server::Server, sha1},
        },
    };

    #[test]
    fn downloads_have_names_of_their_own() {
        assert!(place("http://h/a%20b.qcow2?x=/y", "").ends_with("-a_20b.qcow2"));
        assert_ne!(place("http://h/a/disk.raw", ""), place("http://h/b/disk.raw", ""));
        assert_ne!(place("/h/disk.raw", "1 2"), place("/h/disk.raw", "1 3"));
        assert!(place("http://h/", "").ends_with('-'));
    }

    const FILE: &str = "
domains:
  a:
    disks:
      - {name: root, type: template, template_name: el, dev: vda, format: qcow2}
      - {name: data, type: file, url: 'URL/disk.raw', dev: vdb, format: raw}
  b: {type: ova, url: 'URL/b/vm.ova'}
  c: {type: ova, url: 'URL/c/vm.ova'}
nets: {lan: {type: nat, management: true}}
";

    /// As the init file says it, with everything in a folder of the test's.
    async fn get(dir: &Path, server: &Server) -> Result<Fetched, EnvError> {
        let text = FILE.replace("URL", &server.url(""));
        let spec =
            initfile::load_text(&dir.join("f"), &text, &initfile::Options::new(&|_| None)).unwrap().spec;
        let root = dir.display().to_string();
        let mut host = Host::from_env(&|name| name.ends_with("_DIR").then(|| root.clone())).unwrap();
        let config = TemplatesConfig {
            repo: Some(Repo::At(server.url("/repo.metadata"))),
            repos: dir.join("repos"),
            store: dir.join("store"),
            limits: Limits { attempts: 1, ..Limits::default() },
        };
        host.templates = Templates::new(config, |_| None, template::Progress::new(|_| {}));
        let to = To { folder: &dir.join("downloads"), may_place: true, user: None };
        fetch(&host, &spec, &to, &Progress::new(|_| {})).await
    }

    #[tokio::test]
    async fn everything_an_init_file_names_comes_from_a_server_once() {
        let dir = tempfile::tempdir().unwrap();
        let image = qcow2(&content(1, 300_000));
        let server = one_image("el.qcow2", &image, &image, &[]).await;
        server.put("/disk.raw", content(2, 100_000), &[]);
        server.put("/b/vm.ova", archives::machine(256), &[]);
        server.put("/c/vm.ova", archives::machine(512), &[]);
        let got = get(dir.path(), &server).await.unwrap();
        assert_eq!(got.templates[&("el".to_owned(), None)].id.to_string(), "corp:el:v1");
        let file = &got.downloads[&server.url("/disk.raw")];
        assert_eq!(std::fs::read(file).unwrap(), content(2, 100_000));
        // Each machine is the one of its own archive.
        let memory = |name: &str| {
            let name: MachineName = name.parse().unwrap();
            got.spec.machines.iter().find(|machine| machine.name == name).unwrap().memory_mib
        };
        assert_eq!((memory("b"), memory("c")), (256, 512));

        get(dir.path(), &server).await.unwrap();
        assert_eq!((server.asked("/disk.raw"), server.asked("/b/vm.ova")), (1, 1), "what is there is used");

        // Another file by now: its hash tells.
        server.put("/disk.raw", content(3, 100_000), &[]);
        server.put("/disk.raw.hash", sha1(&content(3, 100_000)), &[]);
        get(dir.path(), &server).await.unwrap();
        assert_eq!(std::fs::read(file).unwrap(), content(3, 100_000));
        server.put("/disk.raw.hash", sha1(&content(4, 100_000)), &[]);
        let error = get(dir.path(), &server).await.unwrap_err().to_string();
        assert!(error.contains("/disk.raw has the SHA-1 hash") && error.contains("is promised"), "{error}");
        assert_eq!(std::fs::read(file).unwrap(), content(3, 100_000), "what was there stays");
    }
}
