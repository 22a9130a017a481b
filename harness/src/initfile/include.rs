//! An init file with everything it includes, as one tree.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
};

use super::{
    expand,
    merge::lay,
    options::Surroundings,
    parse::{Node, Value, tree},
    problems::Problems,
    reader::Fields,
};

/// How many files may make up one init file.
const MOST_FILES: usize = 64;

/// The tree of the init file laid over those of the files it includes; `None` when one of them cannot be had, the reason
/// then being among `problems`.
pub(crate) fn whole(
    origin: &Path,
    text: &str,
    surroundings: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<Node> {
    let file = problems.source(origin.to_owned(), surroundings.folder.to_owned(), text);
    let path = plain(&surroundings.folder.join(origin.file_name().unwrap_or_default()));
    let mut reading = Reading { surroundings, problems, files: 1, done: HashMap::new(), open: vec![path] };
    reading.with_includes(file)
}

struct Reading<'a, 'p> {
    surroundings: &'a Surroundings<'a>,
    problems: &'p mut Problems,
    files: usize,
    /// Files that have been read, with what they include.
    done: HashMap<PathBuf, Option<Node>>,
    /// Files that are being read, each included by the one before.
    open: Vec<PathBuf>,
}

impl Reading<'_, '_> {
    fn with_includes(&mut self, file: usize) -> Option<Node> {
        let root = tree(file, self.problems)?;
        let Some(own) = without_include(&root) else {
            return Some(root);
        };
        let mut below: Option<Node> = None;
        let mut complete = true;
        for item in Fields::of(&root).texts("include") {
            match (self.included(item), &below) {
                (Some(node), Some(base)) => below = Some(lay(base, &node)),
                (Some(node), None) => below = Some(node),
                (None, _) => complete = false,
            }
        }
        let whole = below.map_or_else(|| own.clone(), |base| lay(&base, &own));
        complete.then_some(whole)
    }

    fn included(&mut self, item: &Node) -> Option<Node> {
        let given = self.path(item)?;
        let path = plain(&self.problems.folder(item.span.file).join(&given));
        if self.open.contains(&path) {
            let chain = self.open.iter().skip_while(|open| **open != path).chain([&path]);
            let chain: Vec<String> = chain.map(|p| p.display().to_string()).collect();
            let message = format!("`{}` includes itself", given.display());
            self.problems.add("init::include-cycle", &item.span, message, Some(chain.join(" -> ")));
            return None;
        }
        if let Some(done) = self.done.get(&path) {
            return done.clone();
        }
        if self.files == MOST_FILES {
            let message = format!("more than {MOST_FILES} files are included");
            self.problems.add("init::too-many-files", &item.span, message, None);
            return None;
        }
        self.files += 1;
        let text = match (self.surroundings.read_file)(&path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("cannot include {}: {error}", path.display());
                let folder = self.problems.folder(item.span.file).display();
                let help = given.is_relative().then(|| format!("a relative path starts at {folder}"));
                self.problems.add("init::bad-include", &item.span, message, help);
                return None;
            }
        };
        // Named as a person standing where the including file's name starts would name it.
        let beside = self.problems.name(item.span.file).parent().unwrap_or(Path::new(""));
        let name = beside.join(&given);
        let folder = path.parent().unwrap_or(&path).to_owned();
        let file = self.problems.source(name, folder, &text);
        self.open.push(path.clone());
        let node = self.with_includes(file).filter(|node| self.is_mapping(node));
        self.open.pop();
        self.done.insert(path, node.clone());
        node
    }

    /// Where an item of `include` points: variables of the environment may stand in it, those of the file not yet.
    fn path(&mut self, item: &Node) -> Option<PathBuf> {
        let options = &self.surroundings.options;
        let lookup = |name: &str| match name {
            "LAGO_INITFILE_PATH" => Some(self.surroundings.folder.to_string_lossy().into_owned()),
            _ => options.variables.get(name).cloned().or_else(|| (options.env)(name)),
        };
        match expand::variables(item.text(), &lookup) {
            Ok(text) => Some(PathBuf::from(text)),
            Err(errors) => {
                for why in errors {
                    self.problems.add("init::unset-variable", &item.span, why, None);
                }
                None
            }
        }
    }

    fn is_mapping(&mut self, node: &Node) -> bool {
        let is = matches!(node.value(), Value::Map(_));
        if !is {
            let message = format!("an included file must be a mapping, this is {}", node.kind());
            self.problems.add("init::wrong-kind", &node.span, message, None);
        }
        is
    }
}

/// What a file with a usable `include` says itself.
fn without_include(root: &Node) -> Option<Node> {
    let Value::Map(entries) = root.value() else {
        return None;
    };
    if Fields::of(root).texts("include").is_empty() {
        return None;
    }
    let own = entries.iter().filter(|(key, _)| key.text() != "include").cloned();
    Some(Node::new(root.span, Value::Map(own.collect())))
}

/// A path without `.` and `..`, so that one file has one name as far as that can be told from names.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            _ => plain.push(part),
        }
    }
    plain
}
