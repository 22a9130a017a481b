//! The drivers against what they drive: programs, an ssh server, a server of HTTP, and a portal of our own. Rows of the
//! contract of changes that need a real program or server are in `contract`.

mod contract;
mod cvp;
mod http;
mod missing;
mod programs;
mod ssh;

use std::{collections::BTreeMap, path::Path, time::Duration};

use regex_lite::Regex;

use super::*;
use crate::{
    base::wait::Deadline,
    change::{self, Changes, DriverError, Request, Said, Session, Target, Vars, cond::Results},
};

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(20))
}

fn outside(variables: &'static [(&'static str, &'static str)]) -> Outside<'static> {
    let variable: &'static dyn Fn(&str) -> Option<String> = Box::leak(Box::new(move |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }));
    Outside { variable, machines: BTreeMap::new(), portal: None }
}

/// A file with one driver, `it`, and one device, `sw1`.
fn changes(folder: &Path, driver: &str, device: &str) -> Changes {
    let text = format!(
        "version: 1\ndevices: {{ sw1: {{ {device} }} }}\ndrivers: {{ it: {{ {driver} }} }}\n\
         scenario: {{ name: all, nodes: [ {{ step: a, targets: all }} ] }}\n"
    );
    let read = |path: &Path| std::fs::read_to_string(path);
    match change::parse(Path::new("lab.yaml"), folder, &text, &Vars::new(), &read) {
        Ok(loaded) => loaded.changes,
        Err(error) => panic!("{error:?}"),
    }
}

/// A session of the driver with the device; and what a plan would know for it.
async fn open(changes: &Changes, outside: &Outside<'_>) -> Result<Box<dyn Session>, DriverError> {
    let plan = change::plan(changes, &Vars::new()).unwrap();
    let vars = plan.steps()[0].units[0].vars.clone();
    let made = drivers(changes, outside).unwrap();
    made["it"].open(Target { device: &changes.devices[0], vars: &vars }, soon()).await
}

/// One that is opened.
async fn opened(driver: &str, device: &str) -> Box<dyn Session> {
    open(&changes(Path::new("/"), driver, device), &outside(&[])).await.unwrap()
}

async fn exchange(
    session: &mut Box<dyn Session>,
    expect: Option<&str>,
    send: Option<&str>,
    deadline: Deadline,
) -> Result<Said, DriverError> {
    let expect = expect.map(|expect| Regex::new(expect).unwrap());
    session.exchange(Request { expect: expect.as_ref(), send, so_far: &Results::default() }, deadline).await
}

async fn send(session: &mut Box<dyn Session>, text: &str) -> Result<Said, DriverError> {
    exchange(session, None, Some(text), soon()).await
}

/// Waits until no process of this host has `needle` in its command line any more.
async fn gone(needle: &str) {
    let runs = || std::process::Command::new("pgrep").args(["-f", "--", needle]).output().unwrap();
    for _ in 0..500 {
        if !runs().status.success() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{needle} still runs");
}
