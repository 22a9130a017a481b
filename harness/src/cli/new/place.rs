//! Where a suite is to be: what there is of packages, workspaces and repositories around. Looks and changes nothing.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::{
    error::{NewError, at},
    manifest,
    name::Name,
};

/// Of packages.
pub(super) const MANIFEST: &str = "Cargo.toml";

/// What is around a new suite.
#[derive(Debug)]
pub(in crate::cli) struct Ground {
    /// The folder of its package.
    pub(super) package: PathBuf,
    /// The manifest of that, if it is there.
    pub(super) manifest: Option<String>,
    /// The workspace that the package is in, if it is new: folder and manifest.
    pub(super) workspace: Option<(PathBuf, String)>,
    /// Where CI services look for what is to be done.
    pub(super) root: PathBuf,
}

impl Ground {
    /// The folder of the suite's package.
    pub(in crate::cli) fn folder(&self) -> &Path {
        &self.package
    }

    /// In the package in `folder`, if one is there, else in a new one.
    ///
    /// # Errors
    /// A manifest cannot be read, or is none.
    pub(in crate::cli) fn look(folder: &Path, name: &Name) -> Result<Self, NewError> {
        let here = fs::canonicalize(folder).map_err(at("find", folder))?;
        let mut workspace = None;
        for folder in here.ancestors() {
            let path = folder.join(MANIFEST);
            let Some(text) = there(&path)? else { continue };
            let (is_package, is_workspace) =
                manifest::kind(&text).map_err(|why| NewError::Manifest { path, why })?;
            if is_package && folder == here {
                let root = root(&here, if is_workspace { Some(&here) } else { above(&here) });
                return Ok(Self { package: here, manifest: Some(text), workspace: None, root });
            }
            if is_workspace {
                workspace = Some((folder.to_owned(), text));
                break;
            }
        }
        let package = here.join(name.to_string());
        let root =
            root(&here, workspace.as_ref().map_or(Some(package.as_path()), |(folder, _)| Some(folder)));
        Ok(Self { package, manifest: None, workspace, root })
    }
}

/// The text of a file, if it is there.
fn there(path: &Path) -> Result<Option<String>, NewError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(at("read", path)(error)),
    }
}

/// Where the library comes from that a suite is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Library {
    /// From crates.io, of this version.
    Version(&'static str),
    /// From the folder of its package.
    Folder(PathBuf),
    /// From this commit of a repository.
    Commit { repository: String, commit: String },
}

impl Library {
    /// What is at `path`: the package, or a checkout of its repository.
    ///
    /// # Errors
    /// [`NewError::NotPolder`].
    pub(in crate::cli) fn at(path: &Path) -> Result<Self, NewError> {
        let folders = [path.to_owned(), path.join("harness")];
        let found = folders.into_iter().find(|folder| is_polder(folder));
        let found = found.and_then(|folder| fs::canonicalize(folder).ok());
        found.map(Self::Folder).ok_or_else(|| NewError::NotPolder(path.to_owned()))
    }

    /// What this command was made of: a build that still lies in its checkout is of that, and of one that cargo installed cargo
    /// has noted it. Any other is of what was published.
    pub(in crate::cli) fn of_command() -> Self {
        let own = std::env::current_exe().unwrap_or_default();
        let above = own.ancestors().skip(1).find_map(|folder| Self::at(folder).ok());
        let installed = || {
            let notes = own.ancestors().nth(2)?.join(".crates.toml");
            Self::noted(&fs::read_to_string(notes).ok()?)
        };
        above.or_else(installed).unwrap_or(Self::Version(env!("CARGO_PKG_VERSION")))
    }

    /// Where cargo took the command from that it installed, by its notes; nothing for what was published.
    fn noted(notes: &str) -> Option<Self> {
        let notes: toml::Table = notes.parse().ok()?;
        let own = format!("polder {} (", env!("CARGO_PKG_VERSION"));
        let mut sources = notes.get("v1")?.as_table()?.keys().filter_map(|key| key.strip_prefix(&own));
        let source = sources.next()?.strip_suffix(')')?;
        if let Some(folder) = source.strip_prefix("path+file://") {
            return Self::at(Path::new(&*percent_encoding::percent_decode_str(folder).decode_utf8().ok()?))
                .ok();
        }
        let (repository, commit) = source.strip_prefix("git+")?.rsplit_once('#')?;
        let repository = repository.split('?').next().unwrap_or_default().to_owned();
        Some(Self::Commit { repository, commit: commit.to_owned() })
    }

    /// Whether a clone of the repository that the suite is in has it, or the network.
    pub(in crate::cli) fn is_had_with(&self, ground: &Ground) -> bool {
        !matches!(self, Self::Folder(folder) if !folder.starts_with(&ground.root))
    }

    /// What stands after `polder = ` in the manifest of a package in the folder `package`.
    pub(super) fn source(&self, package: &Path) -> String {
        match self {
            Self::Version(version) => format!("{version:?}"),
            Self::Folder(folder) => {
                format!("{{ path = {} }}", toml::Value::from(relative(package, folder).display().to_string()))
            }
            Self::Commit { repository, commit } => {
                let [git, rev] = [repository, commit].map(|text| toml::Value::from(text.as_str()));
                format!("{{ git = {git}, rev = {rev} }}")
            }
        }
    }
}

fn is_polder(folder: &Path) -> bool {
    let Ok(text) = fs::read_to_string(folder.join(MANIFEST)) else { return false };
    let Ok(table) = text.parse::<toml::Table>() else { return false };
    table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str)
        == Some("polder")
}

