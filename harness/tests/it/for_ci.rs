//! The recipes for CI services, as `polder new` writes them: their services' own schemas, and shells, take them.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{python::programs_of, typed::Ground};

/// Has the schemas of many services.
const CHECKER: &str = "check-jsonschema==0.39.0";

fn recipes() -> Ground {
    let ground = Ground::new("");
    ground.polder(&["new", "web", "--ci", "github,gitlab,jenkins"]).ok();
    ground
}

#[test]
fn services_take_their_recipes() {
    let Some(programs) = programs_of(CHECKER, "recipes for CI services with the schemas of these") else {
        return;
    };
    let ground = recipes();
    let judged = |schema: &str, file: &Path| {
        let mut check = Command::new(programs.join("check-jsonschema"));
        check.args(["--builtin-schema", schema]).arg(file).stdin(Stdio::null()).output().unwrap()
    };
    for (schema, name, key) in [
        ("vendor.github-workflows", ".github/workflows/polder.yml", "runs-on:"),
        ("vendor.gitlab-ci", ".gitlab-ci.yml", "artifacts:"),
    ] {
        let file = ground.path("web").join(name);
        let said = judged(schema, &file);
        assert!(said.status.success(), "{name}: {}", String::from_utf8_lossy(&said.stdout));
        // It does look.
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace(key, "no-such-key:")).unwrap();
        assert!(!judged(schema, &file).status.success(), "{name} without `{key}` is taken");
    }
}

/// All texts of `value` that are for a shell.
fn scripts(value: &Value, keys: &[&str], found: &mut Vec<String>) {
    match value {
        Value::Object(all) => {
            for (key, value) in all {
                match value {
                    Value::String(text) if keys.contains(&key.as_str()) => found.push(text.clone()),
                    Value::Array(lines) if keys.contains(&key.as_str()) => {
                        found.extend(lines.iter().map(|line| line.as_str().unwrap().to_owned()));
                    }
                    value => scripts(value, keys, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| scripts(value, keys, found)),
        _ => {}
    }
}

#[test]
fn shells_take_the_lines_of_recipes() {
    let ground = recipes();
    let read = |name: &str| fs::read_to_string(ground.path("web").join(name)).unwrap();
    let of_yaml = |name: &str, keys: &[&str]| {
        let mut found = Vec::new();
        scripts(&yaml_serde::from_str(&read(name)).unwrap(), keys, &mut found);
        found
    };
    let jenkins = read("Jenkinsfile");
    let steps = jenkins.lines().filter_map(|line| line.trim().strip_prefix("sh '")?.strip_suffix('\''));
    for (scripts, number) in [
        (of_yaml(".github/workflows/polder.yml", &["run"]), 3),
        (of_yaml(".gitlab-ci.yml", &["script", "before_script"]), 4),
        (steps.map(str::to_owned).collect(), 2),
    ] {
        assert_eq!(scripts.len(), number, "{scripts:?}");
        assert!(scripts.iter().any(|script| script.contains("cargo test --test \"$SUITE\"")), "{scripts:?}");
        for script in scripts {
            // What a service puts in is one word.
            let said = Command::new("sh")
                .args(["-n", "-c", &script.replace("${{", "x").replace("}}", "x")])
                .output();
            let said = said.unwrap();
            assert!(said.status.success(), "{script}: {}", String::from_utf8_lossy(&said.stderr));
        }
    }
    for (open, close) in [('{', '}'), ('(', ')')] {
        assert_eq!(jenkins.matches(open).count(), jenkins.matches(close).count(), "{open}");
    }
}
