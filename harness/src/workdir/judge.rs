//! What a folder is, seen as a workdir: decided from a listing alone. Also which names prefixes may have. Pure.

use super::paths::{CURRENT, DEFAULT};

/// What the entry `current` of a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Current {
    /// There is none.
    Missing,
    /// A link to this last part of a path.
    Link(String),
    /// Something else, a folder or somebody else's link.
    NotALink,
}

/// Why a workdir without a link of ours cannot say which prefix is current.
pub(super) const NOT_A_LINK: &str = "its entry `current` is not a link to a prefix; rename or remove that, or name a prefix with `--prefix-name NAME`";

/// What counts of a folder's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    /// The entry `current`.
    pub(super) current: Current,
    /// Names of the folders that are prefixes, sorted.
    pub(super) prefixes: Vec<String>,
}

/// What a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not a workdir: nothing in it says so.
    No,
    /// A workdir; this prefix is current.
    Sound(String),
    /// A workdir whose link leads nowhere; this prefix is to be current from now on.
    Mend(String),
    /// A workdir, but one in which nobody can say what is current.
    Malformed(&'static str),
}

/// Judges a folder.
pub(super) fn judge(listing: &Listing) -> Verdict {
    let Some(last) = listing.prefixes.last() else {
        return Verdict::No;
    };
    let has = |name: &str| listing.prefixes.iter().any(|p| p == name);
    match &listing.current {
        Current::NotALink => Verdict::Malformed(NOT_A_LINK),
        Current::Link(name) if has(name) => Verdict::Sound(name.clone()),
        Current::Link(_) | Current::Missing if has(DEFAULT) => Verdict::Mend(DEFAULT.into()),
        Current::Link(_) | Current::Missing => Verdict::Mend(last.clone()),
    }
}

/// Why a new prefix cannot have this name.
pub(super) fn bad_name(name: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name == CURRENT {
        Some("it means the link to the prefix in use")
    } else if name.is_empty() {
        Some("it is empty")
    } else if name.len() > 100 {
        Some("it is longer than 100 characters")
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        Some("it does not begin with a letter, a digit or `_`")
    } else if !name.chars().all(plain) {
        Some("it has other characters than letters, digits, `-`, `_` and `.`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn listing(current: Option<&str>, prefixes: &[&str]) -> Listing {
        let current = match current {
            None => Current::Missing,
            Some("/") => Current::NotALink,
            Some(name) => Current::Link(name.into()),
        };
        Listing { current, prefixes: prefixes.iter().map(|&p| p.to_owned()).collect() }
    }

    #[rstest::rstest]
    #[case::empty(None, &[], "No")]
    #[case::left_by_destroy(Some("gone"), &[], "No")]
    #[case::a_folder_called_current(Some("/"), &[], "No")]
    #[case::good(Some("b"), &["a", "b"], "Sound(\"b\")")]
    #[case::not_a_link(Some("/"), &["a"], "Malformed")]
    #[case::missing(None, &["a", "default", "z"], "Mend(\"default\")")]
    #[case::renamed(Some("old"), &["a", "z"], "Mend(\"z\")")]
    #[case::renamed_and_default(Some("old"), &["default", "z"], "Mend(\"default\")")]
    fn folders_are_judged(#[case] current: Option<&str>, #[case] prefixes: &[&str], #[case] expected: &str) {
        let verdict = format!("{:?}", judge(&listing(current, prefixes)));
        assert!(verdict.starts_with(expected), "{verdict}");
    }

    #[rstest::rstest]
    #[case("default", true)]
    #[case("nightly-2.1_x", true)]
    #[case("current", false)]
    #[case("", false)]
    #[case("..", false)]
    #[case("a/b", false)]
    #[case("-y", false)]
    #[case("a b", false)]
    fn names_are_judged(#[case] name: &str, #[case] good: bool) {
        assert_eq!(bad_name(name).is_none(), good);
    }

    proptest! {
        /// Whatever happened to the link: with a prefix there is a current one, and it exists.
        #[test]
        fn one_of_the_prefixes_is_current(
            mut prefixes in proptest::collection::vec("[a-d]{1,2}|default", 1..5),
            current in proptest::option::of("[a-d]{1,2}"),
        ) {
            prefixes.sort();
            prefixes.dedup();
            let current = current.map_or(Current::Missing, Current::Link);
            let listing = Listing { current, prefixes };
            let (Verdict::Sound(name) | Verdict::Mend(name)) = judge(&listing) else {
                return Err(TestCaseError::fail("no current prefix"));
            };
            prop_assert!(listing.prefixes.contains(&name));
        }
    }
}
