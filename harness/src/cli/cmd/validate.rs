//! `polder validate`.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::{
    base::exit::Exit,
    cli::{
        context::Cx,
        init_args::{Reading, ValidateArgs},
        log::colour,
        run::Said,
    },
    initfile::{self, Diagnostic, InitFileError, Loaded, Options},
};

/// Says what is wrong; a usage error when that is anything.
pub(in crate::cli) fn run(cx: &Cx, args: &ValidateArgs) -> anyhow::Result<Said> {
    let loaded = load(&args.file, &args.reading);
    let text = match (args.json, cx.for_people()) {
        (true, _) => to_json(&loaded).to_string(),
        (false, false) => cx.print(&to_json(&loaded))?,
        (false, true) => to_text(&args.file, &loaded, colour(&std::io::stdout())),
    };
    Ok(Said::from(text).with(if loaded.is_ok() { Exit::Done } else { Exit::Usage }))
}

fn load(file: &Path, reading: &Reading) -> Result<Loaded, InitFileError> {
    let env = |name: &str| std::env::var(name).ok();
    let variables = reading.variables.iter().cloned().collect();
    let options = Options { env: &env, variables: &variables, allow_unknown: reading.allow_unknown };
    initfile::load(file, &options)
}

fn to_json(loaded: &Result<Loaded, InitFileError>) -> Json {
    let diagnostics: Vec<Json> = match loaded {
        Ok(loaded) => loaded.warnings.iter().map(diagnostic).collect(),
        Err(InitFileError::Invalid(all)) => all.iter().map(diagnostic).collect(),
        Err(error @ InitFileError::Unreadable { path, source }) => {
            vec![one("error", "init::unreadable", &format!("{error}: {source}"), path, (1, 1), None)]
        }
    };
    json!({ "ok": loaded.is_ok(), "diagnostics": diagnostics })
}

fn diagnostic(d: &Diagnostic) -> Json {
    one(&d.severity.to_string(), d.code, &d.message, &d.file, (d.line, d.column), d.help.as_deref())
}

fn one(
    severity: &str,
    code: &str,
    message: &str,
    file: &PathBuf,
    (line, column): (usize, usize),
    help: Option<&str>,
) -> Json {
    json!({
        "severity": severity, "code": code, "message": message,
        "file": file, "line": line, "column": column, "help": help,
    })
}

fn to_text(file: &Path, loaded: &Result<Loaded, InitFileError>, colour: bool) -> String {
    match loaded {
        Ok(loaded) => {
            let warnings = initfile::render(&loaded.warnings, colour);
            let (machines, nets) = (loaded.spec.machines.len(), loaded.spec.nets.len());
            format!("{warnings}{} is good: machines: {machines}, nets: {nets}", file.display())
        }
        Err(InitFileError::Unreadable { path, source }) => {
            format!("cannot read the init file {}: {source}", path.display())
        }
        Err(error) => error.render(colour).trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn validated(text: &str, allow_unknown: bool, variables: &[(&str, &str)]) -> (Json, bool) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lab.yaml");
        fs::write(&file, text).unwrap();
        let variables = variables.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let mut reading = Reading::default();
        (reading.allow_unknown, reading.variables) = (allow_unknown, variables);
        let loaded = load(&file, &reading);
        (to_json(&loaded), loaded.is_ok())
    }

    #[test]
    fn diagnostics_are_told_as_json() {
        let text = "variables: {M: x}\ndomains: {a: {memroy: 5, memory: \"${M}\"}}\nnets: {lan: {}}\n";
        let (json, good) = validated(text, false, &[("M", "64")]);
        assert!(!good && json["ok"] == false, "{json}");
        let [unknown] = json["diagnostics"].as_array().unwrap().as_slice() else { panic!("{json}") };
        assert_eq!(
            (&unknown["code"], &unknown["line"], &unknown["column"]),
            (&json!("init::unknown-key"), &json!(2), &json!(15))
        );
        assert_eq!(
            (&unknown["severity"], &unknown["help"]),
            (&json!("error"), &json!("did you mean `memory`?"))
        );
        assert!(unknown["file"].as_str().unwrap().ends_with("lab.yaml") && unknown["message"].is_string());

        let (json, good) = validated(text, true, &[("M", "64")]);
        assert!(good && json["ok"] == true && json["diagnostics"][0]["severity"] == "warning", "{json}");
    }

    #[test]
    fn a_file_that_is_not_there_is_a_diagnostic_too() {
        let json = to_json(&load(Path::new("/nowhere/lab.yaml"), &Reading::default()));
        assert!(json["ok"] == false && json["diagnostics"][0]["code"] == "init::unreadable", "{json}");
    }
}
