//! Holds a tree against the table of keys: what kind of value stands where, and keys nobody knows. What passes here
//! has the shape that `reader.rs` takes values out of; what the values mean together is not known here.

use super::{
    keys,
    parse::{Node, Value},
    problems::{Problems, Span},
    table::{Key, Kind, Mapping, Status},
};
use crate::base::text::did_you_mean;

/// Longest text that is compared with known words, or shown whole.
const LONG: usize = 64;

/// Notes everything in the file that does not have the shape the table says.
pub(crate) fn conform(root: &Node, problems: &mut Problems) {
    let at = Span::start_of(root.span.file);
    object(root, &at, &keys::FILE, problems);
}

/// What a mapping lacks is reported at `at`.
pub(crate) fn object(node: &Node, at: &Span, mapping: &Mapping, problems: &mut Problems) {
    let Value::Map(entries) = node.value() else {
        return wrong_kind(node, mapping.of, "a mapping", None, problems);
    };
    for (key, node) in entries {
        match mapping.find(key.text()) {
            Some(known) => value(key, node, known, mapping, problems),
            None if is_ignored(key.text()) => {}
            None => unknown_key(key, mapping, problems),
        }
    }
    for key in mapping.keys.iter().filter(|key| key.required && node.get(key.name).is_none()) {
        let message = format!("{} needs the key `{}`", mapping.of, key.name);
        problems.add("init::missing-key", at, message, None);
    }
}

/// Keys for people, and for other programs.
fn is_ignored(key: &str) -> bool {
    key == "comment" || key.starts_with("x-")
}

fn unknown_key(key: &Node, mapping: &Mapping, problems: &mut Problems) {
    let known: Vec<&str> = mapping.known().collect();
    let help = match suggest(key.text(), &known) {
        Some(meant) => meant,
        None => format!("known keys: {}; `x-` before it makes it yours", listed(&known)),
    };
    let message = format!("{} has no key `{}`", mapping.of, shown(key.text()));
    problems.unknown("init::unknown-key", &key.span, message, Some(help));
}

fn value(key: &Node, node: &Node, known: &Key, mapping: &Mapping, problems: &mut Problems) {
    let name = known.name;
    match known.status {
        Status::Known => kind(node, &key.span, &format!("`{name}` of {}", mapping.of), &known.kind, problems),
        Status::Computed => {
            let message =
                format!("`{name}` of {} is worked out, what is written here does nothing", mapping.of);
            problems.warn("init::computed-key", &key.span, message, Some("remove it".to_owned()));
        }
        Status::Historic => {
            let message = format!("`{name}` of {} does nothing any more", mapping.of);
            let help = known.doc.trim_end_matches('.').to_lowercase();
            problems.warn("init::historic-key", &key.span, message, Some(help));
        }
    }
}

fn kind(node: &Node, at: &Span, what: &str, kind: &Kind, problems: &mut Problems) {
    match kind {
        Kind::Any => {}
        Kind::Default if node.is_null() => {}
        Kind::Object(mapping) => object(node, at, mapping, problems),
        Kind::Open(mapping) => match node.value() {
            Value::Map(entries) => {
                for (key, node) in entries {
                    if let Some(known) = mapping.find(key.text()) {
                        value(key, node, known, mapping, problems);
                    }
                }
            }
            Value::List(_) | Value::Scalar { .. } => wrong_kind(node, what, "a mapping", None, problems),
        },
        Kind::Map(each) => match node.value() {
            Value::Map(entries) => {
                for (key, value) in entries {
                    let what = format!("`{}` in {what}", shown(key.text()));
                    self::kind(value, &key.span, &what, each, problems);
                }
            }
            Value::List(_) | Value::Scalar { .. } => wrong_kind(node, what, "a mapping", None, problems),
        },
        Kind::Each(each) => match node.value() {
            Value::List(items) => {
                for item in items {
                    self::kind(item, &item.span, &format!("an item of {what}"), each, problems);
                }
            }
            Value::Map(_) | Value::Scalar { .. } => {
                wrong_kind(node, what, "a list", Some(how_to_list(node)), problems);
            }
        },
        Kind::Either(kinds) => either(node, at, what, kinds, problems),
        Kind::Text
        | Kind::Default
        | Kind::Form(_)
        | Kind::Bool
        | Kind::Whole { .. }
        | Kind::Percent
        | Kind::Word(_) => {
            scalar(node, what, kind, problems);
        }
    }
}

