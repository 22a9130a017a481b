//! Rows that a change is repeated over: anything that has names with one value each becomes variables. Decides, and does not act.

use serde::Serialize;
use serde_json::Value as Json;

use crate::change::{Vars, is_reserved};

/// The rows, or all that is wrong with them.
pub(super) fn rows<R: Serialize>(all: impl IntoIterator<Item = R>) -> Result<Vec<Vars>, Vec<String>> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for (number, row) in all.into_iter().enumerate() {
        let mut vars = Vars::new();
        match pairs(&row) {
            Ok(pairs) => {
                let wrong = pairs.into_iter().filter_map(|(name, value)| take(&mut vars, name, &value).err());
                problems.extend(wrong.map(|what| format!("row {}: {what}", number + 1)));
            }
            Err(what) => problems.push(format!("row {}: {what}", number + 1)),
        }
        found.push(vars);
    }
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

/// The names of a row with their values, in order.
fn pairs(row: &impl Serialize) -> Result<Vec<(String, Json)>, String> {
    let what = match serde_json::to_value(row) {
        Ok(Json::Object(fields)) => return Ok(fields.into_iter().collect()),
        Ok(Json::Array(items)) => {
            let pair = |item: Json| match item {
                Json::Array(pair) => match <[Json; 2]>::try_from(pair) {
                    Ok([Json::String(name), value]) => Some((name, value)),
                    _ => None,
                },
                _ => None,
            };
            match items.into_iter().map(pair).collect() {
                Some(pairs) => return Ok(pairs),
                None => "a list of something else than pairs".to_owned(),
            }
        }
        Ok(other) => kind(&other).to_owned(),
        Err(error) => format!("nothing that has names: {error}"),
    };
    Err(format!("it is {what}; a row has names with one value each: it is a struct, a map, or pairs"))
}

fn take(vars: &mut Vars, name: String, value: &Json) -> Result<(), String> {
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Bool(_) | Json::Number(_) => value.to_string(),
        Json::Null | Json::Array(_) | Json::Object(_) => {
            return Err(format!("`{name}` is {}, and not one value", kind(value)));
        }
    };
    if name.is_empty() {
        return Err(format!("the value `{text}` has no name"));
    }
    if is_reserved(&name) {
        return Err(format!("`{name}` is a name of ours; rename it"));
    }
    match vars.insert(name.clone(), text) {
        None => Ok(()),
        Some(_) => Err(format!("`{name}` has two values")),
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "a truth value",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a map",
    }
}
