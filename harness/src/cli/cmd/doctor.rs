//! `polder doctor`.

use crate::{
    base::exit::Exit,
    cli::run::Said,
    env::Host,
    lab::doctor::{self, Grade},
};

/// The report; a failure when labs do not work here.
pub(in crate::cli) async fn run(host: &Host) -> Said {
    let findings = doctor::judge(&doctor::observe(&host.lab).await);
    let lines = findings.iter().map(|finding| {
        let mark = match finding.grade {
            Grade::Good => "ok  ",
            Grade::Note => "note",
            Grade::Bad => "BAD ",
        };
        let fix = finding.fix.as_ref().map(|fix| format!("\n       {fix}")).unwrap_or_default();
        format!("{mark}  {}{fix}", finding.text)
    });
    let fit = findings.iter().all(|f| f.grade != Grade::Bad);
    let verdict =
        if fit { "hermetic labs work on this host" } else { "hermetic labs do not work on this host yet" };
    let text = lines.chain([verdict.to_owned()]).collect::<Vec<_>>().join("\n");
    Said::from(text).with(if fit { Exit::Done } else { Exit::Environment })
}
