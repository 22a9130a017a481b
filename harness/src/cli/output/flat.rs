//! The format for scripts: a line for each leaf, `a/b/c: value`.

use serde_json::Value;

use super::scalar;

pub(super) fn format(value: &Value) -> String {
    let mut lines = vec![];
    match value {
        // The group around a whole status is not told.
        Value::Object(map) if map.len() == 1 && map.contains_key("Prefix") => {
            map.values().for_each(|value| walk("", value, &mut lines));
        }
        other => walk("", other, &mut lines),
    }
    lines.join("\n")
}

fn walk(path: &str, value: &Value, lines: &mut Vec<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| walk(&below(key), value, lines)),
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                let plain = !(item.is_object() || item.is_array());
                walk(&if plain { path.to_owned() } else { below(&number.to_string()) }, item, lines);
            }
        }
        leaf if path.is_empty() => lines.push(scalar(leaf)),
        leaf => lines.push(format!("{path}: {}", scalar(leaf))),
    }
}
