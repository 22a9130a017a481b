//! TOML files: values before the first table are the root section's, tables are sections. Pure.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{Entry, Origin, Problem};

/// The values in `text`, which came from `path`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, Vec<Problem>> {
    let origin = |at: usize| {
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        Origin::File { path: path.to_owned(), line }
    };
    let table = DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        vec![Problem { origin: origin(at), message: e.message().into(), help: None }]
    })?;
    let mut entries = vec![];
    let mut problems = vec![];
    let mut take = |section: &str, name: &str, value: &DeValue<'_>, at: usize| match scalar(value) {
        Some(text) => {
            entries.push(Entry { section: section.into(), name: name.into(), text, origin: origin(at) });
        }
        None => problems.push(Problem {
            origin: origin(at),
            message: format!("`{name}` is neither a text nor a number nor true or false"),
            help: None,
        }),
    };
    for (name, value) in table.get_ref() {
        match value.get_ref() {
            DeValue::Table(section) => {
                for (key, value) in section {
                    take(name.get_ref(), key.get_ref(), value.get_ref(), key.span().start);
                }
            }
            value => take("", name.get_ref(), value, name.span().start),
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(problems) }
}

/// A list of scalars is the same separated by blanks, as flags that take several values have it.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| scalar(item.get_ref())).collect();
            items.map(|items| items.join(" "))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_lines() {
        let text = "# c\nlab = \"system\"\nlogdepth = -1\n\n[export]\nstandalone = true\nvm-names = [\"a\", \"b\"]\n";
        let show = |e: Entry| format!("{} [{}] {}={}", e.origin, e.section, e.name, e.text);
        let mut found: Vec<_> = parse(Path::new("f"), text).unwrap().into_iter().map(show).collect();
        found.sort();
        let expected = [
            "f:2 [] lab=system",
            "f:3 [] logdepth=-1",
            "f:6 [export] standalone=true",
            "f:7 [export] vm-names=a b",
        ];
        assert_eq!(found, expected);
    }

    #[rstest::rstest]
    #[case("lab = \n", "f:1: ")]
    #[case("a = 1\nb = 1979-05-27\n", "f:2: `b` is neither a text nor a number nor true or false")]
    #[case("[a.b]\nc = 1\n", "f:1: `b` is neither")]
    fn what_is_wrong_is_named(#[case] text: &str, #[case] message: &str) {
        let problems = parse(Path::new("f"), text).unwrap_err();
        assert!(problems[0].to_string().starts_with(message), "{}", problems[0]);
    }
}
