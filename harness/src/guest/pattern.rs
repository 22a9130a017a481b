//! What a line, or a body, that is waited for has in it: a text or a regular expression.

use std::fmt;

use regex_lite::Regex;

/// A text that has to be found in something, made from a `&str`, or a regular expression.
///
/// ```
/// use polder::guest::Pattern;
/// assert!(Pattern::from("a.c").is_in("b a.c") && !Pattern::from("a.c").is_in("abc"));
/// assert!(Pattern::regex(r"ready in \d+ ms$").unwrap().is_in("web: ready in 12 ms"));
/// ```
#[derive(Debug, Clone)]
pub struct Pattern(What);

#[derive(Debug, Clone)]
enum What {
    Text(String),
    Regex(Regex),
}

/// Not a regular expression.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{expression}` is not a regular expression")]
pub struct PatternError {
    expression: String,
    #[source]
    source: regex_lite::Error,
}

impl Pattern {
    /// A regular expression, in the syntax of the crate `regex`; it may fit anywhere.
    ///
    /// # Errors
    /// It is none.
    pub fn regex(expression: &str) -> Result<Self, PatternError> {
        let made = Regex::new(expression);
        let expression = expression.to_owned();
        Ok(Self(What::Regex(made.map_err(|source| PatternError { expression, source })?)))
    }

    /// Whether it is found in `text`.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        match &self.0 {
            What::Text(wanted) => text.contains(wanted.as_str()),
            What::Regex(regex) => regex.is_match(text),
        }
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(What::Text(text.to_owned()))
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self(What::Text(text))
    }
}

impl From<&Self> for Pattern {
    fn from(pattern: &Self) -> Self {
        pattern.clone()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            What::Text(text) => write!(f, "`{text}`"),
            What::Regex(regex) => write!(f, "/{}/", regex.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_says_so() {
        let error = Pattern::regex("a(").unwrap_err();
        assert_eq!(error.to_string(), "`a(` is not a regular expression");
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(Pattern::regex("a|b").unwrap().to_string(), "/a|b/");
    }
}
