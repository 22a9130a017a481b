//! How results are printed: a value becomes text, in Lago's formats and those extensions add. Prints nothing itself.

mod flat;
mod human;
mod table;

use std::fmt::Debug;

use serde_json::{Map, Value};

pub(super) use table::table;

/// A way to print results.
pub trait OutputFormat: Debug + Send + Sync {
    /// What it is called on the command line.
    fn name(&self) -> &str;

    /// The text of a result, without an end of line at its end.
    ///
    /// # Errors
    /// Why it cannot be printed that way.
    fn format(&self, value: &Value) -> anyhow::Result<String>;
}

/// The formats that are always there.
pub(super) fn builtin() -> Vec<Box<dyn OutputFormat>> {
    vec![
        Box::new(BuiltIn("default", |value| Ok(human::format(value)))),
        Box::new(BuiltIn("flat", |value| Ok(flat::format(value)))),
        Box::new(BuiltIn("json", json)),
        Box::new(BuiltIn("yaml", |value| Ok(yaml_serde::to_string(value)?))),
    ]
}

struct BuiltIn(&'static str, fn(&Value) -> anyhow::Result<String>);

impl Debug for BuiltIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl OutputFormat for BuiltIn {
    fn name(&self) -> &str {
        self.0
    }
    fn format(&self, value: &Value) -> anyhow::Result<String> {
        let text = (self.1)(&sorted(value))?;
        Ok(text.trim_end_matches('\n').to_owned())
    }
}

fn json(value: &Value) -> anyhow::Result<String> {
    use serde::Serialize;
    let mut out = vec![];
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, indent))?;
    Ok(String::from_utf8(out)?)
}

/// The same with the keys of all its maps in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            Value::Object(
                keys.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// A value that has no parts, as text; the words for truth and nothing are those Lago prints.
fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn print(format: &str, value: &Value) -> String {
        builtin().iter().find(|f| f.name() == format).unwrap().format(value).unwrap()
    }

    fn status() -> Value {
        json!({"Prefix": {
            "UUID": "0a1b2c3d4e5f11e69d3c525400aabbcc",
            "Base directory": "/home/u/proj/.lago/default",
            "Networks": {"lab": {"status": "down", "management": true, "gateway": "192.168.210.1"}},
            "VMs": {"web": {
                "status": "down",
                "distro": "el7",
                "root password": "123456",
                "snapshots": "",
                "metadata": {"deploy-scripts": []},
                "NICs": {"eth0": {"network": "lab", "ip": "192.168.210.2"}},
            }},
        }})
    }

    #[test]
    fn default_is_for_people() {
        let expected = "\
[Prefix]:
    Base directory: /home/u/proj/.lago/default
    [Networks]:
        [lab]:
            gateway: 192.168.210.1
            management: True
            status: down
    UUID: 0a1b2c3d4e5f11e69d3c525400aabbcc
    [VMs]:
        [web]:
            [NICs]:
                [eth0]:
                    ip: 192.168.210.2
                    network: lab
            distro: el7
            [metadata]:
                deploy-scripts:\x20
            root password: 123456
            status: down";
        assert_eq!(print("default", &status()), expected);
    }

    #[test]
    fn flat_is_a_line_for_each_leaf() {
        let expected = "\
Base directory: /home/u/proj/.lago/default
Networks/lab/gateway: 192.168.210.1
Networks/lab/management: True
Networks/lab/status: down
UUID: 0a1b2c3d4e5f11e69d3c525400aabbcc
VMs/web/NICs/eth0/ip: 192.168.210.2
VMs/web/NICs/eth0/network: lab
VMs/web/distro: el7
VMs/web/root password: 123456
VMs/web/snapshots:\x20
VMs/web/status: down";
        assert_eq!(print("flat", &status()), expected);
    }

    #[test]
    fn json_has_sorted_keys_and_four_blanks() {
        let text = print("json", &status());
        let start = "{\n    \"Prefix\": {\n        \"Base directory\": \"/home/u/proj/.lago/default\",\n        \"Networks\": {";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("\"deploy-scripts\": []") && text.contains("\"snapshots\": \"\""), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), status());
    }

    #[test]
    fn yaml_quotes_what_would_not_stay_a_text() {
        let expected = "\
Prefix:
  Base directory: /home/u/proj/.lago/default
  Networks:
    lab:
      gateway: 192.168.210.1
      management: true
      status: down
  UUID: 0a1b2c3d4e5f11e69d3c525400aabbcc
  VMs:
    web:
      NICs:
        eth0:
          ip: 192.168.210.2
          network: lab
      distro: el7
      metadata:
        deploy-scripts: []
      root password: '123456'
      snapshots: ''
      status: down";
        assert_eq!(print("yaml", &status()), expected);
        assert_eq!(print("yaml", &json!({"a": {}, "b": "grün"})), "a: {}\nb: grün");
    }

    #[rstest::rstest]
    #[case::names(json!(["a", "b"]), "a\nb", "a\nb")]
    #[case::list(json!({"k": ["x", 1, true]}), "k: \n    x\n    1\n    True", "k: x\nk: 1\nk: True")]
    #[case::maps_in_a_list(json!({"k": [{"a": 1}, {"a": 2}]}), "k: \n    [0]:\n        a: 1\n    [1]:\n        a: 2", "k/0/a: 1\nk/1/a: 2")]
    #[case::nothing(json!({"n": null, "e": "", "m": {}, "l": []}), "l: ", "e: \nn: None")]
    #[case::plain(json!("text"), "text", "text")]
    fn odd_shapes_are_printed_too(#[case] value: Value, #[case] default: &str, #[case] flat: &str) {
        assert_eq!((print("default", &value).as_str(), print("flat", &value).as_str()), (default, flat));
    }
}
