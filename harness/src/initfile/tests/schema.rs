//! The schema says of whole files what the parser says, as far as a schema can.

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
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let errors = |value: &Json| {
        validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect::<Vec<_>>()
    };
    for case in corpus::good() {
        let found = errors(&value(&case.text).unwrap());
        assert!(found.is_empty(), "{}\n{found:#?}", case.text);
    }
    let (mut refused, mut passed) = (0, 0);
    for case in corpus::malformed() {
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
