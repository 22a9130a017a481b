//! `polder report`: the reports of a run of suites, made again from its events.

use serde_json::json;

use crate::{
    cli::{cmd::runs::find, context::Cx, run::Said},
    report::run::write,
};

/// Writes both reports of a run; says where they are.
pub(in crate::cli) fn run(cx: &Cx, run: Option<&str>) -> anyhow::Result<Said> {
    let written = write(&find(cx, run)?)?;
    if !cx.for_people() {
        let paths = json!({ "junit": written.junit, "page": written.page, "notes": written.notes });
        return Ok(cx.print(&paths)?.into());
    }
    written.notes.iter().for_each(|note| cx.warn(note));
    Ok(format!("{}\n{}", written.junit.display(), written.page.display()).into())
}
