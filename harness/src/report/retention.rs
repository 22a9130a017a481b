//! Which old runs go, and what a run is called. Pure.

use std::time::{Duration, SystemTime};

use crate::base::time::Utc;

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
    let Utc { date: (year, month, day), time: (hour, minute, second), .. } = now.into();
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
