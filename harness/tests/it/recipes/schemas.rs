//! The schemas of services take their recipes.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

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
