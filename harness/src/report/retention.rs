//! Which old runs go, and what a run is called. Pure.

use std::time::{Duration, SystemTime};

/// Runs always kept.
const KEPT: usize = 20;
/// Runs younger than this are kept too: one `cargo test` of a large workspace is many runs.
const YOUNG: Duration = Duration::from_secs(3_600);

/// A run's folder as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) begun: SystemTime,
    /// Whether its process is gone.
    pub(crate) ended: bool,
}

/// Names of the runs to be removed.
pub(crate) fn to_remove(mut runs: Vec<Found>, now: SystemTime) -> Vec<String> {
    runs.retain(|run| run.ended);
    runs.sort_by(|a, b| b.name.cmp(&a.name));
    let old = |run: &Found| now.duration_since(run.begun).is_ok_and(|age| age >= YOUNG);
    runs.into_iter().skip(KEPT).filter(old).map(|run| run.name).collect()
}

/// The name of a run begun at `now` by process `pid`: UTC time first, so that names sort by it.
pub(crate) fn run_id(now: SystemTime, pid: u32) -> String {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{pid}")
}

/// Whether a folder's name is a run's.
pub(crate) fn is_run_id(name: &str) -> bool {
    let Some((time, pid)) = name.split_once("Z-") else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    time.split_once('T').is_some_and(|(date, time)| digits(date) && digits(time)) && digits(pid)
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
    use super::*;

    #[rstest::rstest]
    #[case(0, "19700101T000000Z-7")]
    #[case(951_782_399, "20000228T235959Z-7")]
    #[case(951_782_400, "20000229T000000Z-7")]
    #[case(1_795_238_105, "20261121T051505Z-7")]
    #[case(4_107_542_400, "21000301T000000Z-7")]
    fn ids_are_utc(#[case] seconds: u64, #[case] expected: &str) {
        let id = run_id(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), 7);
        assert_eq!(id, expected);
        assert!(is_run_id(&id));
    }

    #[test]
    fn other_folders_are_no_runs() {
        for name in ["latest", "", "2026T1Z", "x20261121T051505Z-7", "20261121T051505Z-", "20261121-7"] {
            assert!(!is_run_id(name), "{name}");
        }
    }

    #[test]
    fn old_ended_runs_go() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let run = |n: u64, age: u64, ended| Found {
            name: format!("{n:03}"),
            begun: now - Duration::from_secs(age),
            ended,
        };
        let mut runs: Vec<Found> = (10..30).map(|n| run(n, 10, true)).collect();
        assert_eq!(to_remove(runs.clone(), now), [""; 0]);
        runs.extend([run(1, 9_000, true), run(2, 9_000, false), run(3, 60, true), run(4, 3_600, true)]);
        assert_eq!(to_remove(runs, now), ["004", "001"]);
    }
}
