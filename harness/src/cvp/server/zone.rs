//! Clocks on walls: what time it is in UTC when a clock of a time zone shows something. Reads the system's data of zones.

use std::{fs, path::Path};

/// Where the system keeps zones.
const ZONES: &str = "/usr/share/zoneinfo";

/// Seconds since 1970 in UTC, when a clock of `zone` shows `wall`, itself seconds since 1970 of that clock. `None` when there
/// is no such zone, or no such time because it was skipped.
pub(super) fn to_utc(zone: &str, wall: u64) -> Option<u64> {
    if matches!(zone, "" | "UTC" | "GMT" | "Etc/UTC") {
        return Some(wall);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    if !zone.chars().all(plain) || zone.starts_with('/') {
        return None;
    }
    let zone = Zone::read(&fs::read(Path::new(ZONES).join(zone)).ok()?)?;
    let wall = i64::try_from(wall).ok()?;
    let mut offsets = zone.offsets.clone();
    offsets.sort_unstable();
    // Of a time that comes twice, the first.
    let utc = offsets.into_iter().rev().map(|offset| (offset, wall - offset));
    let utc = utc.filter(|(offset, utc)| zone.offset_at(*utc) == Some(*offset)).map(|(_, utc)| utc).min();
    u64::try_from(utc?).ok()
}

/// When clocks of a zone are changed, and to what.
struct Zone {
    changes: Vec<(i64, usize)>,
    /// Seconds east of UTC.
    offsets: Vec<i64>,
}

impl Zone {
    /// Reads a file in the format of `tzfile(5)`, whose second half has times of 64 bits.
    fn read(file: &[u8]) -> Option<Self> {
        let first = Header::read(file)?;
        let second = file.get(44 + first.data_length(4)..)?;
        let header = Header::read(second)?;
        let data = second.get(44..)?;
        let (times, rest) = data.split_at_checked(header.times * 8)?;
        let (kinds, rest) = rest.split_at_checked(header.times)?;
        let times =
            times.chunks_exact(8).filter_map(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)));
        let offsets = rest
            .get(..header.kinds * 6)?
            .chunks_exact(6)
            .filter_map(|kind| Some(i64::from(i32::from_be_bytes(kind.get(..4)?.try_into().ok()?))));
        let changes = times.zip(kinds.iter().map(|kind| usize::from(*kind))).collect();
        Some(Self { changes, offsets: offsets.collect() })
    }

    fn offset_at(&self, utc: i64) -> Option<i64> {
        let last = self.changes.iter().rev().find(|(at, _)| *at <= utc);
        self.offsets.get(last.map_or(0, |(_, kind)| *kind)).copied()
    }
}

/// How much of what a file has.
struct Header {
    utc: usize,
    standard: usize,
    leaps: usize,
    times: usize,
    kinds: usize,
    letters: usize,
}

impl Header {
    fn read(file: &[u8]) -> Option<Self> {
        let counts = file.strip_prefix(b"TZif")?.get(16..40)?;
        let mut counts = counts
            .chunks_exact(4)
            .filter_map(|bytes| usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok());
        Some(Self {
            utc: counts.next()?,
            standard: counts.next()?,
            leaps: counts.next()?,
            times: counts.next()?,
            kinds: counts.next()?,
            letters: counts.next()?,
        })
    }

    fn data_length(&self, time: usize) -> usize {
        self.times * (time + 1)
            + self.kinds * 6
            + self.letters
            + self.leaps * (time + 4)
            + self.standard
            + self.utc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    // 2026-07-01 12:00 and 2026-12-01 12:00.
    #[case("UTC", 1_782_907_200, Some(1_782_907_200))]
    #[case("Europe/Paris", 1_782_907_200, Some(1_782_900_000))]
    #[case("Europe/Paris", 1_796_126_400, Some(1_796_122_800))]
    #[case("America/New_York", 1_796_126_400, Some(1_796_144_400))]
    // 2026-03-29 02:30 is skipped there.
    #[case("Europe/Paris", 1_774_751_400, None)]
    #[case("France", 1_782_907_200, None)]
    #[case("../../../etc/passwd", 1_782_907_200, None)]
    fn walls_are_read(#[case] zone: &str, #[case] wall: u64, #[case] expected: Option<u64>) {
        if zone == "UTC" || Path::new(ZONES).is_dir() || expected.is_none() {
            assert_eq!(to_utc(zone, wall), expected, "{zone}");
        }
    }
}
