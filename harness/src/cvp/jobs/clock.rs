//! What a clock on a wall shows, in a named time zone, as a point in time. Reads no clock itself.

use std::time::SystemTime;

use jiff::{
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::base::text::did_you_mean;

/// How times are written, and how the uploader's documentation writes them.
const FORMS: [&str; 2] = ["%Y-%m-%d %H:%M", "%Y-%m-%d-%H-%M"];

/// A time zone of this name, by the name it is known by; else why there is none.
///
/// # Errors
/// There is no such zone.
pub fn zone(name: &str) -> Result<String, String> {
    let known = TimeZone::get(name).ok().and_then(|zone| zone.iana_name().map(str::to_owned));
    known.ok_or_else(|| {
        let all: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let near = did_you_mean(name, all.iter().map(String::as_str));
        let hint = near
            .map_or("write one such as `Europe/Paris`".to_owned(), |near| format!("did you mean `{near}`?"));
        format!("there is no time zone `{name}`; {hint}")
    })
}

/// `text` as it is written to portals, if it is a time.
pub(super) fn wall(text: &str) -> Result<DateTime, String> {
    let read = |form: &&str| DateTime::strptime(form, text.trim()).ok();
    FORMS
        .iter()
        .find_map(read)
        .ok_or_else(|| format!("`{text}` is no time; write `YYYY-MM-DD HH:MM`, such as `2031-05-04 03:30`"))
}

/// When a clock of `zone` shows `wall`; of a time that comes twice, the first.
pub(super) fn moment(wall: DateTime, zone: &str) -> Result<SystemTime, String> {
    let tz = TimeZone::get(zone).map_err(|_| format!("there is no time zone `{zone}`"))?;
    let ambiguous = tz.to_ambiguous_timestamp(wall);
    if matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
        return Err(format!("clocks in {zone} never show {}: they are put forward then", shown(wall)));
    }
    let at = ambiguous.compatible().map_err(|error| error.to_string())?;
    SystemTime::try_from(at).map_err(|error| error.to_string())
}

/// As portals want it.
pub(super) fn shown(wall: DateTime) -> String {
    wall.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Utc;

    #[rstest::rstest]
    #[case("2031-05-04 03:30", "Europe/Paris", Ok("2031-05-04T01:30:00Z"))]
    #[case("2031-05-04-03-30", "Europe/Paris", Ok("2031-05-04T01:30:00Z"))]
    #[case("2031-12-04 03:30", "europe/paris", Ok("2031-12-04T02:30:00Z"))]
    #[case("2050-07-01 12:00", "Europe/Paris", Ok("2050-07-01T10:00:00Z"))]
    #[case("2031-05-04 03:30", "UTC", Ok("2031-05-04T03:30:00Z"))]
    // It comes twice.
    #[case("2026-10-25 02:30", "Europe/Paris", Ok("2026-10-25T00:30:00Z"))]
    #[case(
        "2026-03-29 02:30",
        "Europe/Paris",
        Err("clocks in Europe/Paris never show 2026-03-29 02:30: they are put forward then")
    )]
    fn walls_are_read(#[case] text: &str, #[case] zone: &str, #[case] expected: Result<&str, &str>) {
        let at = wall(text).and_then(|wall| moment(wall, zone)).map(|at| Utc::from(at).to_string());
        assert_eq!(at.as_deref().map_err(String::as_str), expected);
    }

    #[rstest::rstest]
    #[case("")]
    #[case("tomorrow")]
    #[case("2031-02-30 10:00")]
    #[case("2031-05-04 24:30")]
    #[case("2031-05-04")]
    #[case("2031-05-04 03:30 and more")]
    #[case("2031-05-04T03:30")]
    fn what_is_no_time_is_said(#[case] text: &str) {
        let error = wall(text).unwrap_err();
        assert!(error.starts_with(&format!("`{text}` is no time; write ")), "{error}");
    }

    #[rstest::rstest]
    #[case("Europe/Paris", Ok("Europe/Paris"))]
    #[case("europe/paris", Ok("Europe/Paris"))]
    #[case("Europe/Pariss", Err("there is no time zone `Europe/Pariss`; did you mean `Europe/Paris`?"))]
    #[case("France", Err("there is no time zone `France`; "))]
    #[case("../../etc/passwd", Err("there is no time zone `../../etc/passwd`; "))]
    fn zones_are_known_by_name(#[case] name: &str, #[case] expected: Result<&str, &str>) {
        match (zone(name), expected) {
            (Ok(zone), Ok(expected)) => assert_eq!(zone, expected),
            (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }
}
