//! INI files in the dialect Lago's are written in (that of Python's `configparser`), with the line of every value,
//! which no INI library tells. Pure.
//!
//! Keys end at the first `=` or `:`; indented lines continue a value; whole lines beginning with `#` or `;` are
//! comments; `%(key)s` is another value of the section and `%%` is `%`.

use std::path::Path;

use super::{Entry, Origin, Problem};

/// The values in `text`, which came from `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, Vec<Problem>> {
    let mut entries: Vec<Entry> = vec![];
    let mut problems = vec![];
    let mut section: Option<String> = None;
    let mut continued = false;
    for (number, line) in (1..).zip(text.lines()) {
        let origin = Origin::File { path: path.to_owned(), line: number };
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace)
            && continued
            && let Some(last) = entries.last_mut()
        {
            last.text.push('\n');
            last.text.push_str(trimmed);
            continue;
        }
        continued = false;
        let mut wrong = |message: &str, help: &str| {
            problems.push(Problem {
                origin: origin.clone(),
                message: message.into(),
                help: Some(help.into()),
            });
        };
        if let Some(rest) = trimmed.strip_prefix('[') {
            match rest.split_once(']') {
                Some((name, "")) => section = Some(name.trim().to_owned()),
                _ => wrong("a section that does not end", "write `[NAME]` alone on its line"),
            }
        } else if let Some((name, value)) = trimmed.split_once(['=', ':']) {
            match &section {
                Some(section) => {
                    let (name, text) = (name.trim().to_owned(), value.trim().to_owned());
                    entries.push(Entry { section: section.clone(), name, text, origin });
                    continued = true;
                }
                None => wrong("a value before the first section", "begin with `[polder]`"),
            }
        } else {
            wrong(&format!("`{trimmed}` is no value"), "write `key = value`");
        }
    }
    let expanded = entries.iter().filter_map(|entry| match expand(entry, &entries, 10) {
        Ok(text) => Some(Entry { text, ..entry.clone() }),
        Err(message) => {
            let help = Some("write `%%` for a percent sign".into());
            problems.push(Problem { origin: entry.origin.clone(), message, help });
            None
        }
    });
    let expanded = expanded.collect();
    if problems.is_empty() { Ok(expanded) } else { Err(problems) }
}

/// The text of `entry` with what `%` means in it, at most `depth` values deep.
fn expand(entry: &Entry, all: &[Entry], depth: u8) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = entry.text.as_str();
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|a| a.split_once(")s")) {
            let same = |e: &&Entry| {
                (e.section == entry.section || e.section == "DEFAULT") && e.name.eq_ignore_ascii_case(name)
            };
            let value =
                all.iter().find(same).ok_or_else(|| format!("`%({name})s` names no value of its section"))?;
            let left = depth.checked_sub(1).ok_or_else(|| format!("`%({name})s` names itself"))?;
            out.push_str(&expand(value, all, left)?);
            rest = after;
        } else {
            return Err(format!("`%` stands alone in `{}`", entry.text));
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Vec<String>> {
        let show = |e: Entry| format!("{} [{}] {}={}", e.origin, e.section, e.name, e.text);
        parse(Path::new("f"), text)
            .map(|entries| entries.into_iter().map(show).collect())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_have_their_lines() {
        let text = "# c\n\n[lago]\nssh_user = me\n; c\npath: a=b\n[ export ]\ndst_dir=x\n  y\n\nz =\n";
        let expected = [
            "f:4 [lago] ssh_user=me",
            "f:6 [lago] path=a=b",
            "f:8 [export] dst_dir=x\ny",
            "f:11 [export] z=",
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn percent_signs_mean_what_they_do_in_lagos_files() {
        let text = "[a]\nroot = /srv\nstore = %(root)s/100%%\ndeep = %(STORE)s/x\n";
        assert_eq!(read(text).unwrap()[1..], ["f:3 [a] store=/srv/100%", "f:4 [a] deep=/srv/100%/x"]);
    }

    #[rstest::rstest]
    #[case("a = 1", "f:1: a value before the first section; begin with `[polder]`")]
    #[case("[a]\nnonsense", "f:2: `nonsense` is no value; write `key = value`")]
    #[case("[a\nb=1", "f:1: a section that does not end; write `[NAME]` alone on its line")]
    #[case("[a]\nb = 5%", "f:2: `%` stands alone in `5%`; write `%%` for a percent sign")]
    #[case("[a]\nb = %(c)s", "f:2: `%(c)s` names no value of its section; write `%%` for a percent sign")]
    #[case("[a]\nb = %(b)s", "f:2: `%(b)s` names itself; write `%%` for a percent sign")]
    fn what_is_wrong_is_named(#[case] text: &str, #[case] message: &str) {
        assert_eq!(read(text).unwrap_err()[0], message);
    }
}
