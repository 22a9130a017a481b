//! The schema says of whole files what the parser says, as far as a schema can.

use regex_lite::Regex;
use serde_json::Value as Json;

use super::{
    super::{parse::tree, problems::Problems, reader, schema},
    *,
};

/// Problems every schema sees.
const SEEN: &[&str] = &["init::wrong-kind", "init::unknown-key", "init::bad-choice"];
/// Problems no schema of ours sees.
const UNSEEN: &[&str] = &[
    "init::management",
    "init::unknown-net",
    "init::dns-outside-management",
    "init::subnet-clash",
    "init::duplicate-address",
    "init::gateway-clash",
    "init::address-outside-net",
    "init::duplicate-mac",
    "init::duplicate-dev",
    "init::duplicate-disk",
    "init::duplicate-boot",
    "init::same-name",
    "init::misplaced-key",
    "init::bad-format",
    "init::bad-file",
    "init::bad-xml",
    "init::cpu-conflict",
    "init::cpu-topology",
    "init::unknown-prototype",
    "init::prototype-cycle",
    "init::no-ipv4",
    "init::no-ipv6",
];

/// The text as the value a schema is held against; `None` when it is no YAML at all.
fn value(text: &str) -> Option<Json> {
    let mut problems = Problems::new(false);
    let file = problems.source("lab.yaml".into(), "/lab".into(), text);
    let node = tree(file, &mut problems)?;
    problems.verdict(None).err().filter(|e| matches!(e, InitFileError::Invalid(all) if all.is_empty()))?;
    Some(reader::json(&node))
}

#[test]
fn the_schema_agrees_with_the_parser() {
    let schema = schema();
    let errors = |value: &Json| refusals(&schema, &schema, value);
    // A file that builds upon others lacks what those have, and nobody knows what a variable stands for.
    let alone = |case: &corpus::Case| {
        !case.allow_unknown && !case.text.starts_with("include:") && !case.text.contains("${")
    };
    for case in corpus::good().into_iter().filter(alone) {
        let found = errors(&value(&case.text).unwrap());
        assert!(found.is_empty(), "{}\n{found:#?}", case.text);
    }
    let (mut refused, mut passed) = (0, 0);
    for case in corpus::malformed().into_iter().filter(alone) {
        let Some(value) = value(&case.text) else { continue };
        let found = errors(&value);
        // What included files say is for their own validation.
        let codes: Vec<&str> = case
            .diagnostics()
            .iter()
            .filter(|d| d.severity == Severity::Error && d.file == Path::new("lab.yaml"))
            .map(|d| d.code)
            .collect();
        if codes.iter().any(|code| SEEN.contains(code)) {
            assert!(!found.is_empty(), "nothing found in\n{}\n{codes:?}", case.text);
            refused += 1;
        } else if codes.iter().all(|code| UNSEEN.contains(code)) {
            assert!(found.is_empty(), "{}\n{codes:?}\n{found:#?}", case.text);
            passed += 1;
        }
    }
    assert!(refused >= 10 && passed >= 10, "{refused} refused and {passed} passed say little");
}

/// Each key says what it is, and every reference leads somewhere.
#[test]
fn the_schema_documents_every_key() {
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let mut keys = 0;
    for object in definitions.values().chain([&schema]).filter(|d| d["type"] == "object") {
        for (key, property) in object["properties"].as_object().unwrap() {
            assert!(property["description"].as_str().is_some_and(|d| d.ends_with('.')), "{key}");
            keys += 1;
        }
    }
    assert!(keys > 100, "only {keys}");
    let text = schema.to_string();
    for reference in text.split("\"#/$defs/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(definitions.contains_key(reference), "{reference}");
    }
}

/// Why a value is not what a schema asks for. Knows the words our schema uses, and no other.
fn refusals(root: &Json, schema: &Json, value: &Json) -> Vec<String> {
    let mut found = Vec::new();
    for (word, asked) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "deprecated" => {}
            "additionalProperties" | "patternProperties" | "properties" | "items" => {}
            "$ref" => {
                let name = asked.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                found.extend(refusals(root, &root["$defs"][name], value));
            }
            "anyOf" => {
                let fits = |any: &Json| refusals(root, any, value).is_empty();
                if !asked.as_array().unwrap().iter().any(fits) {
                    found.push(format!("{value} is none of {asked}"));
                }
            }
            "type" if !types(asked).any(|kind| is(value, kind)) => {
                found.push(format!("{value} is no {asked}"))
            }
            "type" => {}
            "enum" if !asked.as_array().unwrap().contains(value) => {
                found.push(format!("{value} not in {asked}"))
            }
            "enum" => {}
            "pattern" => {
                let regex = Regex::new(asked.as_str().unwrap()).unwrap();
                found.extend(
                    value
                        .as_str()
                        .filter(|text| !regex.is_match(text))
                        .map(|text| format!("{text} !~ {asked}")),
                );
            }
            "minimum" => found.extend(
                value.as_f64().filter(|n| *n < asked.as_f64().unwrap()).map(|n| format!("{n} < {asked}")),
            ),
            "maximum" => found.extend(
                value.as_f64().filter(|n| *n > asked.as_f64().unwrap()).map(|n| format!("{n} > {asked}")),
            ),
            "required" => {
                let lacks = |key: &&Json| value.is_object() && value.get(key.as_str().unwrap()).is_none();
                found.extend(
                    asked.as_array().unwrap().iter().filter(lacks).map(|key| format!("{key} is missing")),
                );
            }
            unknown => panic!("this test does not know `{unknown}`"),
        }
    }
    for (key, member) in value.as_object().into_iter().flatten() {
        let matches = |pattern: &&String| Regex::new(pattern).unwrap().is_match(key);
        let by_pattern = schema["patternProperties"].as_object().and_then(|all| all.keys().find(matches));
        match (schema["properties"].get(key), by_pattern, &schema["additionalProperties"]) {
            (Some(property), _, _) => found.extend(refusals(root, property, member)),
            (None, Some(_), _) | (None, None, Json::Null) => {}
            (None, None, Json::Bool(false)) => found.push(format!("{key} is unknown")),
            (None, None, others) => found.extend(refusals(root, others, member)),
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        found.extend(items.iter().flat_map(|item| refusals(root, schema, item)));
    }
    found
}

/// `"type": "x"` and `"type": ["x", "y"]`.
fn types(asked: &Json) -> impl Iterator<Item = &str> {
    asked.as_array().into_iter().flatten().chain(asked.is_string().then_some(asked)).filter_map(Json::as_str)
}

fn is(value: &Json, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("this test does not know the type `{other}`"),
    }
}
