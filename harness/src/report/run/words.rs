//! Short words for what is long: what an error says first, what it comes from, where that was; times and sizes. Pure.

use std::time::{Duration, SystemTime};

use crate::{base::time::Utc, report::frame};

/// What an error says, in a line: its own words, without where a panic was.
pub(super) fn headline(error: &str) -> &str {
    let mut lines = error.lines();
    match lines.next() {
        Some(first) if first.starts_with(PANIC) && first.ends_with(':') => lines.next().unwrap_or(first),
        first => first.unwrap_or_default(),
    }
}

/// The innermost cause of an error that names several.
pub(super) fn cause(error: &str) -> Option<&str> {
    error.lines().filter_map(|line| line.strip_prefix(CAUSE)).next_back()
}

/// At most about so many lines of an error for who looks at many: how it begins, its innermost cause, where it came up and what is
/// said after that. What consoles said stands where all of it is.
pub(super) fn excerpt(error: &str, most: usize) -> String {
    let is_told = |line: &str| line.starts_with(CAUSE) || line.strip_prefix("at ").is_some_and(is_place);
    let (mut lines, mut console) = (Vec::new(), false);
    for line in error.lines() {
        console = line == CONSOLE || console && !is_told(line);
        if !console {
            lines.push(shortened(line));
        }
    }
    if lines.len() > most {
        let end = lines.iter().rposition(|line| line.strip_prefix("at ").is_some_and(is_place));
        let end = end.map(|at| lines.split_off(at)).unwrap_or_default();
        let cause = lines.iter().rposition(|line| line.starts_with(CAUSE));
        let first = most.saturating_sub(4);
        let cause = cause.filter(|at| *at >= first).and_then(|at| lines.get(at).cloned());
        lines.truncate(first);
        lines.push("...".to_owned());
        lines.extend(cause);
        lines.extend(end.into_iter().take(3));
    }
    lines.join("\n")
}

/// A line that is not too long to be read.
fn shortened(line: &str) -> String {
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

/// Where an error came up, as `file:line:column`.
pub(super) fn place(error: &str) -> Option<&str> {
    let panicked = error.lines().next().and_then(|line| line.strip_prefix(PANIC)?.strip_suffix(':'));
    let said = error.lines().filter_map(|line| line.strip_prefix("at ")).next_back();
    panicked.or(said).filter(|place| is_place(place))
}

/// The file and the line of a place.
pub(super) fn file_and_line(place: &str) -> Option<(&str, &str)> {
    let numbers = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, last) = place.rsplit_once(':').filter(|(_, last)| numbers(last))?;
    match rest.rsplit_once(':') {
        Some((file, line)) if numbers(line) => Some((file, line)),
        _ => Some((rest, last)),
    }
}

fn is_place(text: &str) -> bool {
    !text.contains(' ') && file_and_line(text).is_some()
}

const PANIC: &str = "panicked at ";
const CAUSE: &str = "caused by: ";
/// The line above what a machine said last.
const CONSOLE: &str = "--- console ---";
/// Characters of a line in an excerpt.
const LONGEST: usize = 300;

/// A point in time in seconds since 1970, as text in UTC; none is so far away that it has none.
pub(super) fn utc(seconds: f64) -> String {
    let since = Duration::try_from_secs_f64(seconds).unwrap_or_default().min(LATEST);
    Utc::from(SystemTime::UNIX_EPOCH + since).to_string()
}

/// The end of the year 9999.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// A time for people.
pub(super) fn time(seconds: f64) -> String {
    frame::time(millis(seconds))
}

/// Seconds in milliseconds.
pub(super) fn millis(seconds: f64) -> u64 {
    let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{}.{} MiB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("", "", None, None)]
    #[case("no boat", "no boat", None, None)]
    #[case(
        "no boat\ncaused by: no wood\ncaused by: no tree\nat a/b.rs:7:9",
        "no boat",
        Some("no tree"),
        Some("a/b.rs:7:9")
    )]
    #[case("panicked at a/b.rs:7:9:\nno boat\nat all", "no boat", None, Some("a/b.rs:7:9"))]
    #[case("panicked at the disco", "panicked at the disco", None, None)]
    #[case("panicked at a.rs:7:9:", "panicked at a.rs:7:9:", None, Some("a.rs:7:9"))]
    #[case("x\nat 5 o'clock: 7", "x", None, None)]
    fn errors_are_told_in_short(
        #[case] error: &str,
        #[case] said: &str,
        #[case] from: Option<&str>,
        #[case] at: Option<&str>,
    ) {
        assert_eq!((headline(error), cause(error), place(error)), (said, from, at));
    }

    #[rstest::rstest]
    #[case("a.rs:7:9", Some(("a.rs", "7")))]
    #[case("a.rs:7", Some(("a.rs", "7")))]
    #[case("c:a.rs:7", Some(("c:a.rs", "7")))]
    #[case("a.rs", None)]
    #[case("a.rs:x", None)]
    #[case("", None)]
    fn places_have_files_and_lines(#[case] place: &str, #[case] expected: Option<(&str, &str)>) {
        assert_eq!(file_and_line(place), expected);
    }

    #[test]
    fn excerpts_have_causes_and_places_and_no_consoles() {
        let error = "the spare path is not taken\ncaused by: gave up waiting on client\n--- console ---\nlogin:\n/ #\n\
                     caused by: waited 9.0 s for success of `ping`\nat a.rs:15:117\nwith POLDER_SEED=7";
        let expected = "the spare path is not taken\ncaused by: gave up waiting on client\n\
                        caused by: waited 9.0 s for success of `ping`\nat a.rs:15:117\nwith POLDER_SEED=7";
        assert_eq!(excerpt(error, 8), expected);
        let long: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
        let error = format!("{}\ncaused by: no disk\nat a.rs:1:2\nmore", long.join("\n"));
        assert_eq!(
            excerpt(&error, 8),
            "line 0\nline 1\nline 2\nline 3\n...\ncaused by: no disk\nat a.rs:1:2\nmore"
        );
        assert_eq!(excerpt("one\n--- console ---\nat last\nmore", 8), "one", "a machine's `at` is no place");
        let wide = excerpt(&"ä".repeat(1_000), 8);
        assert!(wide.ends_with("ä...") && wide.chars().count() == LONGEST + 3, "{wide}");
        assert_eq!(excerpt("", 8), "");
    }

    #[test]
    fn times_and_sizes_are_short_also_those_that_cannot_be() {
        assert_eq!(
            [0.0, 1.25, 61.5, -1.0, f64::NAN].map(time),
            ["0 ms", "1.2 s", "1 min 1 s", "0 ms", "0 ms"]
        );
        assert_eq!([7, 2_048, 1_572_864].map(size), ["7 B", "2 KiB", "1.5 MiB"]);
        assert_eq!([1_795_237_403.7, 1e300].map(utc), ["2026-11-21T05:03:23Z", "1970-01-01T00:00:00Z"]);
    }
}
