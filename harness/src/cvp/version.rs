//! What a portal's version says of its API: the steps at which requests and answers changed.

use std::{fmt, str::FromStr};

/// A portal's version, such as `2024.3.0`; of a cloud tenant, none is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The year.
    pub year: u16,
    /// The release of the year.
    pub minor: u16,
    /// The patch; 0 when it is not said.
    pub patch: u16,
}

impl Version {
    /// A version.
    #[must_use]
    pub const fn new(year: u16, minor: u16, patch: u16) -> Self {
        Self { year, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.year, self.minor, self.patch)
    }
}

/// Text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version of the portal, such as 2024.3.0")]
pub struct NotAVersion(String);

/// `YEAR.MINOR`, with a patch and a suffix if there are any: `2023.1`, `2024.3.0`, `2020.1.0-rc2`.
impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let plain = text.trim().split(['-', '+', ' ']).next().unwrap_or_default();
        let mut parts = plain.split('.').map(str::parse);
        let mut part = || parts.next().transpose().map_err(|_| NotAVersion(text.to_owned()));
        match (part()?, part()?, part()?) {
            (Some(year), Some(minor), patch) => Ok(Self { year, minor, patch: patch.unwrap_or(0) }),
            _ => Err(NotAVersion(text.to_owned())),
        }
    }
}

/// The step of the API a version is at; the numbers are those of Arista's own client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

/// The first version of each level from 2 on.
const FIRST_OF: &[Version] = &[
    Version::new(2018, 2, 0),
    Version::new(2019, 0, 0),
    Version::new(2020, 1, 1),
    Version::new(2020, 2, 4),
    Version::new(2021, 2, 0),
    Version::new(2021, 3, 0),
    Version::new(2022, 0, 0),
    Version::new(2023, 1, 0),
    Version::new(2023, 2, 0),
    Version::new(2023, 3, 0),
    Version::new(2024, 1, 0),
    Version::new(2024, 2, 0),
    Version::new(2024, 3, 0),
    Version::new(2025, 1, 0),
    Version::new(2025, 2, 0),
    Version::new(2025, 3, 0),
    Version::new(2026, 1, 0),
    Version::new(2026, 2, 0),
];

impl Level {
    /// The oldest one.
    pub const FIRST: Self = Self(1);
    /// The inventory is a bare list from here on.
    pub const BARE_INVENTORY: Self = Self(2);
    /// Change controls are those of the service API from here on, and no longer the legacy ones.
    pub const SERVICE_CHANGE_CONTROL: Self = Self(3);
    /// Lists of configlets hold their texts again, and devices are deleted by serial number, from here on.
    pub const DEVICES_BY_SERIAL: Self = Self(4);
    /// What a task did is found in the audit log from here on.
    pub const AUDIT_LOG: Self = Self(5);
    /// Change controls, tags and workspaces are those of the resource API from here on.
    pub const RESOURCES: Self = Self(6);
    /// The topology is searched by version 3, and devices are decommissioned, from here on.
    pub const DECOMMISSIONING: Self = Self(7);
    /// Change controls can be scheduled from here on.
    pub const SCHEDULING: Self = Self(8);
    /// Service accounts are resources from here on.
    pub const SERVICE_ACCOUNTS: Self = Self(14);
    /// Images are sent to a service of their own from here on.
    pub const UPLOADS: Self = Self(15);
    /// What assigns configlets and moves devices is a service that can be off from here on.
    pub const OPTIONAL_PROVISIONING: Self = Self(16);
    /// The newest one that is known; newer versions and cloud tenants are taken for it.
    pub const NEWEST: Self = Self(19);

    /// The level of a version.
    #[must_use]
    pub fn of(version: Version) -> Self {
        let steps = FIRST_OF.iter().filter(|first| **first <= version).count();
        Self(u8::try_from(steps + 1).unwrap_or(u8::MAX))
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("2018.1.4", 1)]
    #[case("2018.2.0", 2)]
    #[case("2018.2.5", 2)]
    #[case("2019.0.0", 3)]
    #[case("2020.1.0", 3)]
    #[case("2020.1.1", 4)]
    #[case("2020.2.3", 4)]
    #[case("2020.2.4", 5)]
    #[case("2021.1.1", 5)]
    #[case("2021.2.0", 6)]
    #[case("2021.3.1", 7)]
    #[case("2022.1", 8)]
    #[case("2022.3.1", 8)]
    #[case("2023.1.0", 9)]
    #[case("2023.2.1", 10)]
    #[case("2023.3.0", 11)]
    #[case("2024.1.0", 12)]
    #[case("2024.2.1-rc3", 13)]
    #[case("2024.3.0", 14)]
    #[case("2025.1.2", 15)]
    #[case("2025.2.0", 16)]
    #[case("2025.3.0", 17)]
    #[case("2026.1.0", 18)]
    #[case("2026.2.0", 19)]
    #[case("2031.4", 19)]
    fn each_version_has_its_level(#[case] version: &str, #[case] level: u8) {
        assert_eq!(Level::of(version.parse().unwrap()).number(), level);
    }

    #[rstest::rstest]
    #[case("")]
    #[case("cvaas")]
    #[case("2024")]
    #[case("2024.x")]
    #[case("v2024.1")]
    fn what_is_no_version_is_said(#[case] text: &str) {
        let error = text.parse::<Version>().unwrap_err();
        assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
    }

    #[test]
    fn versions_read_as_they_are_written() {
        assert_eq!("2022.1".parse::<Version>().unwrap().to_string(), "2022.1.0");
        assert!("2021.10.0".parse::<Version>().unwrap() > "2021.9.9".parse().unwrap());
    }
}