fn how_to_list(node: &Node) -> String {
    match node.value() {
        Value::Map(_) | Value::List(_) => "begin each item with `- `".to_owned(),
        Value::Scalar { .. } if node.is_null() => "write `[]` for none".to_owned(),
        Value::Scalar { text, .. } => format!("write `[{}]`", shown(text)),
    }
}

/// What the node looks like decides which of the kinds it has to be.
fn either(node: &Node, at: &Span, what: &str, kinds: &[Kind], problems: &mut Problems) {
    let mut fitting = kinds.iter().filter(|kind| looks_like(kind) == node.kind());
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => kind(node, at, what, only, problems),
        (Some(_), Some(_)) => {}
        (None, _) => {
            let mut wanted: Vec<&str> = kinds.iter().map(looks_like).collect();
            wanted.dedup();
            wrong_kind(node, what, &wanted.join(" or "), None, problems);
        }
    }
}

fn looks_like(kind: &Kind) -> &'static str {
    match kind {
        Kind::Each(_) => "a list",
        Kind::Map(_) | Kind::Object(_) | Kind::Open(_) => "a mapping",
        _ => "a single value",
    }
}

fn scalar(node: &Node, what: &str, kind: &Kind, problems: &mut Problems) {
    let (text, quoted) = match node.value() {
        Value::Scalar { text, quoted, .. } if !node.is_null() => (text.as_str(), *quoted),
        _ if matches!(kind, Kind::Bool) => return bad_boolean(node, what, node.kind(), problems),
        _ => return wrong_kind(node, what, "a single value", None, problems),
    };
    match kind {
        Kind::Bool if quoted || boolean(text).is_none() => {
            bad_boolean(node, what, &format!("`{}`", shown(text)), problems);
        }
        Kind::Whole { min, max, unit } => whole(node, what, text, *min, *max, unit, problems),
        Kind::Percent if percent(text).is_none() => {
            let message = format!("{what} must be a number from 0 to 100, this is `{}`", shown(text));
            problems.add("init::bad-number", &node.span, message, None);
        }
        Kind::Word(words) if !words.contains(&text) => {
            let message = format!("{what} must be one of {}, this is `{}`", listed(words), shown(text));
            problems.add("init::bad-choice", &node.span, message, suggest(text, words));
        }
        _ => {}
    }
}

fn whole(node: &Node, what: &str, text: &str, min: u64, max: u64, unit: &str, problems: &mut Problems) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    if digits.is_empty() || !rest.is_empty() {
        let message = format!("{what} must be a whole number, this is `{}`", shown(text));
        let bare = text.strip_suffix(rest).filter(|bare| !bare.is_empty() && *bare != "-");
        let bare = bare.filter(|_| rest.len() < 8 && rest.chars().all(|c| c.is_ascii_alphabetic()));
        let help = bare.map(|bare| format!("write `{}`, without a unit", shown(bare)));
        return problems.add("init::bad-number", &node.span, message, help);
    }
    if !text.parse().is_ok_and(|n: u64| (min..=max).contains(&n)) {
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let message = format!("{what} must be from {min} to {max}{unit}, this is {}", shown(text));
        problems.add("init::out-of-range", &node.span, message, None);
    }
}

fn bad_boolean(node: &Node, what: &str, is: &str, problems: &mut Problems) {
    let message = format!("{what} must be true or false, this is {is}");
    let help = Some("write `true` or `false` without quotes".to_owned());
    problems.add("init::bad-boolean", &node.span, message, help);
}

fn wrong_kind(node: &Node, what: &str, wanted: &str, help: Option<String>, problems: &mut Problems) {
    let message = format!("{what} must be {wanted}, this is {}", node.kind());
    problems.add("init::wrong-kind", &node.span, message, help);
}

/// A boolean, as YAML 1.1 (hence Lago) writes it too.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A number from 0 to 100.
pub(crate) fn percent(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number| (0.0..=100.0).contains(number))
}

/// `` did you mean `x`? `` if one of the words is near enough.
pub(crate) fn suggest(typed: &str, words: &[&str]) -> Option<String> {
    let meant = did_you_mean(Some(typed).filter(|t| t.len() <= LONG)?, words.iter().copied())?;
    Some(format!("did you mean `{meant}`?"))
}

/// `` `a`, `b`, `c` ``, for messages.
pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

/// As much of a text as a message can take.
pub(crate) fn shown(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(LONG).collect();
    if short.len() == text.len() { short } else { format!("{short}...") }
}
