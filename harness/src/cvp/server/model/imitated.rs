//! The version that is imitated, and the level of its API. A client reads versions by a table of its own: both could else be wrong
//! in the same way.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A version such as `2024.3.0`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Imitated {
    text: String,
    parts: [u32; 3],
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version of a portal: they look like 2024.3.0")]
pub struct NotImitated(String);

impl Default for Imitated {
    fn default() -> Self {
        Self { text: "2024.3.0".to_owned(), parts: [2024, 3, 0] }
    }
}

impl FromStr for Imitated {
    type Err = NotImitated;

    fn from_str(text: &str) -> Result<Self, NotImitated> {
        let number = |part: &str| part.parse::<u32>().ok();
        let plain = text.split_once('-').map_or(text, |(plain, _)| plain);
        let parts: Option<Vec<u32>> = plain.split('.').map(number).collect();
        let parts = match parts.as_deref() {
            Some([year @ 2015..=2100, minor]) => [*year, *minor, 0],
            Some([year @ 2015..=2100, minor, patch]) => [*year, *minor, *patch],
            _ => return Err(NotImitated(text.to_owned())),
        };
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl TryFrom<String> for Imitated {
    type Error = NotImitated;

    fn try_from(text: String) -> Result<Self, NotImitated> {
        text.parse()
    }
}

impl From<Imitated> for String {
    fn from(version: Imitated) -> Self {
        version.text
    }
}

impl fmt::Display for Imitated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// From which version on each level is, oldest first; before the first one it is level 1.
const LEVELS: &[([u32; 3], u8)] = &[
    ([2018, 2, 0], 2),
    ([2019, 0, 0], 3),
    ([2020, 1, 1], 4),
    ([2020, 2, 4], 5),
    ([2021, 2, 0], 6),
    ([2021, 3, 0], 7),
    ([2022, 0, 0], 8),
    ([2023, 1, 0], 9),
    ([2023, 2, 0], 10),
    ([2023, 3, 0], 11),
    ([2024, 1, 0], 12),
    ([2024, 2, 0], 13),
    ([2024, 3, 0], 14),
    ([2025, 1, 0], 15),
    ([2025, 2, 0], 16),
    ([2025, 3, 0], 17),
    ([2026, 1, 0], 18),
    ([2026, 2, 0], 19),
];

impl Imitated {
    /// The level of the API, as clients count it.
    #[must_use]
    pub fn level(&self) -> u8 {
        LEVELS.iter().rev().find(|(from, _)| *from <= self.parts).map_or(1, |(_, level)| *level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("2018.1.4", Ok(1))]
    #[case("2018.2.0", Ok(2))]
    #[case("2020.1.0", Ok(3))]
    #[case("2020.1.1", Ok(4))]
    #[case("2021.1.9", Ok(5))]
    #[case("2021.2", Ok(6))]
    #[case("2022.1.0-rc1", Ok(8))]
    #[case("2024.3.0", Ok(14))]
    #[case("2030.1.0", Ok(19))]
    #[case("latest", Err(()))]
    #[case("1.2.3", Err(()))]
    #[case("2024", Err(()))]
    fn versions_have_levels(#[case] text: &str, #[case] expected: Result<u8, ()>) {
        assert_eq!(text.parse::<Imitated>().map(|v| v.level()).map_err(drop), expected);
    }
}
