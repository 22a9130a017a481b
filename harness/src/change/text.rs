//! Texts with `%(key)s` in them: parsed once, filled in once. Values are never looked at again. Pure.

use std::{collections::BTreeMap, fmt};

/// Variables and their values.
pub type Vars = BTreeMap<String, String>;

/// Who knows values of variables.
pub trait Values {
    /// The value of a variable, if it has one.
    fn value(&self, key: &str) -> Option<&str>;
}

impl Values for Vars {
    fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

/// A text that variables are put into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    parts: Vec<Part>,
}

/// A piece of a [`Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Key(String),
}

/// A `%` that begins no variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this `%` begins no variable; a variable is `%(name)s`, a percent sign is `%%`")]
pub struct BadPercent {
    /// Where it is, in bytes.
    pub at: usize,
}

/// No value for a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no variable `{key}`")]
pub struct Unresolved {
    /// The key.
    pub key: String,
}

impl Text {
    /// Reads a text in which `%(key)s` stands for a variable and `%%` for a percent sign.
    ///
    /// # Errors
    /// A `%` is neither.
    pub fn parse(text: &str) -> Result<Self, BadPercent> {
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let plain = rest.find('%').unwrap_or(rest.len());
            let (before, rest) = rest.split_at(plain);
            parts.push(Part::Text(before.to_owned()));
            at += plain;
            if rest.is_empty() {
                break;
            } else if let Some((name, length)) = key(rest) {
                parts.push(Part::Key(name.to_owned()));
                at += length;
            } else if rest.starts_with("%%") {
                parts.push(Part::Text("%".to_owned()));
                at += 2;
            } else {
                return Err(BadPercent { at });
            }
        }
        Ok(Self::from_parts(parts))
    }

    /// A text in which nothing stands for anything else.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        Self::from_parts(vec![Part::Text(text.to_owned())])
    }

    /// Neighbouring texts become one, so that equal texts are equal.
    pub(super) fn from_parts(parts: Vec<Part>) -> Self {
        let mut joined: Vec<Part> = Vec::new();
        for part in parts {
            match (joined.last_mut(), part) {
                (_, Part::Text(text)) if text.is_empty() => {}
                (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
                (_, part) => joined.push(part),
            }
        }
        Self { parts: joined }
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The variables in it, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Key(key) => Some(key.as_str()),
            Part::Text(_) => None,
        })
    }

    /// With the value of each variable in its place. What is in the values stays as it is.
    ///
    /// # Errors
    /// A variable has no value.
    pub fn fill(&self, values: &dyn Values) -> Result<String, Unresolved> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Key(key) => {
                    out.push_str(values.value(key).ok_or_else(|| Unresolved { key: key.clone() })?)
                }
            }
        }
        Ok(out)
    }
}

/// As it is written.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(&text.replace('%', "%%"))?,
                Part::Key(key) => write!(f, "%({key})s")?,
            }
        }
        Ok(())
    }
}

/// The variable that a text begins with, and the length of what stands for it.
pub(super) fn key(text: &str) -> Option<(&str, usize)> {
    let rest = text.strip_prefix("%(")?;
    let (name, after) = rest.split_once(')')?;
    (!name.is_empty() && after.starts_with('s')).then_some((name, name.len() + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let text = Text::parse(text).map_err(|error| format!("{} at {}", error, error.at))?;
        let vars = [("port", "et1"), ("percent", "%(port)s"), ("device.name", "sw1")];
        let vars: Vars = vars.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        text.fill(&vars).map_err(|error| error.to_string())
    }

    #[rstest::rstest]
    #[case("interface %(port)s", "interface et1")]
    #[case("%(port)s%(port)s", "et1et1")]
    #[case("100%% of %(device.name)s", "100% of sw1")]
    #[case("%%(port)s", "%(port)s")]
    #[case("", "")]
    // What is in a value is not substituted again.
    #[case("%(percent)s", "%(port)s")]
    fn is_filled_once(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(filled(text).as_deref(), Ok(expected));
    }

    #[rstest::rstest]
    #[case("echo 100% done", "at 8")]
    #[case("%(port", "at 0")]
    #[case("%(port)d", "at 0")]
    #[case("ä%()s", "at 2")]
    #[case("x%", "at 1")]
    #[case("%(nothing)s", "no variable `nothing`")]
    fn says_what_is_wrong(#[case] text: &str, #[case] expected: &str) {
        let error = filled(text).expect_err(text);
        assert!(error.contains(expected), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn prints_what_it_read(text in "[a%()s.]{0,12}") {
            if let Ok(parsed) = Text::parse(&text) {
                proptest::prop_assert_eq!(parsed.to_string(), text);
            }
        }
    }
}
