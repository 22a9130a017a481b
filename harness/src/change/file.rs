//! The doors to files of changes: from a path, or from a text that is already there, to changes; and from ModiPy's XML to
//! YAML that says the same.

use std::{
    env, fs, io,
    path::{self, Path, PathBuf},
};

use super::{
    check::check,
    cond::Dialect,
    model::Changes,
    read::{Around, changes},
    text::Vars,
    xml, yaml,
};
use crate::initfile::{self, Diagnostic, Node, Problems, Span};

/// What names of variables of the environment begin with that are variables of changes.
const VARIABLE: &str = "POLDER_VAR_";

/// What is said beside a file of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// The variables with the least say.
    pub environment: Vars,
    /// Variables instead of those of the same names that the file has for everything.
    pub set: Vars,
    /// How the file is meant, whatever it says itself.
    pub dialect: Option<Dialect>,
    /// The rows of the machines of an environment, or why there are none; absent: there is no environment.
    pub machines: Option<Result<Vec<Vars>, String>>,
}

/// What a file of changes was read to.
#[derive(Debug)]
pub struct Loaded {
    /// The changes; they can be planned.
    pub changes: Changes,
    /// What is worth knowing about the file.
    pub warnings: Vec<Diagnostic>,
}

/// Why there are no changes from a file.
#[derive(Debug, thiserror::Error)]
pub enum ChangeFileError {
    /// It could not be read.
    #[error("cannot read the file of changes {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Everything that is wrong with it, and its warnings, in the file's order; never without an error.
    #[error("{}", .0.iter().map(Diagnostic::line).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Diagnostic>),
}

/// Reads and checks a file of changes in YAML, JSON or ModiPy's XML, and the files that it names. `environment` has the
/// variables with the least say.
///
/// # Errors
/// When the file cannot be read, or with everything that is wrong with it.
pub fn load(path: &Path, environment: &Vars) -> Result<Loaded, ChangeFileError> {
    Given { environment: environment.clone(), ..Given::default() }.load(path)
}

impl Given {
    /// What this process's environment has for variables of changes.
    pub(crate) fn variables() -> Vars {
        let all = env::vars_os().filter_map(|(name, value)| {
            let name = name.to_str()?.strip_prefix(VARIABLE)?.to_owned();
            Some((name, value.into_string().ok()?))
        });
        all.collect()
    }

    /// The same for a text that was in the file `path` (absolute).
    ///
    /// # Errors
    /// Those of [`parse`].
    pub(crate) fn text(&self, path: &Path, text: &str) -> Result<Loaded, ChangeFileError> {
        self.parse(path, path.parent().unwrap_or(path), text, &|path| fs::read_to_string(path))
    }

    /// [`load`] with all of this.
    ///
    /// # Errors
    /// Those of [`load`].
    pub fn load(&self, path: &Path) -> Result<Loaded, ChangeFileError> {
        let (folder, text) = opened(path)?;
        let read = |path: &Path| fs::read_to_string(path);
        self.parse(path, &folder, &text, &read)
    }

    fn parse(
        &self,
        origin: &Path,
        folder: &Path,
        text: &str,
        read: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Loaded, ChangeFileError> {
        let mut problems = Problems::new(false);
        let root = tree(origin, folder, text, self.dialect, read, &mut problems);
        let changes = root.map(|root| changes(&root, &Around { given: self, read }, &mut problems));
        if let Some(changes) = changes.as_ref().filter(|_| !problems.any_error()) {
            check(changes, self, &mut problems);
        }
        let failed = problems.any_error();
        let found = problems.take();
        match changes.filter(|_| !failed) {
            Some(changes) => Ok(Loaded { changes, warnings: found }),
            None => Err(ChangeFileError::Invalid(found)),
        }
    }
}

/// Checks the text of a file of changes. `origin` is how messages name it, `folder` where its relative paths start, and
/// `read` tells what files hold.
///
/// # Errors
/// With everything that is wrong with it.
pub fn parse(
    origin: &Path,
    folder: &Path,
    text: &str,
    environment: &Vars,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Loaded, ChangeFileError> {
    Given { environment: environment.clone(), ..Given::default() }.parse(origin, folder, text, read)
}

/// ModiPy's XML, with the files that it includes, as YAML that is read to the same changes.
///
/// # Errors
/// When the file cannot be read, or with everything that is wrong with it as XML. What it says is not checked.
pub fn to_yaml(path: &Path) -> Result<String, ChangeFileError> {
    let (folder, text) = opened(path)?;
    let read = |path: &Path| fs::read_to_string(path);
    converted(path, &folder, &text, &read)
}

pub(super) fn converted(
    origin: &Path,
    folder: &Path,
    text: &str,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<String, ChangeFileError> {
    let mut problems = Problems::new(false);
    let root = tree(origin, folder, text, None, read, &mut problems);
    match root.filter(|_| !problems.any_error()) {
        Some(root) => Ok(yaml::write(&root)),
        None => Err(ChangeFileError::Invalid(problems.take())),
    }
}

fn opened(path: &Path) -> Result<(PathBuf, String), ChangeFileError> {
    let unreadable = |source| ChangeFileError::Unreadable { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let absolute = path::absolute(path).map_err(unreadable)?;
    Ok((absolute.parent().unwrap_or(&absolute).to_owned(), text))
}

/// What begins with `<` is XML, anything else YAML, of which JSON is a part.
fn tree(
    origin: &Path,
    folder: &Path,
    text: &str,
    dialect: Option<Dialect>,
    read: &dyn Fn(&Path) -> io::Result<String>,
    problems: &mut Problems,
) -> Option<Node> {
    let file = problems.source(origin.to_owned(), folder.to_owned(), text);
    let text = problems.text(file).trim_start();
    if text.is_empty() {
        let help = Some("a file of changes has at least the keys `version` and `scenario`".to_owned());
        problems.add("cfg.parse", &Span::start_of(file), "the file is empty".to_owned(), help);
        return None;
    }
    if text.starts_with('<') {
        xml::tree(file, dialect, read, problems)
    } else {
        initfile::tree(file, problems)
    }
}
