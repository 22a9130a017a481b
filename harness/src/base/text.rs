//! Wording of messages: suggestions, and lines of terminals as plain text.

/// The candidate a person most likely meant by `typed`, if any is near enough.
pub fn did_you_mean<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&typed.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(distance, c)| *distance <= 2.max(c.len() / 3) && *distance < c.len().max(typed.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
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

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[rstest::rstest]
    #[case("memroy", Some("memory"))]
    #[case("r3", Some("r1"))]
    #[case("zzzzzzzz", None)]
    #[case("", None)]
    fn suggests_the_nearest(#[case] typed: &str, #[case] expected: Option<&str>) {
        assert_eq!(did_you_mean(typed, ["memory", "r1", "nets"]), expected);
    }
}
