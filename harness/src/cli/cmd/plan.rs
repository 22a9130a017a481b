//! `polder plan`: what would be made, and what the state comes from that this would be in.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    cli::{context::Cx, init_args::PlanArgs},
    env::Env,
};

pub(in crate::cli) async fn run(cx: &Cx, args: &PlanArgs) -> anyhow::Result<String> {
    let prefix = cx.planned_prefix(None)?;
    let spec = super::init::read(cx, &args.file, &args.reading, &prefix)?.spec;
    if args.explain_key {
        let key = Env::boot_key(&cx.host()?, &spec, &cx.progress()).await?;
        if cx.for_people() {
            return Ok(format!("key {}\n{}", key.digest(), key.to_string().trim_end()));
        }
        let lines: BTreeMap<&str, &str> = key.lines().collect();
        return cx.print(&json!({ "key": key.digest(), "lines": lines }));
    }
    let plan = Env::plan_of(&cx.host()?, &spec, &cx.progress()).await?;
    if cx.for_people() { Ok(plan.to_string().trim_end().to_owned()) } else { cx.print(&plan) }
}
