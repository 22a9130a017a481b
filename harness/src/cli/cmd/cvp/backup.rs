//! `polder cvp backup`.

use std::path::PathBuf;

use super::reach;
use crate::{
    cli::{context::Cx, cvp_args::CvpBackup, portal::environment},
    cvp::jobs::backup,
};

/// Where it goes, if nobody says it.
const FOLDER: &str = "configlets_backup";

pub(super) async fn run(cx: &Cx, args: &CvpBackup) -> anyhow::Result<String> {
    let dir = args.dir.clone().or_else(|| environment("CVP_BACKUP").map(PathBuf::from));
    let dir = cx.absolute(&dir.unwrap_or_else(|| FOLDER.into()))?;
    reach::with(cx, &args.reach, async |client| {
        let kept = backup(client, &dir).await?;
        Ok(match cx.for_people() {
            true => format!("{} configlets are in {}", kept.len(), dir.display()),
            false => cx.print(&kept)?,
        })
    })
    .await
}
