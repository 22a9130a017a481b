//! Which packages of several sources a repository gets.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use super::spec::{Format, Package};

/// One package of each name: of the first source that has the name, the newest for each architecture. Later sources
/// only add what is missing. Sorted by name.
pub(super) fn merge(sources: Vec<Vec<Package>>) -> Vec<Package> {
    let mut taken: BTreeSet<(Format, String)> = BTreeSet::new();
    let mut merged = Vec::new();
    for source in sources {
        let mut newest: BTreeMap<(Format, String, String), Package> = BTreeMap::new();
        for package in source {
            let key = (package.format, package.name.clone(), package.arch.clone());
            let older = newest.get(&key).is_some_and(|known| package.age(known) != Ordering::Greater);
            if !older && !taken.contains(&(package.format, package.name.clone())) {
                newest.insert(key, package);
            }
        }
        taken.extend(newest.keys().map(|(format, name, _)| (*format, name.clone())));
        merged.extend(newest.into_values());
    }
    merged.sort_by(|a, b| (a.format, &a.name, &a.arch).cmp(&(b.format, &b.name, &b.arch)));
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::repo::spec::At;

    /// `NAME_VERSION_ARCH`.
    fn package(text: &str, source: usize) -> Package {
        let [name, version, arch] = text.split('_').collect::<Vec<_>>()[..] else { panic!("{text}") };
        let control = format!("Package: {name}\nVersion: {version}\nArchitecture: {arch}");
        Package::from_control(&control, At::File(format!("/{source}").into())).unwrap()
    }

    /// Sources with `|` between them, packages with spaces.
    fn merged(sources: &str) -> Vec<String> {
        let of = |(i, names): (usize, &str)| names.split_whitespace().map(|name| package(name, i)).collect();
        let merged = merge(sources.split('|').enumerate().map(of).collect());
        merged.iter().map(|p| p.file_name().trim_end_matches(".deb").to_owned()).collect()
    }

    #[rstest::rstest]
    #[case("a_1_all a_2~rc1_all", "a_2~rc1_all")]
    #[case("a_1_all | a_2_all b_1_all", "a_1_all b_1_all")]
    #[case("a_1_amd64 a_2_i386 | a_3_arm64", "a_1_amd64 a_2_i386")]
    #[case(" | a_1_all", "a_1_all")]
    #[case("", "")]
    fn the_first_source_wins_and_the_newest_in_it(#[case] sources: &str, #[case] expected: &str) {
        assert_eq!(merged(sources).join(" "), expected);
    }

    proptest! {
        #[test]
        fn every_name_comes_from_one_source_and_none_is_lost(
            seed in prop::collection::vec(prop::collection::vec((0usize..4, 1u8..4, 0usize..2), 0..8), 0..4),
        ) {
            let name = |(name, version, arch): &(usize, u8, usize)| {
                format!("{}_{version}_{}", ["a", "b", "c", "d"][*name], ["all", "amd64"][*arch])
            };
            let sources: Vec<Vec<Package>> = seed.iter().enumerate()
                .map(|(i, source)| source.iter().map(|p| package(&name(p), i)).collect()).collect();
            let merged = merge(sources.clone());
            let names = |packages: &[Package]| packages.iter().map(|p| p.name.clone()).collect::<BTreeSet<_>>();
            prop_assert_eq!(names(&merged), names(&sources.concat()));
            for package in &merged {
                let first = sources.iter().find(|s| s.iter().any(|p| p.name == package.name)).unwrap();
                prop_assert!(first.contains(package));
                let same = |p: &&Package| p.name == package.name && p.arch == package.arch;
                prop_assert!(first.iter().filter(same).all(|p| p.age(package) != Ordering::Greater));
                prop_assert_eq!(merged.iter().filter(same).count(), 1);
            }
        }
    }
}
