//! What places of the resource API have in common: values with their times, streams of them, filters.

use serde_json::{Value, json};

use super::{
    super::model::{About, Ms, Refused, Why, rfc3339},
    Answer, Cx,
};

/// One value with its time.
pub(super) fn one(value: Value, at: Ms) -> Answer {
    Answer::json(&json!({"value": value, "time": rfc3339(at)}))
}

/// There is no such value.
pub(super) fn absent() -> Refused {
    Refused::new(About::Resource, Why::Absent, "resource not found")
}

/// All values that the filters let through.
pub(super) fn stream(cx: &Cx<'_>, values: impl IntoIterator<Item = (Value, String)>) -> Answer {
    let filters = cx.body.get("partialEqFilter").or_else(|| cx.body.get("partial_eq_filter"));
    let filters = filters.and_then(Value::as_array).cloned().unwrap_or_default();
    let passes = |value: &Value| filters.is_empty() || filters.iter().any(|filter| has(value, filter));
    Answer::stream(values.into_iter().filter(|(value, _)| passes(value)))
}

/// Whether a value has all that is given. What is zero, empty or unspecified is not given.
fn has(value: &Value, given: &Value) -> bool {
    match given {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) if number.as_f64() == Some(0.0) => true,
        Value::String(text) if text.is_empty() || text.ends_with("_UNSPECIFIED") => true,
        Value::Object(fields) => fields.iter().all(|(name, field)| {
            let absent = Value::Null;
            let found = value.get(name).or_else(|| value.get(camel(name))).unwrap_or(&absent);
            has(found, field)
        }),
        other => value == other,
    }
}

/// The name of a field in the one way in which it is answered.
fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                camel.extend(letter.to_uppercase());
                upper = false;
            }
            letter => camel.push(letter),
        }
    }
    camel
}

/// A body with the names of its fields in the one way in which they are answered; maps whose names are ids are left alone.
pub(super) fn camelled(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, field)| {
                    let ids = name == "values" && field.is_object();
                    let field = match field {
                        Value::Object(map) if ids => Value::Object(
                            map.iter().map(|(id, field)| (id.clone(), camelled(field))).collect(),
                        ),
                        field => camelled(field),
                    };
                    (camel(name), field)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(camelled).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(json!({}), true)]
    #[case(json!({"key": {"workspaceId": "a"}}), true)]
    #[case(json!({"key": {"workspace_id": "a", "label": ""}}), true)]
    #[case(json!({"key": {"workspace_id": "b"}}), false)]
    #[case(json!({"key": {"elementType": "ELEMENT_TYPE_UNSPECIFIED"}}), true)]
    #[case(json!({"other": 1}), false)]
    fn filters_are_parts_of_values(#[case] filter: Value, #[case] expected: bool) {
        let value = json!({"key": {"workspaceId": "a", "label": "l", "elementType": "ELEMENT_TYPE_DEVICE"}});
        assert_eq!(has(&value, &filter), expected);
    }

    #[test]
    fn names_of_fields_are_camelled_and_ids_are_not() {
        let body = json!({"root_stage_id": "a_b", "stages": {"values": {"my_stage": {"start_time": 1}}}});
        let expected = json!({"rootStageId": "a_b", "stages": {"values": {"my_stage": {"startTime": 1}}}});
        assert_eq!(camelled(&body), expected);
    }
}
