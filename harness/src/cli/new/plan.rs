//! Which files a new suite takes, and what is in them. Decides and does nothing.

use std::path::{Path, PathBuf};

use super::{
    ci::Ci,
    error::NewError,
    manifest,
    name::Name,
    place::{Ground, Library, MANIFEST, relative},
    suite::{self, Described},
};

/// What is asked for.
#[derive(Debug)]
pub(in crate::cli) struct Wanted {
    pub(in crate::cli) name: Name,
    pub(in crate::cli) library: Library,
    /// An init file that there is; else it gets one.
    pub(in crate::cli) from: Option<Described>,
    pub(in crate::cli) ci: Vec<Ci>,
}

/// What becomes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is the suite's own.
    Own,
    /// It may be there already, and stays as it is then.
    Shared,
    /// It is there, with this text, and replaced.
    Changed(String),
}

/// A file with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// Files in the order in which they are written: whatever is there when that is cut short, calling it again goes on.
#[derive(Debug)]
pub(in crate::cli) struct Plan {
    /// The folder of the package.
    pub(super) package: PathBuf,
    pub(super) entries: Vec<Entry>,
}

/// Decides which files.
///
/// # Errors
/// A manifest that there is cannot be changed without a person.
pub(in crate::cli) fn plan(ground: &Ground, wanted: &Wanted) -> Result<Plan, NewError> {
    let Wanted { name, library, from, ci } = wanted;
    let package = &ground.package;
    let tests = package.join("tests");
    let mut entries = Vec::new();
    let mut add = |path: PathBuf, text: String, kind| entries.push(Entry { path, text, kind });
    let project = relative(&ground.root, package).display().to_string();
    for (path, text) in ci.iter().filter_map(|ci| ci.file(&project, name)) {
        add(ground.root.join(path), text, Kind::Shared);
    }
    let named = |text: &str| text.replace("hello", &name.to_string());
    let source = library.source(package);
    if ground.manifest.is_none() {
        add(package.join("README.md"), named(include_str!("README.md")), Kind::Shared);
        if ground.workspace.is_none() {
            add(package.join(".gitignore"), include_str!("gitignore").to_owned(), Kind::Shared);
        }
        let text = named(include_str!("package.toml")).replace("\"*\"", &source);
        add(package.join(MANIFEST), text, Kind::Own);
    }
    let suite = match from {
        Some(given) => suite::described(name, given, &relative(&tests, &given.file)),
        None => {
            let (suite, init_file) = suite::hello(name);
            add(tests.join(format!("{name}.yaml")), init_file, Kind::Own);
            suite
        }
    };
    add(tests.join(format!("{name}.rs")), suite, Kind::Own);
    let changed = |folder: &Path, old: &str, new: Result<Option<String>, String>| {
        let path = folder.join(MANIFEST);
        match new {
            Ok(new) => Ok(new.map(|text| Entry { path, text, kind: Kind::Changed(old.to_owned()) })),
            Err(why) => Err(NewError::Manifest { path, why }),
        }
    };
    if let Some(old) = &ground.manifest {
        entries.extend(changed(package, old, manifest::with_suite(old, &name.to_string(), &source))?);
    }
    if let Some((folder, old)) = &ground.workspace {
        let member = relative(folder, package).display().to_string();
        entries.extend(changed(folder, old, manifest::with_member(old, &member))?);
    }
    Ok(Plan { package: package.clone(), entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(ground: &Ground, ci: &[Ci]) -> Vec<(String, Kind)> {
        let name = "web".parse().unwrap();
        let wanted = Wanted { name, library: Library::Version("0.1.0"), from: None, ci: ci.to_vec() };
        let plan = plan(ground, &wanted).unwrap();
        plan.entries.into_iter().map(|entry| (entry.path.display().to_string(), entry.kind)).collect()
    }

    #[test]
    fn a_new_package_has_everything_and_one_that_is_there_what_it_lacks() {
        let ground = Ground { package: "/r/web".into(), manifest: None, workspace: None, root: "/r".into() };
        let own = |path: &str| (path.to_owned(), Kind::Own);
        let shared = |path: &str| (path.to_owned(), Kind::Shared);
        let suite = |package: &str| {
            [own(&format!("{package}/tests/web.yaml")), own(&format!("{package}/tests/web.rs"))]
        };
        let mut all = vec![shared("/r/.github/workflows/polder.yml"), shared("/r/.gitlab-ci.yml")];
        all.extend([shared("/r/web/README.md"), shared("/r/web/.gitignore"), own("/r/web/Cargo.toml")]);
        all.extend(suite("/r/web"));
        assert_eq!(planned(&ground, &[Ci::Github, Ci::Gitlab]), all);

        let old = "[workspace]\nmembers = []\n".to_owned();
        let member = Ground { workspace: Some(("/r".into(), old.clone())), ..ground };
        let mut all = vec![shared("/r/web/README.md"), own("/r/web/Cargo.toml")];
        all.extend(suite("/r/web"));
        all.push(("/r/Cargo.toml".to_owned(), Kind::Changed(old)));
        assert_eq!(planned(&member, &[Ci::None]), all);

        let old = "[package]\nname = \"p\"\n".to_owned();
        let there = Ground {
            package: "/r/p".into(),
            manifest: Some(old.clone()),
            workspace: None,
            root: "/r".into(),
        };
        let mut all = vec![shared("/r/Jenkinsfile")];
        all.extend(suite("/r/p"));
        all.push(("/r/p/Cargo.toml".to_owned(), Kind::Changed(old)));
        assert_eq!(planned(&there, &[Ci::Jenkins]), all);
    }
}
