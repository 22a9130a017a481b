//! Typed values out of the tree: each function takes a node and what it is called, and either gives the value or notes
//! what is wrong with it. Knows no key by name.

use std::{fmt::Display, net::Ipv4Addr, ops::RangeInclusive, str::FromStr};

use super::{
    diagnostic::{Problems, Span},
    keys::Keys,
    parse::{Node, Value},
};
use crate::base::text::did_you_mean;

/// A mapping whose keys have been checked.
pub(crate) struct Fields<'n> {
    /// Where a missing key is reported.
    at: Span,
    of: &'static str,
    entries: &'n [(Node, Node)],
}

impl<'n> Fields<'n> {
    /// Reads a mapping, noting keys that `keys` does not have; what it lacks is reported at `at`.
    pub(crate) fn read(node: &'n Node, at: &Span, keys: &Keys, problems: &mut Problems) -> Option<Self> {
        let entries = mapping(node, keys.of, problems)?;
        for (key, _) in entries {
            check_key(key, keys, problems);
        }
        Some(Self { at: at.clone(), of: keys.of, entries })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(k, _)| k.text() == key).map(|(_, v)| v)
    }

    pub(crate) fn require(&self, key: &str, problems: &mut Problems) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            problems.add("init::missing-key", &self.at, format!("{} needs the key `{key}`", self.of), None);
        }
        found
    }
}

fn check_key(key: &Node, keys: &Keys, problems: &mut Problems) {
    let text = key.text();
    if text == "comment" || text.starts_with("x-") || keys.known.contains(&text) {
        return;
    }
    if keys.later.contains(&text) {
        return not_yet(key, &format!("the key `{text}` of {}", keys.of), UNUSED_KEY, problems);
    }
    let all = || keys.known.iter().chain(keys.later).copied();
    let help = match did_you_mean(text, all()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known keys: {}; `x-` before it makes it yours", listed(keys.known)),
    };
    problems.add("init::unknown-key", &key.span, format!("{} has no key `{text}`", keys.of), Some(help));
}

/// What to do about a key that means nothing here.
pub(crate) const UNUSED_KEY: &str = "remove it, or put `x-` before it to have it ignored";

/// Notes something that Lago has and Polder does not have yet.
pub(crate) fn not_yet(node: &Node, what: &str, help: &str, problems: &mut Problems) {
    let message = format!("{what} is Lago's and not supported yet");
    problems.add("init::not-supported-yet", &node.span, message, Some(help.to_owned()));
}

/// The entries of a mapping.
pub(crate) fn mapping<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n [(Node, Node)]> {
    match node.value() {
        Value::Map(entries) => Some(entries),
        Value::List(_) | Value::Scalar { .. } => wrong_kind(node, what, "a mapping", None, problems),
    }
}

/// The items of a list.
pub(crate) fn list<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n [Node]> {
    match node.value() {
        Value::List(items) => Some(items),
        Value::Scalar { text, .. } if !node.is_null() => {
            wrong_kind(node, what, "a list", Some(format!("write `[{text}]`")), problems)
        }
        Value::Map(_) => {
            wrong_kind(node, what, "a list", Some("begin each item with `- `".to_owned()), problems)
        }
        Value::Scalar { .. } => {
            wrong_kind(node, what, "a list", Some("write `[]` for none".to_owned()), problems)
        }
    }
}

/// The text of a scalar, numbers and booleans as they were written.
pub(crate) fn text<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n str> {
    match node.value() {
        Value::Scalar { text, .. } if !node.is_null() => Some(text),
        Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
            wrong_kind(node, what, "a single value", None, problems)
        }
    }
}

fn wrong_kind<T>(
    node: &Node,
    what: &str,
    wanted: &str,
    help: Option<String>,
    problems: &mut Problems,
) -> Option<T> {
    let message = format!("{what} must be {wanted}, this is {}", node.kind());
    problems.add("init::wrong-kind", &node.span, message, help);
    None
}

