//! `polder plan`.

use crate::{
    cli::{context::Cx, init_args::PlanArgs},
    env::Env,
};

pub(in crate::cli) async fn run(cx: &Cx, args: &PlanArgs) -> anyhow::Result<String> {
    let spec = super::init::read(cx, &args.file, &args.reading, None)?.spec;
    let plan = Env::plan_of(&cx.host()?, &spec, &cx.progress()).await?;
    if cx.for_people() { Ok(plan.to_string().trim_end().to_owned()) } else { cx.print(&plan) }
}
