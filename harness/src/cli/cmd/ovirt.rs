//! `polder ovirt`: of Lago's verbs for oVirt those that need nothing of the engine's own SDK. It says of the others where
//! they went.

use std::ffi::OsString;

use crate::{
    base::text::did_you_mean,
    cli::{args::Ovirt, context::Cx, exit::BadInput},
    env::{
        Env, Selection,
        types::ovirt::{self, OvirtStatus},
    },
};

/// What was a verb of Lago's, and what is there instead.
const OTHERS: &[(&str, &str)] = &[
    ("collect", "is `polder collect`"),
    ("deploy", "is `polder deploy`"),
    ("engine-setup", NO_SDK),
    ("reposetup", "is `polder repo build`"),
    ("runtest", "is `cargo test`: suites are written in Rust"),
    ("serve", "is `polder serve`"),
    ("start-hosts", NO_SDK),
    ("start-vms", NO_SDK),
    ("stop-hosts", NO_SDK),
    ("stop-vms", NO_SDK),
];

const NO_SDK: &str =
    "needs the engine's SDK, which Polder does not have; docs/migrating-from-lago.md says what to do instead";

pub(in crate::cli) async fn run(cx: &Cx, what: Ovirt) -> anyhow::Result<String> {
    match what {
        Ovirt::Start { with_vms: false, .. } => start(cx).await,
        Ovirt::Start { .. } => Err(BadInput(format!("`--with-vms` {NO_SDK}")).into()),
        Ovirt::Stop => stop(cx).await,
        Ovirt::Status => cx.print(&look(&cx.env().await?).await?),
        Ovirt::Other(words) => Err(other(words.first()).into()),
    }
}

async fn start(cx: &Cx) -> anyhow::Result<String> {
    let (env, progress) = (cx.env().await?, cx.progress());
    env.start(&Selection::All, &progress).await?;
    let up = async {
        env.wait_ready(&Selection::All, &progress).await?;
        env.set_up(&Selection::All, &progress).await?;
        cx.print(&look(&env).await?)
    };
    cx.unless_stopped(up).await
}

async fn stop(cx: &Cx) -> anyhow::Result<String> {
    cx.env().await?.shutdown(&Selection::All, cx.config.shutdown_timeout, &cx.progress()).await?;
    Ok(String::new())
}

async fn look(env: &Env) -> anyhow::Result<OvirtStatus> {
    let status = ovirt::status(env).await?;
    if status.engine.is_none() && status.hosts.is_empty() {
        return Err(BadInput(
            "no machine here is of a vm-type such as `ovirt-engine` or `ovirt-host`".into(),
        )
        .into());
    }
    Ok(status)
}

fn other(word: Option<&OsString>) -> BadInput {
    let word = word.map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some((_, what)) = OTHERS.iter().find(|(name, _)| *name == word) {
        return BadInput(format!("`polder ovirt {word}` {what}"));
    }
    let known = OTHERS.iter().map(|(name, _)| *name).chain(["start", "stop", "status"]);
    let hint = did_you_mean(&word, known).map_or_else(
        || "`polder ovirt --help` lists all".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    BadInput(format!("no verb `{word}` of `polder ovirt`; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("collect", "`polder ovirt collect` is `polder collect`")]
    #[case("start-vms", "`polder ovirt start-vms` needs the engine's SDK, which Polder does not have")]
    #[case("statsu", "no verb `statsu` of `polder ovirt`; did you mean `status`?")]
    #[case("zzzzzz", "no verb `zzzzzz` of `polder ovirt`; `polder ovirt --help` lists all")]
    fn lagos_other_verbs_are_told_where_they_went(#[case] word: &str, #[case] expected: &str) {
        let said = other(Some(&word.into())).to_string();
        assert!(said.starts_with(expected), "{said}");
    }
}
