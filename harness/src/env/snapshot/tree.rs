//! Which images are still needed, and who is whose parent. Pure.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::model::{Chains, Snapshot};

impl Chains {
    /// Takes the layers nothing lies over any more, nothing writes to and no snapshot has, and returns them.
    pub(super) fn take_garbage(&mut self) -> Vec<PathBuf> {
        let tops = self.tops.values().flat_map(|disks| disks.values());
        let frozen = self.snapshots.iter().flat_map(|s| s.machines.values()).flat_map(|m| m.disks.values());
        let pending = self.pending.iter().flat_map(|p| p.tops.values()).flat_map(|disks| disks.values());
        let mut needed = BTreeSet::new();
        for image in tops.chain(frozen).chain(pending) {
            let mut image: &Path = image;
            while let (true, Some(over)) = (needed.insert(image.to_owned()), self.layers.get(image)) {
                image = over;
            }
        }
        let garbage: Vec<PathBuf> = self.layers.keys().filter(|l| !needed.contains(*l)).cloned().collect();
        self.layers.retain(|layer, _| needed.contains(layer));
        garbage
    }

    /// Takes a snapshot out; those that came from it come from its parent now.
    pub(super) fn take(&mut self, name: &str) -> Option<Snapshot> {
        let at = self.snapshots.iter().position(|snapshot| snapshot.name == name)?;
        let taken = self.snapshots.remove(at);
        let orphans = self.snapshots.iter_mut().map(|s| &mut s.parent).chain([&mut self.current]);
        for parent in orphans.filter(|parent| parent.as_deref() == Some(name)) {
            parent.clone_from(&taken.parent);
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::env::snapshot::Frozen;

    fn frozen(image: &str) -> Frozen {
        Frozen { disks: [("vda".to_owned(), image.into())].into(), ..Frozen::default() }
    }

    fn snapshot(name: &str, parent: Option<&str>, image: &str) -> Snapshot {
        Snapshot {
            name: name.to_owned(),
            time: 0,
            description: String::new(),
            parent: parent.map(str::to_owned),
            machines: [("web".parse().unwrap(), frozen(image))].into(),
        }
    }

    /// Base, `1` over it after `a`, `2` over `1` after `b`; then back to `a`: `3` over base.
    fn chains() -> Chains {
        let layers = [("1", "base"), ("2", "1"), ("3", "base")];
        let tops: BTreeMap<String, PathBuf> = [("vda".to_owned(), "3".into())].into();
        Chains {
            tops: [("web".parse().unwrap(), tops)].into(),
            layers: layers.map(|(layer, over)| (layer.into(), over.into())).into(),
            snapshots: vec![snapshot("a", None, "base"), snapshot("b", Some("a"), "1")],
            current: Some("a".to_owned()),
            ..Chains::default()
        }
    }

    #[test]
    fn what_nobody_needs_goes_and_nothing_else() {
        let mut chains = chains();
        assert_eq!(chains.take_garbage(), [PathBuf::from("2")]);
        assert_eq!(chains.take_garbage(), Vec::<PathBuf>::new());
        chains.take("b").unwrap();
        assert_eq!(chains.take_garbage(), [PathBuf::from("1")]);
    }

    #[test]
    fn a_chain_is_needed_down_to_its_bottom() {
        let mut chains = chains();
        chains.take("a").unwrap();
        chains.tops.clear();
        assert_eq!(chains.take_garbage(), ["2", "3"].map(PathBuf::from));
        assert!(chains.layers.contains_key(Path::new("1")));
    }

    #[test]
    fn children_go_to_the_parent_of_what_is_taken() {
        let mut chains = chains();
        chains.take("a").unwrap();
        assert_eq!((chains.snapshots[0].parent.clone(), chains.current.clone()), (None, None));
        assert!(chains.take("a").is_none());
    }

    #[test]
    fn a_circle_ends() {
        let mut chains = chains();
        chains.layers.insert("1".into(), "2".into());
        chains.layers.insert("2".into(), "1".into());
        assert_eq!(chains.take_garbage(), Vec::<PathBuf>::new());
    }
}
