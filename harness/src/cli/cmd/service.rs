//! `polder service`.

use super::shell::{find, require_running};
use crate::cli::{
    context::Cx,
    machine_args::{ServiceArgs, ServiceVerb},
};

pub(in crate::cli) async fn run(cx: &Cx, args: &ServiceArgs) -> anyhow::Result<String> {
    let env = cx.env().await?;
    let vm = find(&env, &args.host)?;
    require_running(&env, &vm).await?;
    let service = vm.service(&args.name);
    match args.what {
        ServiceVerb::Status => {}
        ServiceVerb::Start => service.start().await?,
        ServiceVerb::Stop => service.stop().await?,
        ServiceVerb::Restart => service.restart().await?,
        ServiceVerb::Logs => {
            let log = service.logs().await?.unwrap_or_default();
            return if cx.for_people() { Ok(log.trim_end().to_owned()) } else { cx.print(&log) };
        }
    }
    cx.print(&service.state().await?)
}
