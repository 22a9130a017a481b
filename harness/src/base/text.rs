//! Wording of messages: suggestions and lists.

/// The candidate a person most likely meant by `typed`, if any is near enough.
pub fn did_you_mean<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&typed.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(distance, c)| *distance <= 2.max(c.len() / 3) && *distance < c.len().max(typed.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
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
