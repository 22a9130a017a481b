//! The table of keys as JSON Schema, for editors. It says less than the parser: nothing about what values mean together.

use serde_json::{Map, Value as Json, json};

use super::{
    keys,
    table::{Kind, Mapping, Status},
};

/// The JSON Schema (draft 2020-12) of init files.
#[must_use]
pub fn schema() -> Json {
    let mut definitions = Map::new();
    define(&keys::FILE, &mut definitions);
    let mut file = definitions.shift_remove(keys::FILE.name).unwrap_or_default();
    if let Some(file) = file.as_object_mut() {
        file.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        file.insert("title".to_owned(), "Polder init file".into());
        // What is missing may be in a file that is included.
        if let Some(required) = file.shift_remove("required") {
            file.insert("anyOf".to_owned(), json!([{ "required": required }, { "required": ["include"] }]));
        }
        definitions.insert("variable".to_owned(), json!({ "type": "string", "pattern": VARIABLE }));
        file.insert("$defs".to_owned(), definitions.into());
    }
    file
}

/// A text with a variable in it can become anything.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}";

/// Adds a mapping and all it refers to.
fn define(mapping: &Mapping, definitions: &mut Map<String, Json>) {
    if definitions.contains_key(mapping.name) {
        return;
    }
    // Mappings may refer to themselves.
    definitions.insert(mapping.name.to_owned(), Json::Null);
    let mut properties: Map<String, Json> = Map::new();
    properties.insert("comment".to_owned(), json!({ "description": "For people; ignored." }));
    for key in mapping.keys {
        let mut schema = of(&key.kind, definitions);
        schema.insert("description".to_owned(), key.doc.into());
        if key.status != Status::Known {
            schema.insert("deprecated".to_owned(), true.into());
        }
        properties.insert(key.name.to_owned(), schema.into());
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { "^x-": { "description": "For other programs; ignored." } },
        "additionalProperties": false,
    });
    let required: Json = mapping.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    if let Some(schema) = schema.as_object_mut().filter(|_| required != json!([])) {
        schema.insert("required".to_owned(), required);
    }
    definitions.insert(mapping.name.to_owned(), schema);
}

fn of(kind: &Kind, definitions: &mut Map<String, Json>) -> Map<String, Json> {
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    let schema = match kind {
        Kind::Any => json!({}),
        Kind::Text => scalar,
        Kind::Default => json!({ "type": ["string", "number", "boolean", "null"] }),
        // Numbers may be written as text; a form says what text, and a variable may stand for any of it.
        Kind::Form(pattern) => json!({ "anyOf": [
            { "type": "number" }, { "type": "string", "pattern": pattern }, variable() ] }),
        // YAML 1.1 has more words than two.
        Kind::Bool => json!({ "anyOf": [
            { "type": "boolean" }, { "type": "string", "pattern": "^([Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF)$" }, variable() ] }),
        Kind::Whole { min, max, .. } => json!({ "anyOf": [
            { "type": "integer", "minimum": min, "maximum": max },
            { "type": "string", "pattern": "^[0-9]+$" }, variable() ] }),
        Kind::Percent => json!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 100 },
            { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$" }, variable() ] }),
        Kind::Word(words) => json!({ "anyOf": [{ "enum": words }, variable()] }),
        Kind::Each(each) => json!({ "type": "array", "items": of(each, definitions) }),
        Kind::Map(each) => json!({ "type": "object", "additionalProperties": of(each, definitions) }),
        Kind::Object(mapping) => {
            define(mapping, definitions);
            json!({ "$ref": format!("#/$defs/{}", mapping.name) })
        }
        Kind::Open(mapping) => {
            define(mapping, definitions);
            if let Some(schema) = definitions.get_mut(mapping.name).and_then(Json::as_object_mut) {
                schema.shift_remove("additionalProperties");
            }
            json!({ "$ref": format!("#/$defs/{}", mapping.name) })
        }
        Kind::Either(kinds) => {
            let any: Vec<Json> = kinds.iter().map(|kind| of(kind, definitions).into()).collect();
            json!({ "anyOf": any })
        }
    };
    match schema {
        Json::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn variable() -> Json {
    json!({ "$ref": "#/$defs/variable" })
}
