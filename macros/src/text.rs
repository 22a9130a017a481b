//! What stands between quotation marks, as values: times, amounts of memory, dates, words.

use std::time::Duration;

use syn::{Expr, ExprLit, Lit, LitStr, Meta};

use crate::errors::Errors;

/// The text of `word = "text"`; `form` is how that is written.
pub(crate) fn text(meta: &Meta, form: &str, errors: &mut Errors) -> Option<LitStr> {
    if let Meta::NameValue(pair) = meta
        && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value
    {
        return Some(text.clone());
    }
    errors.at(meta, format!("write {form}"));
    None
}

/// `timeout = "30s"`.
pub(crate) fn timeout(meta: &Meta, errors: &mut Errors) -> Option<Duration> {
    let help = "not a time; write a whole number above 0 and one of `ms`, `s`, `m`, `h`, such as \"90s\"";
    meant(meta, "timeout = \"30s\"", duration, help, errors)
}

/// `memory = "4G"`, in MiB.
pub(crate) fn memory(meta: &Meta, errors: &mut Errors) -> Option<u64> {
    let help = "not an amount; write a whole number above 0 and one of `M`, `G`, `T`, such as \"4G\"";
    meant(meta, "memory = \"4G\"", mebibytes, help, errors)
}

/// `until = "2027-01-31"`.
pub(crate) fn date(meta: &Meta, errors: &mut Errors) -> Option<LitStr> {
    let help = "not a day; write year, month and day, such as \"2027-01-31\"";
    let form = "until = \"2027-01-31\", the last day on which it may fail";
    meant(meta, form, |text| is_day(text).then_some(()), help, errors)?;
    text(meta, form, errors)
}

/// Whether a text is one word that can be typed, listed and be part of a file's name.
pub(crate) fn is_word(text: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || "_-.+".contains(c);
    !text.is_empty() && text.len() <= 60 && text.chars().all(letter)
}

fn meant<T>(
    meta: &Meta,
    form: &str,
    read: impl FnOnce(&str) -> Option<T>,
    help: &str,
    errors: &mut Errors,
) -> Option<T> {
    let text = text(meta, form, errors)?;
    let value = read(&text.value());
    if value.is_none() {
        errors.push(syn::Error::new(text.span(), help));
    }
    value
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = quantity(text)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    // More than a century is a mistake, and would overflow the clock's arithmetic later.
    let total = number.checked_mul(milliseconds).filter(|&ms| ms < 100 * 366 * 24 * 3_600_000)?;
    Some(Duration::from_millis(total))
}

fn mebibytes(text: &str) -> Option<u64> {
    let (number, unit) = quantity(text)?;
    let factor = match unit {
        "M" => 1,
        "G" => 1 << 10,
        "T" => 1 << 20,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A whole number above 0, and what follows it.
fn quantity(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number = number.parse().ok().filter(|&number| number > 0)?;
    Some((number, unit))
}

fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |text: &str, digits: usize| {
        (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u32>().ok())?
    };
    let [year, month, day] = parts.as_slice() else { return false };
    let (Some(year), Some(month), Some(day)) = (number(year, 4), number(month, 2), number(day, 2)) else {
        return false;
    };
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_number_and_a_unit() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("10m", Some(600_000)),
            ("2h", Some(7_200_000)),
            ("0s", None),
            ("s", None),
            ("", None),
            ("10", None),
            ("1.5s", None),
            ("-1s", None),
            ("1 s", None),
            ("10S", None),
            ("99999999999999999999h", None),
            ("999999999999h", None),
        ] {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn amounts_of_memory_are_a_number_and_a_unit() {
        let amounts = ["512M", "4G", "2T", "0G", "4", "4GB", "1.5G", "four", "", "99999999999999999T"];
        let expected = [Some(512), Some(4096), Some(2 << 20)];
        assert_eq!(amounts.map(mebibytes)[..3], expected);
        assert!(amounts[3..].iter().all(|text| mebibytes(text).is_none()));
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let days = ["2027-01-31", "2028-02-29", "2000-02-29", "2027-12-01"];
        assert!(days.iter().all(|day| is_day(day)));
        let others = [
            "2027-02-29",
            "2100-02-29",
            "2027-13-01",
            "2027-00-01",
            "2027-04-31",
            "2027-01-00",
            "2027-1-31",
            "31.01.2027",
            "2027-01",
            "2027-01-31-1",
            "",
            "+027-01-31",
            "tomorrow",
        ];
        assert!(others.iter().all(|day| !is_day(day)));
    }

    #[test]
    fn words_can_be_typed() {
        assert!(["a", "v4", "10.0.0.1", "slow-disk", "größe", "1e+3"].iter().all(|text| is_word(text)));
        assert!(["", "a b", "fd00::1", "a/b", "a,b", "[a]", "'"].iter().all(|text| !is_word(text)));
    }
}