/// The folder of the repository that `folder` is in, or else `other`.
fn root(folder: &Path, other: Option<&Path>) -> PathBuf {
    let repository = folder.ancestors().find(|folder| folder.join(".git").exists());
    repository.or(other).unwrap_or(folder).to_owned()
}

/// The workspace that a package is in.
fn above(package: &Path) -> Option<&Path> {
    let is_workspace = |folder: &&Path| {
        let text = fs::read_to_string(folder.join(MANIFEST)).ok();
        text.is_some_and(|text| manifest::kind(&text).is_ok_and(|(_, workspace)| workspace))
    };
    package.ancestors().skip(1).find(is_workspace)
}

/// `to` as seen from the folder `from`; both absolute.
pub(in crate::cli) fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from.iter().skip(common).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to.into_iter().skip(common)).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_as_seen_from_a_folder() {
        for (from, to, expected) in [
            ("/a/b", "/a/b/c", "c"),
            ("/a/b", "/a/b", "."),
            ("/a/b/tests", "/a/LagoInitFile", "../../LagoInitFile"),
            ("/a", "/b", "../b"),
        ] {
            assert_eq!(relative(Path::new(from), Path::new(to)), Path::new(expected));
        }
    }

    #[test]
    fn a_suite_goes_where_one_stands() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        let name: Name = "web".parse().unwrap();
        let look = |folder: &str| Ground::look(&top.join(folder), &name).unwrap();
        let write = |path: &str, text: &str| {
            fs::create_dir_all(top.join(path).parent().unwrap()).unwrap();
            fs::write(top.join(path), text).unwrap();
        };
        // Nothing around.
        let alone = look("");
        assert_eq!((&alone.package, &alone.root), (&top.join("web"), &top.join("web")));
        assert!(alone.manifest.is_none() && alone.workspace.is_none());
        // A package without a workspace, and below it.
        write("p/Cargo.toml", "[package]\nname = \"p\"\n");
        write("p/sub/x", "");
        let (inside, below) = (look("p"), look("p/sub"));
        assert_eq!((&inside.package, &inside.root), (&top.join("p"), &top.join("p")));
        assert!(inside.manifest.is_some() && below.manifest.is_none() && below.workspace.is_none());
        assert_eq!(below.package, top.join("p/sub/web"));
        // A workspace around both.
        write("Cargo.toml", "[workspace]\n");
        let (new, inside) = (look(""), look("p"));
        assert_eq!((new.workspace.unwrap().0, new.root), (top.clone(), top.clone()));
        assert_eq!((inside.package, inside.root), (top.join("p"), top.clone()));
        // A repository around a part of it.
        fs::create_dir(top.join("p/.git")).unwrap();
        assert_eq!((look("p").root, look("p/sub").root), (top.join("p"), top.join("p")));
        write("bad/Cargo.toml", "[package\n");
        let error = Ground::look(&top.join("bad"), &name).unwrap_err().to_string();
        assert!(error.contains("bad/Cargo.toml: this is no manifest"), "{error}");
    }

    #[test]
    fn a_library_is_named_by_its_version_or_its_folder() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap();
        let workspace = package.parent().unwrap();
        for path in [&package, &workspace.to_owned()] {
            assert_eq!(Library::at(path).unwrap(), Library::Folder(package.clone()));
        }
        let error = Library::at(&workspace.join("macros")).unwrap_err().to_string();
        assert!(error.starts_with("--path: ") && error.contains("macros is neither"), "{error}");
        assert_eq!(Library::Version("1.2.3").source(Path::new("/x")), "\"1.2.3\"");
        let folder = Library::Folder("/a/it's/h".into());
        let ground =
            |root: &str| Ground { package: "/x".into(), manifest: None, workspace: None, root: root.into() };
        assert!(folder.is_had_with(&ground("/a")) && !folder.is_had_with(&ground("/a/it")));
        assert_eq!(folder.source(Path::new("/a/b")), "{ path = \"../it's/h\" }");
    }

    #[test]
    fn an_installed_command_is_of_what_cargo_has_noted() {
        let noted = |source: &str| {
            let notes = format!(
                "[v1]\n\"ripgrep 14.1.0 (registry+https://example.org/index)\" = [\"rg\"]\n\
                 \"polder {} ({source})\" = [\"polder\"]\n",
                env!("CARGO_PKG_VERSION")
            );
            Library::noted(&notes).map(|library| library.source(Path::new("/x")))
        };
        let commit = Some("{ git = \"https://example.org/polder\", rev = \"0a1b2c\" }".to_owned());
        assert_eq!(noted("git+https://example.org/polder#0a1b2c"), commit);
        assert_eq!(noted("git+https://example.org/polder?branch=x#0a1b2c"), commit);
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().unwrap();
        let folder = Library::Folder(own.clone()).source(Path::new("/x"));
        assert_eq!(noted(&format!("path+file://{}", own.display())), Some(folder));
        for odd in
            ["registry+https://example.org/index", "path+file:///nowhere", "git+https://example.org", ""]
        {
            assert_eq!(noted(odd), None, "{odd}");
        }
        for odd in
            ["", "[v1\n", "v1 = 1\n", "[v1]\n\"polder\" = []\n", "[v1]\n\"polder 9.9.9 (git+x#y)\" = []\n"]
        {
            assert_eq!(Library::noted(odd), None, "{odd}");
        }
    }
}