/// A whole number within `range`, written as a number or as text.
pub(crate) fn number<T>(
    node: &Node,
    what: &str,
    range: &RangeInclusive<T>,
    problems: &mut Problems,
) -> Option<T>
where
    T: FromStr + PartialOrd + Display,
{
    let text = text(node, what, problems)?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let unit = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    if digits.is_empty() || !unit.is_empty() {
        let message = format!("{what} must be a whole number, this is `{text}`");
        let bare = text.strip_suffix(unit).filter(|bare| !bare.is_empty());
        let help = bare.filter(|_| unit.chars().all(|c| c.is_ascii_alphabetic()));
        problems.add(
            "init::bad-number",
            &node.span,
            message,
            help.map(|bare| format!("write `{bare}`, without a unit")),
        );
        return None;
    }
    let number = text.parse().ok().filter(|n| range.contains(n));
    if number.is_none() {
        let message = format!("{what} must be from {} to {}, this is {text}", range.start(), range.end());
        problems.add("init::out-of-range", &node.span, message, None);
    }
    number
}

/// A boolean, as YAML 1.1 (hence Lago) writes it too.
pub(crate) fn boolean(node: &Node, what: &str, problems: &mut Problems) -> Option<bool> {
    if let Value::Scalar { text, quoted: false } = node.value() {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => return Some(true),
            "false" | "no" | "off" => return Some(false),
            _ => {}
        }
    }
    let message = match node.value() {
        Value::Scalar { text, .. } if !node.is_null() => {
            format!("{what} must be true or false, this is `{text}`")
        }
        _ => format!("{what} must be true or false, this is {}", node.kind()),
    };
    let help = Some("write `true` or `false` without quotes".to_owned());
    problems.add("init::bad-boolean", &node.span, message, help);
    None
}

/// One of a few words; those of `later` are Lago's and not supported yet.
pub(crate) fn choice<T: Copy>(
    node: &Node,
    what: &str,
    words: &[(&str, T)],
    later: &[&str],
    problems: &mut Problems,
) -> Option<T> {
    let text = text(node, what, problems)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    if later.contains(&text) {
        not_yet(node, &format!("the {what} `{text}`"), &format!("use {}", listed(&known)), problems);
        return None;
    }
    let help = did_you_mean(text, known.iter().copied()).map(|meant| format!("did you mean `{meant}`?"));
    let message = format!("{what} must be one of {}, this is `{text}`", listed(&known));
    problems.add("init::bad-choice", &node.span, message, help);
    None
}

/// Anything that parses itself from text and says in lower case what is wrong with it.
pub(crate) fn parsed<T>(node: &Node, what: &str, code: &'static str, problems: &mut Problems) -> Option<T>
where
    T: FromStr<Err: Display>,
{
    match text(node, what, problems)?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            problems.add(code, &node.span, format!("{what} is not usable: {error}"), None);
            None
        }
    }
}

/// An IPv4 address a host can have.
pub(crate) fn address(node: &Node, what: &str, problems: &mut Problems) -> Option<Ipv4Addr> {
    let text = text(node, what, problems)?;
    let Ok(ip) = text.parse::<Ipv4Addr>() else {
        let message = format!("{what} must be an IPv4 address, this is `{text}`");
        let help = match text.split_once('/') {
            Some((ip, _)) => format!("write `{ip}`: every net is a /24"),
            None => "write four numbers from 0 to 255, such as `192.168.200.10`".to_owned(),
        };
        problems.add("init::bad-address", &node.span, message, Some(help));
        return None;
    };
    let [first, .., last] = ip.octets();
    if matches!(first, 0 | 127 | 224..) || matches!(last, 0 | 255) {
        let message = format!("{what} must be an address a machine can have, {ip} is not");
        let help = Some("every net is a /24, whose addresses end in 1 to 254".to_owned());
        problems.add("init::bad-address", &node.span, message, help);
        return None;
    }
    Some(ip)
}

/// `` `a`, `b`, `c` ``, for messages.
pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}
