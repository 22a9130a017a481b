//! `polder validate`.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::{
    base::exit::Exit,
    cli::{context::Cx, init_args::ValidateArgs, log::colour, run::Said},
    env::{
        Env,
        plan::{PlanErrors, Warning},
    },
    initfile::{self, Diagnostic, InitFileError, Loaded, spec::Place},
};

/// Says what is wrong; a usage error when that is anything.
pub(in crate::cli) fn run(cx: &Cx, args: &ValidateArgs) -> anyhow::Result<Said> {
    let loaded = super::init::load(&args.file, &args.reading, &cx.planned_prefix(None)?);
    let (host, mut planned) = (cx.host()?, Ok(Vec::new()));
    if let Ok(Loaded { spec, .. }) = &loaded {
        planned = Env::check(&host, spec);
    }
    let good = loaded.is_ok() && planned.is_ok();
    let text = match (args.json, cx.for_people()) {
        (true, _) => to_json(&loaded, &planned).to_string(),
        (false, false) => cx.print(&to_json(&loaded, &planned))?,
        (false, true) => to_text(&args.file, &loaded, &planned, colour(&std::io::stdout())),
    };
    Ok(Said::from(text).with(if good { Exit::Done } else { Exit::Usage }))
}

/// What the plan has to say of a file that can be read.
type Planned = Result<Vec<Warning>, PlanErrors>;

fn to_json(loaded: &Result<Loaded, InitFileError>, planned: &Planned) -> Json {
    let mut diagnostics: Vec<Json> = match loaded {
        Ok(loaded) => loaded.warnings.iter().map(diagnostic).collect(),
        Err(InitFileError::Invalid(all)) => all.iter().map(diagnostic).collect(),
        Err(error @ InitFileError::Unreadable { path, source }) => {
            vec![one("error", "init::unreadable", &format!("{error}: {source}"), path, (1, 1), None)]
        }
    };
    let of_plan = |severity: &str, code: &str, message: &str, at: Option<&Place>| {
        let nowhere = Place { file: PathBuf::new(), line: 1, column: 1 };
        let at = at.unwrap_or(&nowhere);
        one(severity, code, message, &at.file, (at.line, at.column), None)
    };
    match planned {
        Ok(warnings) => diagnostics
            .extend(warnings.iter().map(|w| of_plan("warning", "plan::no-effect", &w.message, Some(&w.at)))),
        Err(PlanErrors(errors)) => diagnostics
            .extend(errors.iter().map(|e| of_plan("error", "plan::impossible", &e.message(), e.place()))),
    }
    json!({ "ok": loaded.is_ok() && planned.is_ok(), "diagnostics": diagnostics })
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

fn to_text(file: &Path, loaded: &Result<Loaded, InitFileError>, planned: &Planned, colour: bool) -> String {
    match loaded {
        Ok(loaded) => {
            let mut warnings = initfile::render(&loaded.warnings, colour);
            match planned {
                Ok(more) => warnings.extend(more.iter().map(|warning| format!("{warning}\n"))),
                Err(errors) => return format!("{warnings}{errors}"),
            }
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
    use crate::cli::{cmd::init::load, init_args::Reading};

    fn validated(text: &str, allow_unknown: bool, variables: &[(&str, &str)]) -> (Json, bool) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lab.yaml");
        fs::write(&file, text).unwrap();
        let variables = variables.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let mut reading = Reading::default();
        (reading.allow_unknown, reading.variables) = (allow_unknown, variables);
        let loaded = load(&file, &reading, folder.path());
        (to_json(&loaded, &Ok(vec![])), loaded.is_ok())
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
        let json = to_json(
            &load(Path::new("/nowhere/lab.yaml"), &Reading::default(), Path::new("/nowhere/p")),
            &Ok(vec![]),
        );
        assert!(json["ok"] == false && json["diagnostics"][0]["code"] == "init::unreadable", "{json}");
    }
}
