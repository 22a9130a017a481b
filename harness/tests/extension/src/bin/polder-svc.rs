//! A verb of its own, `polder svc VM SERVICE status|start|stop|restart|logs`, written against the library.

use std::{env, sync::Arc};

use anyhow::{Context, bail};
use extension::Small;
use polder::{
    env::{Env, Host},
    workdir::Workdir,
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [vm, service, what] = arguments.as_slice() else { bail!("say VM, SERVICE and what to do") };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut host = Host::from_env(&|name| env::var(name).ok())?;
        host.services.insert(0, Arc::new(Small));
        let workdir = Workdir::find(&env::current_dir()?)?;
        let env = Env::load(&host, &workdir.prefix(&workdir.current()?)?).await?;
        let vm = env.vm(vm).with_context(|| format!("no machine {vm}"))?;
        let service = vm.service(service);
        match what.as_str() {
            "start" => service.start().await?,
            "stop" => service.stop().await?,
            "restart" => service.restart().await?,
            "logs" => print!("{}", service.logs().await?.unwrap_or_default()),
            _ => {}
        }
        println!("{} by {}", service.state().await?, vm.service_manager().await?);
        Ok(())
    })
}
