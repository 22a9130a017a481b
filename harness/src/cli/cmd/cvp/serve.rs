//! `polder cvp serve`: a portal of our own, until somebody stops it.
#![expect(clippy::print_stdout, reason = "where it serves has to be known while it does")]

use std::{
    fs,
    io::{self, Write},
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;

use crate::{
    cli::{context::Cx, cvp_args::CvpServe},
    cvp::server::{DeviceSpec, Portal, PortalSpec, SavedState},
};

/// Devices that a portal has without being told.
const DEMO: u16 = 4;

/// Connections are files, and clients keep thousands of them.
fn allow_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!("no more files can be opened than before: {error}");
    }
}

pub(super) async fn run(cx: &Cx, args: &CvpServe) -> anyhow::Result<()> {
    allow_files();
    let file = args.state.as_deref().map(|file| cx.absolute(file)).transpose()?;
    let state = match &file {
        Some(file) if file.exists() => {
            let json = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            Some(SavedState { file: file.clone(), json })
        }
        _ => None,
    };
    let demo = if state.is_some() { 0 } else { DEMO };
    let portal = Portal::start(PortalSpec {
        listen: args.listen,
        plain_http: args.plain_http,
        username: args.user.clone(),
        password: args.password.clone(),
        imitate: args.imitate.clone(),
        task_delay: Duration::from_millis(args.task_delay),
        devices: DeviceSpec::demo(args.devices.unwrap_or(demo)),
        state,
        ..PortalSpec::default()
    })
    .await?;
    if let Some(file) = file.as_deref().filter(|file| !file.exists()) {
        // Where it cannot be written, better now than when all is in it.
        portal.save(file)?;
    }
    // Goes when this does; those who want to keep it copy it.
    let ca_file = portal.ca().map(|ca| -> io::Result<_> {
        let mut file = tempfile::Builder::new().prefix("polder-cvp-").suffix(".pem").tempfile()?;
        file.write_all(ca.as_bytes())?;
        Ok(file)
    });
    let ca_file = ca_file.transpose().context("cannot write the certificate of the portal's authority")?;
    let line = json!({
        "url": portal.url(),
        "username": portal.username(),
        "password": portal.password(),
        "token": portal.token(),
        "ca_file": ca_file.as_ref().map(|file| file.path()),
    });
    println!("{line}");
    io::stdout().flush()?;
    let mut stop = cx.stop.clone();
    // Whoever tells us is there as long as we are.
    let _ = stop.wait_for(|stop| *stop).await;
    let saved = file.map_or(Ok(()), |file| portal.save(&file));
    portal.stop().await;
    Ok(saved?)
}
