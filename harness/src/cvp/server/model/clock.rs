//! Times and ids that the model gives out. Where the time and the secret come from is not known here.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::time::Utc;

/// A point in time, in milliseconds since 1970.
pub(crate) type Ms = u64;

/// What gives out times, never one twice and never backwards, and ids nobody guesses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Clock {
    secret: [u8; 32],
    next: u64,
    last: Ms,
    /// What the outer clock said last.
    #[serde(skip)]
    now: Ms,
}

impl Clock {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret, next: 0, last: 0, now: 0 }
    }

    /// Mixes in a new secret: what a saved one gave out is not guessed from the file.
    pub(crate) fn reseed(&mut self, secret: [u8; 32]) {
        self.secret = Sha256::new().chain_update(self.secret).chain_update(secret).finalize().into();
    }

    /// Takes over what the outer clock says.
    pub(crate) fn set(&mut self, now: Ms) {
        self.now = self.now.max(now);
    }

    /// What the outer clock said last.
    pub(crate) fn now(&self) -> Ms {
        self.now
    }

    /// The time of a change: later than that of any change before.
    pub(crate) fn stamp(&mut self) -> Ms {
        self.last = self.now.max(self.last + 1);
        self.last
    }

    /// A word of 64 hexadecimal digits that nobody guesses.
    pub(crate) fn secret(&mut self) -> String {
        hex(&self.random())
    }

    /// An id in the form of a UUID; later ones are greater.
    pub(crate) fn uuid(&mut self) -> String {
        let time = self.stamp();
        let digits = hex(&self.random());
        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
        let time = format!("{time:012x}");
        let (high, low) = time.split_at(8);
        format!("{high}-{low}-7{}-8{}-{}", part(0, 3), part(3, 6), part(6, 18))
    }

    fn random(&mut self) -> [u8; 32] {
        self.next += 1;
        Sha256::new().chain_update(self.secret).chain_update(self.next.to_le_bytes()).finalize().into()
    }
}

/// As lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A point in time as RFC 3339 writes it, such as `2026-11-21T05:03:23.007Z`.
pub(crate) fn rfc3339(at: Ms) -> String {
    let Utc { date: (year, month, day), time: (hour, minute, second), millis } = utc(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Reads RFC 3339; what is finer than milliseconds is dropped. `None` when it is something else.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Ms> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = (rest.get(..zone_at)?, rest.get(zone_at..)?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let milli: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let seconds = day_seconds(clock)?;
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let (sign, clock) = zone.split_at_checked(1)?;
            let seconds = i64::try_from(day_seconds(clock)?).ok()?;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    let seconds = i64::try_from(days_of(date)? * 86_400 + seconds).ok()? - offset;
    Some(u64::try_from(seconds).ok()? * 1000 + milli)
}

/// Reads `YYYY-MM-DD HH:MM` as seconds since 1970 of a clock that shows this. `None` when it is something else.
pub(crate) fn parse_wall_clock(text: &str) -> Option<u64> {
    let (date, clock) = text.trim().split_once([' ', 'T'])?;
    Some(days_of(date)? * 86_400 + day_seconds(clock)?)
}

/// `HH:MM[:SS]`.
fn day_seconds(clock: &str) -> Option<u64> {
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    (hour < 24 && minute < 60 && second < 61 && parts.next().is_none())
        .then_some(hour * 3600 + minute * 60 + second)
}

/// `YYYY-MM-DD` as days since 1970.
fn days_of(text: &str) -> Option<u64> {
    let mut parts = text.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1970..10_000).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let march = (month + 9) % 12;
    let (whole, year) = (year, year - u64::from(month <= 2));
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (march * 306 + 5) / 10 + day;
    let days = days.checked_sub(719_469)?;
    (utc(days * 86_400_000).date == (whole, month, day)).then_some(days)
}

/// A point in time, taken apart.
fn utc(at: Ms) -> Utc {
    Utc::from(UNIX_EPOCH + Duration::from_millis(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("2026-11-21T05:03:23Z", Some(1_795_237_403_000))]
    #[case("2000-02-29T00:00:00.5Z", Some(951_782_400_500))]
    #[case("2000-02-29T01:00:00.123456789+01:00", Some(951_782_400_123))]
    #[case("1970-01-01T00:00:00.007Z", Some(7))]
    #[case("2001-02-29T00:00:00Z", None)]
    #[case("2001-02-28T24:00:00Z", None)]
    #[case("2001-02-28", None)]
    #[case("soon", None)]
    fn times_are_read(#[case] text: &str, #[case] expected: Option<Ms>) {
        assert_eq!(parse_rfc3339(text), expected);
        if let Some(at) = expected {
            assert_eq!(parse_rfc3339(&rfc3339(at)), expected);
        }
    }

    #[test]
    fn nothing_is_given_out_twice() {
        let mut clock = Clock::new([7; 32]);
        clock.set(5);
        let stamps = [clock.stamp(), clock.stamp(), clock.stamp()];
        assert_eq!(stamps, [5, 6, 7]);
        let ids: Vec<_> = (0..100).map(|_| clock.uuid()).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 36), "{ids:?}");
    }
}
