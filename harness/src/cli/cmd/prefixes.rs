//! `polder list`, `set-current`, `lock` and `unlock`: prefixes as folders.

use std::path::Path;

use crate::{cli::context::Cx, workdir::Choice};

pub(in crate::cli) fn list(cx: &Cx, workdir: Option<&Path>) -> anyhow::Result<String> {
    let mut choice = cx.choice();
    if let Some(path) = workdir {
        choice = Choice { workdir_path: Some(path.to_owned()), ..choice };
    }
    cx.print(&choice.workdir(&cx.cwd)?.prefixes()?)
}

pub(in crate::cli) fn set_current(cx: &Cx, name: &str) -> anyhow::Result<()> {
    Ok(cx.workdir()?.set_current(name)?)
}

pub(in crate::cli) async fn lock(cx: &Cx, reason: &str) -> anyhow::Result<()> {
    Ok(cx.locked("lock").await?.protect(reason)?)
}

pub(in crate::cli) async fn unlock(cx: &Cx) -> anyhow::Result<()> {
    Ok(cx.locked("unlock").await?.unprotect()?)
}
