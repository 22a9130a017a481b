//! `polder plan`.

use std::path::Path;

use crate::env::{Env, Host};

pub(in crate::cli) async fn run(host: &Host, file: &Path, json: bool) -> anyhow::Result<String> {
    let plan = Env::plan_of(host, &super::load(file)?, &super::progress()).await?;
    Ok(if json { serde_json::to_string_pretty(&plan)? } else { plan.to_string().trim_end().to_owned() })
}
