//! `polder serve`: files for guests, until somebody stops it.
#![expect(clippy::print_stdout, reason = "where it serves has to be known while it does")]

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde_json::json;

use crate::{
    cli::{context::Cx, exit::BadInput},
    env::repo_folder,
};

pub(in crate::cli) async fn run(cx: &Cx, dir: Option<PathBuf>) -> anyhow::Result<()> {
    let mut stop = cx.stop.clone();
    let served = async {
        let env = cx.env().await?;
        let dir = match dir {
            Some(dir) => cx.absolute(&dir)?,
            None => repo_folder(env.folder()),
        };
        if !dir.is_dir() {
            let text =
                format!("there is no folder {}; `polder repo build` makes a repository", dir.display());
            return Err(BadInput(text).into());
        }
        let served = env.serve_at(&dir, cx.config.repo_port).await?;
        if cx.for_people() {
            println!("serving {served}");
        } else {
            println!("{}", cx.print(&json!({"folder": served.folder(), "url": served.url()}))?);
        }
        io::stdout().flush()?;
        Err(env.broken().await.into())
    };
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Ok(()),
        failed = served => failed,
    }
}
