//! Where files of the host are for the emulator.

use std::path::{Component, Path, PathBuf};

use super::model::BackingFile;
use crate::lab::{Bind, View};

/// Files of the host that machines use, besides those in the stores.
pub(super) struct Files<'a> {
    view: &'a View,
    binds: Vec<Bind>,
}

impl<'a> Files<'a> {
    pub(super) fn new(view: &'a View) -> Self {
        Self { view, binds: Vec::new() }
    }

    pub(super) fn binds(self) -> Vec<Bind> {
        self.binds
    }

    /// Where `file` is for the emulator, and with it everything it lies over.
    pub(super) fn add(&mut self, file: &Path, backing: &[BackingFile]) -> PathBuf {
        let Some(folder) = &self.view.files else { return file.to_owned() };
        if let Some(bind) = self.binds.iter().find(|bind| bind.from == file) {
            return bind.to.clone();
        }
        // A folder of its own, in which what it lies over can have the name it is called by; the file's name is for
        // people. Odd characters mean something to some emulator option.
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = name.replace(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')), "_");
        let to = folder.join(self.binds.len().to_string()).join(name);
        self.bind(file, &to);
        self.bind_backing(&to, backing);
        to
    }

    /// Makes everything an image at `inside` lies over be where the images say.
    pub(super) fn bind_backing(&mut self, inside: &Path, backing: &[BackingFile]) {
        if self.view.files.is_none() {
            return;
        }
        let mut above = inside.to_owned();
        for next in backing {
            above = joined(above.parent().unwrap_or(Path::new("/")), &next.named);
            self.bind(&next.file, &above.clone());
        }
    }

    fn bind(&mut self, from: &Path, to: &Path) {
        if !self.binds.iter().any(|bind| bind.to == to) {
            self.binds.push(Bind { from: from.to_owned(), to: to.to_owned(), writable: false });
        }
    }
}

/// `path` as seen from `folder`, without `.` and `..`: links are not followed, for these are places that are yet to be.
fn joined(folder: &Path, path: &Path) -> PathBuf {
    let mut joined = PathBuf::new();
    for component in folder.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(joined.pop()),
            other => joined.push(other),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backing(named: &str, file: &str) -> BackingFile {
        BackingFile { named: named.into(), file: file.into() }
    }

    #[test]
    fn what_an_image_lies_over_is_where_the_image_says() {
        let view = View::hermetic();
        let mut files = Files::new(&view);
        let chain = [
            backing("b.qcow2", "/x/b.qcow2"),
            backing("../up/c.raw", "/up/c.raw"),
            backing("/var/lib/d", "/var/lib/d"),
        ];
        let inside = files.add(Path::new("/x/a b.qcow2"), &chain);
        assert_eq!(inside, Path::new("/run/polder/files/0/a_b.qcow2"));
        assert_eq!(files.add(Path::new("/x/a b.qcow2"), &chain), inside, "once");
        files.add(Path::new("/y/b.qcow2"), &[]);
        let shown: Vec<_> =
            files.binds().iter().map(|b| format!("{} {}", b.from.display(), b.to.display())).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        /x/a b.qcow2 /run/polder/files/0/a_b.qcow2
        /x/b.qcow2 /run/polder/files/0/b.qcow2
        /up/c.raw /run/polder/files/up/c.raw
        /var/lib/d /var/lib/d
        /y/b.qcow2 /run/polder/files/4/b.qcow2
        ");
    }

    #[test]
    fn where_paths_are_those_of_the_host_nothing_is_bound() {
        let view = View::host(Path::new("/e"), Path::new("/i"), Path::new("/t"));
        let mut files = Files::new(&view);
        assert_eq!(files.add(Path::new("/x/a"), &[backing("b", "/x/b")]), Path::new("/x/a"));
        assert!(files.binds().is_empty());
    }
}
