//! The source of a new suite. Makes texts and nothing else.

use std::path::Path;

use super::name::{Name, is_keyword};
use crate::env::Names;

/// A suite of one machine that shows how they are written.
const HELLO: &str = include_str!("suite.rs.txt");

/// Its init file.
const HELLO_YAML: &str = include_str!("suite.yaml");

/// What another suite begins with; the machines follow.
const GIVEN: &str = include_str!("given.rs.txt");

/// An init file that there is already.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Described {
    /// Where it is, absolute.
    pub(in crate::cli) file: std::path::PathBuf,
    /// Its machines that answer when they are up.
    pub(in crate::cli) answering: Vec<String>,
    /// All its names.
    pub(in crate::cli) names: Names,
}

/// A suite with an init file of its own: source and init file.
pub(super) fn hello(name: &Name) -> (String, String) {
    let source = HELLO.replace("hello.yaml", &format!("{name}.yaml"));
    (source.replace("mod hello", &format!("mod {}", name.ident())), HELLO_YAML.to_owned())
}

/// A suite on an init file that there is, which its source names `path`.
pub(super) fn described(name: &Name, given: &Described, path: &Path) -> String {
    let mut taken = Vec::new();
    let scenarios: Vec<String> =
        given.answering.iter().map(|machine| scenario(machine, &given.names, &mut taken)).collect();
    let scenarios = if scenarios.is_empty() { vec![NOBODY.to_owned()] } else { scenarios };
    let text = GIVEN.replace("\"hello.yaml\"", &format!("{:?}", path.display().to_string()));
    let text = text.replace("mod hello", &format!("mod {}", name.ident()));
    text.replace("    // scenarios\n", &scenarios.join("\n"))
}

/// Where nobody can be asked.
const NOBODY: &str = "    #[test]
    async fn machines_are_there(env: &Env) -> Result {
        ensure!(!env.vms().is_empty(), \"the init file has no machine\");
        Ok(())
    }
";

fn scenario(machine: &str, names: &Names, taken: &mut Vec<String>) -> String {
    let plain = machine.replace(['-', '.'], "_");
    let begins_well = plain.starts_with(|c: char| c.is_ascii_alphabetic());
    let mut function =
        if begins_well { format!("{plain}_answers") } else { format!("machine_{plain}_answers") };
    while taken.contains(&function) {
        function.push_str("_too");
    }
    taken.push(function.clone());
    // What is after the underscore is the name that is asked for.
    let param = if !begins_well || is_keyword(&plain) { format!("_{plain}") } else { plain.clone() };
    if names.machine(&plain) == Some(machine) {
        return format!(
            "    #[test]\n    async fn {function}({param}: &Vm) -> Result {{\n        {param}.succeed(\"true\").await?;\n        Ok(())\n    }}\n"
        );
    }
    format!(
        "    // A parameter `{param}` would be another machine: `-` and `.` of a name are `_` in Rust.\n    #[test]\n    \
         async fn {function}(env: &Env) -> Result {{\n        let machine = env.vm({machine:?}).context(\"no such machine\")?;\n        \
         machine.succeed(\"true\").await?;\n        Ok(())\n    }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(machines: &[&str]) -> String {
        let machines: Vec<String> = machines.iter().map(|name| (*name).to_owned()).collect();
        let names = Names { machines: machines.clone(), ..Names::default() };
        let given = Described { file: "/p/LagoInitFile".into(), answering: machines, names };
        described(&"web-tests".parse().unwrap(), &given, Path::new("../../LagoInitFile"))
    }

    #[test]
    fn a_suite_has_a_scenario_for_each_machine_by_a_name_that_rust_takes() {
        let text = of(&["web", "db-1.a", "type", "1st", "db_1-a", "machine-x"]);
        assert!(
            text.contains("env = \"../../LagoInitFile\"") && text.contains("\nmod web_tests {"),
            "{text}"
        );
        for line in [
            "async fn web_answers(web: &Vm) -> Result {",
            "async fn db_1_a_answers(db_1_a: &Vm) -> Result {",
            "async fn type_answers(_type: &Vm) -> Result {",
            "async fn machine_1st_answers(_1st: &Vm) -> Result {",
            "async fn db_1_a_answers_too(env: &Env) -> Result {",
            "env.vm(\"db_1-a\")",
            "async fn machine_x_answers(machine_x: &Vm) -> Result {",
        ] {
            assert!(text.contains(line), "no `{line}` in\n{text}");
        }
        assert!(!text.contains("// scenarios") && !text.contains("hello"), "{text}");
        assert!(of(&[]).contains("machines_are_there"));
    }
}
