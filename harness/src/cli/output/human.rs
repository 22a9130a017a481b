//! The format for people: indented, names of groups in brackets, nothing for what is empty.

use serde_json::Value;

use super::scalar;

pub(super) fn format(value: &Value) -> String {
    let mut lines = vec![];
    match value {
        Value::Array(items) => list(items, 0, &mut lines),
        Value::Object(map) => map.iter().for_each(|(key, value)| entry(key, value, 0, &mut lines)),
        other => lines.push(scalar(other)),
    }
    lines.join("\n")
}

fn entry(key: &str, value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "    ".repeat(depth);
    match value {
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::Object(map) if map.is_empty() => {}
        Value::Object(map) => {
            lines.push(format!("{indent}[{key}]:"));
            map.iter().for_each(|(key, value)| entry(key, value, depth + 1, lines));
        }
        Value::Array(items) => {
            lines.push(format!("{indent}{key}: "));
            list(items, depth + 1, lines);
        }
        other => lines.push(format!("{indent}{key}: {}", scalar(other))),
    }
}

fn list(items: &[Value], depth: usize, lines: &mut Vec<String>) {
    for (number, item) in items.iter().enumerate() {
        match item {
            Value::Object(_) | Value::Array(_) => entry(&number.to_string(), item, depth, lines),
            other => lines.push(format!("{}{}", "    ".repeat(depth), scalar(other))),
        }
    }
}
