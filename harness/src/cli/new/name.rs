//! What a suite and its package can be called: what cargo takes for a package and Rust for a module.

use std::{fmt, str::FromStr};

/// The longest that registries take.
const LONGEST: usize = 64;

/// Crates that every suite sees.
const TAKEN: [&str; 6] = ["alloc", "core", "polder", "proc_macro", "std", "test"];

/// Words that cannot be names in Rust, those that are only reserved among them.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final fn for \
    gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true try type \
    typeof unsafe unsized use virtual where while yield";

/// Whether `word` cannot be a name in Rust.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.split_whitespace().any(|keyword| keyword == word)
}

/// The name of a suite, of its test target, and of the package that is made for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Name(String);

/// Why a name was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum NameError {
    /// Not of the right letters.
    #[error("write it with a-z, 0-9, `-` and `_`, beginning with a letter")]
    Letters,
    /// Too long.
    #[error("at most {LONGEST} letters are allowed")]
    Long,
    /// A keyword.
    #[error("that is a keyword of Rust")]
    Keyword,
    /// What other crates are called.
    #[error("that is the name of a crate which suites use")]
    Taken,
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.chars().all(inside) {
            return Err(NameError::Letters);
        }
        if text.len() > LONGEST {
            return Err(NameError::Long);
        }
        let name = Self(text.to_owned());
        match name.ident() {
            ident if is_keyword(&ident) => Err(NameError::Keyword),
            ident if TAKEN.contains(&ident.as_str()) => Err(NameError::Taken),
            _ => Ok(name),
        }
    }
}

impl Name {
    /// The name as a Rust module has it.
    pub(super) fn ident(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_cargo_and_rust_take() {
        for good in ["a", "web-tests", "web_tests2", &"a".repeat(64)] {
            assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
        }
        for (bad, why) in [
            ("", NameError::Letters),
            ("1a", NameError::Letters),
            ("-a", NameError::Letters),
            ("Web", NameError::Letters),
            ("a b", NameError::Letters),
            ("../a", NameError::Letters),
            ("ä", NameError::Letters),
            ("a.b", NameError::Letters),
            (&"a".repeat(65), NameError::Long),
            ("match", NameError::Keyword),
            ("yield", NameError::Keyword),
            ("polder", NameError::Taken),
            ("proc-macro", NameError::Taken),
            ("test", NameError::Taken),
        ] {
            assert_eq!(bad.parse::<Name>(), Err(why), "{bad}");
        }
        assert_eq!("web-tests".parse::<Name>().unwrap().ident(), "web_tests");
    }
}
