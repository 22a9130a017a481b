//! `polder doctor`.

use serde_json::json;

use crate::{
    base::exit::Exit,
    cli::{context::Cx, run::Said},
    env::look_at_daemon,
    lab::{
        LabKind,
        doctor::{self, Finding, Grade},
    },
};

/// The report; a failure when labs do not work here.
pub(in crate::cli) async fn run(cx: &Cx) -> anyhow::Result<Said> {
    let host = cx.host()?;
    // Images are built in a boundary, whichever labs environments live in.
    let mut findings = doctor::judge(&doctor::observe(&host.lab).await);
    if host.kind == LabKind::System {
        let folder = cx.config.workdir_path.as_ref().unwrap_or(&cx.cwd);
        findings.extend(doctor::judge_daemon(&look_at_daemon(&host, folder).await));
    }
    let fit = findings.iter().all(|f| f.grade != Grade::Bad);
    let exit = if fit { Exit::Done } else { Exit::Environment };
    if !cx.for_people() {
        let finding = |finding: &Finding| {
            let grade = match finding.grade {
                Grade::Good => "ok",
                Grade::Note => "note",
                Grade::Bad => "bad",
            };
            json!({"grade": grade, "text": finding.text, "fix": finding.fix})
        };
        let all: Vec<_> = findings.iter().map(finding).collect();
        let report = json!({"lab": host.kind.to_string(), "ok": fit, "findings": all});
        return Ok(Said::from(cx.print(&report)?).with(exit));
    }
    let lines = findings.iter().map(|finding| {
        let mark = match finding.grade {
            Grade::Good => "ok  ",
            Grade::Note => "note",
            Grade::Bad => "BAD ",
        };
        let fix = finding.fix.as_ref().map(|fix| format!("\n       {fix}")).unwrap_or_default();
        format!("{mark}  {}{fix}", finding.text)
    });
    let verdict = if fit { "labs work on this host" } else { "labs do not work on this host yet" };
    let verdict = format!("{} {verdict}", host.kind);
    let text = lines.chain([verdict]).collect::<Vec<_>>().join("\n");
    Ok(Said::from(text).with(exit))
}
