//! `polder up`.

use std::path::Path;

use anyhow::{Context, bail};

use crate::{
    cli::pointer::Pointer,
    env::{Env, Host},
};

pub(in crate::cli) async fn run(host: &Host, file: &Path) -> anyhow::Result<()> {
    if Pointer::load(file)?.is_some() {
        bail!(
            "the environment of {0} is up already; `polder status {0}` shows it, `polder down {0}` ends it",
            file.display()
        );
    }
    let spec = super::load(file)?;
    let env = match Env::up(host, &spec, &super::progress()).await {
        Ok(env) => env,
        Err(failure) => {
            if let Some(env) = failure.env {
                env.down().await.context("cannot take down what was made")?;
            }
            return Err(failure.error.into());
        }
    };
    // Written before the lab outlives us, so that there is always somebody who knows it.
    Pointer { lab: env.runtime().context("it has no lab")?.folder }.save(file)?;
    env.detach()?;
    eprintln!("up; `polder shell {0} MACHINE` opens a shell, `polder down {0}` ends it", file.display());
    Ok(())
}
