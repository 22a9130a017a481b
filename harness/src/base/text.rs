//! Wording of messages and names: suggestions, lists, and lines of terminals as plain text.

use std::{collections::BTreeSet, path::Path};

/// Bytes of a name: files may have 255, and something may be appended.
const LONGEST_NAME: usize = 230;

/// The candidate a person most likely meant by `typed`, if any is near enough.
pub fn did_you_mean<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&typed.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(distance, c)| *distance <= 2.max(c.len() / 3) && *distance < c.len().max(typed.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// Names for copies of `paths` in one folder: `/a/b` is `_a_b`. Each is another one, and none is too long for a file.
pub fn flat_names<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Vec<String> {
    let mut known = BTreeSet::new();
    let mut name = |path: &Path| {
        let mut flat = path.to_string_lossy().replace(['/', '\0'], "_");
        if flat.len() > LONGEST_NAME {
            let cut = flat.len() - LONGEST_NAME;
            let from = (cut..flat.len()).find(|&at| flat.is_char_boundary(at)).unwrap_or(cut);
            flat = flat.split_off(from);
        }
        let same = || (2_u32..).map(|n| format!("{flat}.{n}"));
        let free = |name: &String| !known.contains(name);
        let name = std::iter::once(flat.clone()).chain(same()).find(free).unwrap_or_default();
        known.insert(name.clone());
        name
    };
    paths.into_iter().map(&mut name).collect()
}

/// `line` without escape sequences and control characters.
#[must_use]
pub fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            // A control sequence ends with a letter or one of `@[\]^_`{|}~`; other escapes have one more character.
            '\x1b' => {
                if chars.next() == Some('[') {
                    chars.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// An error and what it comes from, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_names_are_lagos_and_never_meet() {
        let long = format!("/{}", "ä".repeat(300));
        let paths = ["/var/log/x", "/a/b", "/a_b", "relative", &long, "/a/b"].map(Path::new);
        let names = flat_names(paths);
        assert_eq!(names[..4], ["_var_log_x", "_a_b", "_a_b.2", "relative"]);
        assert_eq!((names[4].chars().all(|c| c == 'ä'), names[4].len()), (true, 230));
        assert_eq!(names[5], "_a_b.3");
    }

    #[rstest::rstest]
    #[case("memroy", Some("memory"))]
    #[case("r3", Some("r1"))]
    #[case("zzzzzzzz", None)]
    #[case("", None)]
    fn suggests_the_nearest(#[case] typed: &str, #[case] expected: Option<&str>) {
        assert_eq!(did_you_mean(typed, ["memory", "r1", "nets"]), expected);
    }
}
