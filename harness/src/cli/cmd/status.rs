//! `polder status`.

use crate::cli::context::Cx;

pub(in crate::cli) async fn run(cx: &Cx) -> anyhow::Result<String> {
    cx.print(&cx.env().await?.status().await?)
}
