//! Points in time as text, in UTC.

use std::time::SystemTime;

/// A point in time, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utc {
    /// The date.
    pub date: (u64, u64, u64),
    /// The time of day.
    pub time: (u64, u64, u64),
    /// What is left, in milliseconds.
    pub millis: u32,
}

impl From<SystemTime> for Utc {
    fn from(at: SystemTime) -> Self {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (days, time) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        Self {
            date: date(days),
            time: (time / 3_600, time / 60 % 60, time % 60),
            millis: since.subsec_millis(),
        }
    }
}

/// `2026-11-21T05:03:23Z`.
impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { date: (year, month, day), time: (hour, minute, second), .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Year, month and day of a number of days since 1970; years begin in March here, so leap days come last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[rstest::rstest]
    #[case(0, "1970-01-01T00:00:00Z")]
    #[case(951_782_399, "2000-02-28T23:59:59Z")]
    #[case(951_782_400, "2000-02-29T00:00:00Z")]
    #[case(1_795_237_403, "2026-11-21T05:03:23Z")]
    fn seconds_become_dates(#[case] seconds: u64, #[case] expected: &str) {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(Utc::from(at).to_string(), expected);
    }
}
