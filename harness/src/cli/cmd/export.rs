//! `polder export`.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    cli::{args::Export, context::Cx},
    env::{ExportOptions, Selection},
};

/// Says which files were, or would be, written: images by machine, and the init file.
pub(in crate::cli) async fn run(cx: &Cx, args: &Export) -> anyhow::Result<String> {
    let options = ExportOptions {
        machines: Selection::of(&args.vm_names),
        to: args.dst_dir.clone(),
        layered: !args.standalone,
        compress: args.compress,
        pin: args.pin,
        init_file: args.init_file_name.clone(),
        json: cx.config.out_format == "json",
        collect_only: args.collect_only,
    };
    let exported = cx.env().await?.export(&options, &cx.progress()).await?;
    let mut files: BTreeMap<_, _> =
        exported.machines.iter().map(|(name, files)| (name.as_str(), json!(files))).collect();
    files.insert("init-file", json!(exported.init_file));
    cx.print(&files)
}
