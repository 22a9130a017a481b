//! A tree as YAML that is read as the same tree. Decides nothing.

use crate::initfile::{Node, Value};

/// The text of a whole file.
pub(super) fn write(root: &Node) -> String {
    let mut out = String::new();
    block(root, 0, &mut out);
    out
}

/// A mapping or list, line by line; the first line stands where the text is already.
fn block(node: &Node, depth: usize, out: &mut String) {
    match node.value() {
        Value::Map(entries) => {
            for (at, (key, value)) in entries.iter().enumerate() {
                indent(at, depth, out);
                out.push_str(&scalar(key.text(), true));
                out.push(':');
                under(value, depth, out);
            }
        }
        Value::List(list) => {
            for (at, item) in list.iter().enumerate() {
                indent(at, depth, out);
                out.push('-');
                match item.value() {
                    Value::Scalar { .. } => under(item, depth, out),
                    Value::Map(_) | Value::List(_) if is_empty(item) => under(item, depth, out),
                    Value::Map(_) | Value::List(_) => {
                        out.push(' ');
                        block(item, depth + 1, out);
                    }
                }
            }
        }
        Value::Scalar { text, quoted, .. } => out.push_str(&scalar(text, *quoted)),
    }
}

/// What follows a key or a dash.
fn under(value: &Node, depth: usize, out: &mut String) {
    match value.value() {
        Value::Scalar { text, quoted, .. } => out.push_str(&format!(" {}\n", scalar(text, *quoted))),
        Value::List(_) if is_empty(value) => out.push_str(" []\n"),
        Value::Map(_) if is_empty(value) => out.push_str(" {}\n"),
        Value::List(_) | Value::Map(_) => {
            out.push('\n');
            out.push_str(&"  ".repeat(depth + 1));
            block(value, depth + 1, out);
        }
    }
}

fn indent(at: usize, depth: usize, out: &mut String) {
    if at > 0 {
        out.push_str(&"  ".repeat(depth));
    }
}

fn is_empty(node: &Node) -> bool {
    match node.value() {
        Value::Map(entries) => entries.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Scalar { .. } => false,
    }
}

/// Names as they are, other texts in quotes with the escapes that JSON and YAML share.
fn scalar(text: &str, quoted: bool) -> String {
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let word = text.to_ascii_lowercase();
    let is_other =
        matches!(word.as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n");
    if !quoted || (is_name && !is_other) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
