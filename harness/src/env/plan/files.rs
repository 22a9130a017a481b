//! Where files of the host are for the emulator.

use std::path::{Path, PathBuf};

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
    pub(super) fn add(&mut self, file: &Path, backing: &[PathBuf]) -> PathBuf {
        let Some(folder) = &self.view.files else { return file.to_owned() };
        if let Some(bind) = self.binds.iter().find(|bind| bind.from == file) {
            return bind.to.clone();
        }
        if !backing.is_empty() {
            // Images name what they lie over, by whole paths or as seen from where they are: all stay where they are.
            backing.iter().map(PathBuf::as_path).chain([file]).for_each(|file| self.bind(file, file));
            return file.to_owned();
        }
        // The number makes it unique, the name is for people; odd characters mean something to some emulator option.
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let name = name.replace(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')), "_");
        let to = folder.join(format!("{}-{name}", self.binds.len()));
        self.bind(file, &to);
        to
    }

    fn bind(&mut self, from: &Path, to: &Path) {
        if !self.binds.iter().any(|bind| bind.to == to) {
            self.binds.push(Bind { from: from.to_owned(), to: to.to_owned(), writable: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_lies_over_is_where_the_image_says() {
        let view = View::hermetic();
        let mut files = Files::new(&view);
        let layer = Path::new("/x/a b.qcow2");
        let chain = ["/x/b.qcow2".into(), "/var/lib/c".into()];
        assert_eq!(files.add(layer, &chain), layer);
        assert_eq!(files.add(layer, &chain), layer, "once");
        assert_eq!(files.add(Path::new("/y/b c.raw"), &[]), Path::new("/run/polder/files/3-b_c.raw"));
        let bound: Vec<_> = files.binds().iter().map(|bind| bind.to.display().to_string()).collect();
        assert_eq!(bound, ["/x/b.qcow2", "/var/lib/c", "/x/a b.qcow2", "/run/polder/files/3-b_c.raw"]);
    }

    #[test]
    fn where_paths_are_those_of_the_host_nothing_is_bound() {
        let view = View::host(Path::new("/e"), Path::new("/i"), Path::new("/t"), Path::new("/c"));
        let mut files = Files::new(&view);
        assert_eq!(files.add(Path::new("/x/a"), &["/x/b".into()]), Path::new("/x/a"));
        assert!(files.binds().is_empty());
    }
}
