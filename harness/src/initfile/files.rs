//! Texts of an init file that name files of the host or places to download from: what stands in them for other text,
//! where relative paths start, and whether the files are there.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    expand,
    options::Surroundings,
    parse::{Node, Value},
    problems::Problems,
    reader::text,
    shape::shown,
    variables::Variables,
};

/// What is needed to find a file that an init file names.
pub(crate) struct Files<'a> {
    pub(crate) surroundings: &'a Surroundings<'a>,
    pub(crate) variables: &'a Variables,
}

impl Files<'_> {
    /// A file that is there; absolute.
    pub(crate) fn existing(&self, node: &Node, problems: &mut Problems) -> Option<PathBuf> {
        self.checked(node, self.surroundings.check_file, problems)
    }

    /// A disk image that is there, or is there with `.xz` after its name, as exports have it when they are compressed.
    pub(crate) fn existing_image(&self, node: &Node, problems: &mut Problems) -> Option<PathBuf> {
        let check = |path: &Path| {
            (self.surroundings.check_file)(path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    let mut packed = path.as_os_str().to_owned();
                    packed.push(".xz");
                    (self.surroundings.check_file)(Path::new(&packed)).map_err(|_| error)
                }
                _ => Err(error),
            })
        };
        self.checked(node, &check, problems)
    }

    fn checked(
        &self,
        node: &Node,
        check: &dyn Fn(&Path) -> io::Result<()>,
        problems: &mut Problems,
    ) -> Option<PathBuf> {
        let (path, help) = self.located(node, problems)?;
        match check(&path) {
            Ok(()) => Some(path),
            Err(error) => {
                let message = format!("cannot use the file {}: {error}", path.display());
                problems.add("init::bad-file", &node.span, message, help);
                None
            }
        }
    }

    /// A file that need not be there yet; absolute.
    pub(crate) fn path(&self, node: &Node, problems: &mut Problems) -> Option<PathBuf> {
        self.located(node, problems).map(|(path, _)| path)
    }

    /// A URL to download from.
    pub(crate) fn url(&self, node: &Node, problems: &mut Problems) -> Option<String> {
        let url = self.expanded(node, problems)?;
        let rest = ["http://", "https://", "file://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        if rest.is_none_or(|rest| {
            rest.is_empty() || rest.contains(|c: char| c.is_whitespace() || c.is_control())
        }) {
            let message = format!("this must be a URL, it is `{}`", shown(&url));
            let help = Some("begin with `http://`, `https://` or `file://`".to_owned());
            problems.add("init::bad-url", &node.span, message, help);
            return None;
        }
        Some(url)
    }

    /// A URL, or a file that is there.
    pub(crate) fn url_or_file(&self, node: &Node, problems: &mut Problems) -> Option<String> {
        if text(node)?.contains("://") {
            return self.url(node, problems);
        }
        self.existing(node, problems).map(|path| path.to_string_lossy().into_owned())
    }

    /// A document that stands in the init file, if it looks like one, or else in a file that is named.
    pub(crate) fn document(
        &self,
        node: &Node,
        looks_like_one: &dyn Fn(&str) -> bool,
        problems: &mut Problems,
    ) -> Option<String> {
        let text = text(node)?;
        if looks_like_one(text) {
            return Some(text.to_owned());
        }
        let (path, help) = self.located(node, problems)?;
        match (self.surroundings.read_file)(&path) {
            Ok(text) => Some(text),
            Err(error) => {
                let message = format!("cannot read the file {}: {error}", path.display());
                problems.add("init::bad-file", &node.span, message, help);
                None
            }
        }
    }

    /// Where a path leads, and what to say if that is wrong.
    fn located(&self, node: &Node, problems: &mut Problems) -> Option<(PathBuf, Option<String>)> {
        let expanded = self.expanded(node, problems)?;
        let folder = problems.folder(node.span.file);
        let relative = Path::new(&expanded).is_relative();
        let help = relative.then(|| format!("a relative path starts at {}", folder.display()));
        Some((folder.join(&expanded), help))
    }

    /// The text with the values of variables: the file's own and the environment's.
    fn expanded(&self, node: &Node, problems: &mut Problems) -> Option<String> {
        let written = match node.value() {
            Value::Scalar { raw: Some(raw), .. } => raw,
            _ => text(node)?,
        };
        let lookup = |name: &str| match name {
            "LAGO_INITFILE_PATH" | "POLDER_INITFILE_PATH" => {
                Some(self.surroundings.folder.to_string_lossy().into_owned())
            }
            _ => match self.variables.get(name) {
                Some(value) => Some(value.to_owned()),
                None => (self.surroundings.options.env)(name),
            },
        };
        match expand::variables(written, &lookup) {
            Ok(expanded) => Some(expanded),
            Err(errors) => {
                let span = &node.span;
                errors.into_iter().for_each(|why| problems.add("init::unset-variable", span, why, None));
                None
            }
        }
    }
}
