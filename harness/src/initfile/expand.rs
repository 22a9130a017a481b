//! Values in an init file that are more than words: sizes and texts with environment variables in them.

use super::shape::shown;

/// Bytes of a size such as `20G`, `512M` or `1024`, in the units of `qemu-img` (powers of 1024).
///
/// # Errors
/// Says what a size looks like, or that it is too small or too large.
pub(crate) fn size(text: &str) -> Result<u64, &'static str> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..) {
        Some("") => 0,
        Some("K" | "k") => 10,
        Some("M") => 20,
        Some("G") => 30,
        Some("T") => 40,
        _ => return Err("its unit must be one of K, M, G and T, as in `20G`"),
    };
    let number: u64 = digits.parse().map_err(|_| "it must be a whole number with a unit, as in `20G`")?;
    match number.checked_mul(1 << shift) {
        Some(0..512) => Err("a disk has at least 512 bytes"),
        Some(bytes) if i64::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err("no disk is that large"),
    }
}

/// Replaces `$VAR` and `${VAR}`; `$$` stands for one `$`, as does a `$` before anything else.
///
/// # Errors
/// Everything that could not be replaced, in words.
pub(crate) fn variables(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<String>> {
    let mut out = String::new();
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let (name, tail) = name(after);
        match name {
            Some("") => out.push('$'),
            Some(name) => match lookup(name) {
                Some(value) => out.push_str(&value),
                None => errors.push(format!("the variable `{name}` is not set")),
            },
            None => {
                errors.push(format!("`${}` is not a variable; write `$NAME` or `${{NAME}}`", shown(after)))
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

/// Splits what follows a `$` into a variable's name and the rest; `None` for broken braces.
fn name(after: &str) -> (Option<&str>, &str) {
    let end = |s: &str| s.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(s.len());
    match after.strip_prefix('{') {
        None => {
            let (name, tail) = after.split_at(end(after));
            (Some(name), tail)
        }
        Some(braced) => match braced.split_at(end(braced)) {
            (name, tail) if !name.is_empty() && tail.starts_with('}') => {
                (Some(name), tail.get(1..).unwrap_or_default())
            }
            _ => (None, ""),
        },
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("512", Some(512))]
    #[case("1k", Some(1024))]
    #[case("512M", Some(512 << 20))]
    #[case("20G", Some(20 << 30))]
    #[case("1T", Some(1 << 40))]
    #[case("1TiB", None)]
    #[case("511", None)]
    #[case("0", None)]
    #[case("-1G", None)]
    #[case("1.5G", None)]
    #[case("20GB", None)]
    #[case("G", None)]
    #[case("", None)]
    #[case("9999999999T", None)]
    #[case("99999999999999999999", None)]
    fn sizes(#[case] text: &str, #[case] bytes: Option<u64>) {
        assert_eq!(size(text).ok(), bytes);
    }

    #[rstest]
    #[case("plain", Ok("plain"))]
    #[case("$A/x", Ok("one/x"))]
    #[case("${A}x$B_2", Ok("onextwo"))]
    #[case("cost: 5$ $ $/", Ok("cost: 5$ $ $/"))]
    #[case("$A$A", Ok("oneone"))]
    #[case("$NO/$A/${NEIN}", Err(2))]
    #[case("$$A $${A} $$$A", Ok("$A ${A} $one"))]
    #[case("${A", Err(1))]
    #[case("${}", Err(1))]
    fn variables_are_replaced(#[case] text: &str, #[case] expected: Result<&str, usize>) {
        let lookup = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "B_2" => Some("two".to_owned()),
            _ => None,
        };
        let got = variables(text, &lookup);
        assert_eq!(got.as_deref().map_err(Vec::len), expected);
    }
}
