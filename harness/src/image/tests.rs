//! Images built for real, in a stand-in for the lab's sandbox.

use std::{fs, io, path::PathBuf, process::Stdio, time::Duration};

use super::*;
use crate::base::{
    dial::BoxFuture,
    sandbox::{BoxedCommand, Sandbox},
};

/// Gives `/tmp` a fresh tmpfs in which the writable folder `$1` is still there, and runs the rest.
const FRESH_TMP: &str = r#"
    mount -t tmpfs tmp /mnt && mkdir -p "/mnt/$1" && mount --bind "$1" "/mnt/$1" && mount --move /mnt /tmp &&
    mkdir -p "$1" && mount --bind "/tmp/$1" "$1" && shift && exec "$@""#;

/// `unshare(1)` with the promises of [`Sandbox`] that a build needs.
#[derive(Debug)]
struct Unshare;

impl Sandbox for Unshare {
    fn run(&self, command: BoxedCommand) -> BoxFuture<'_, io::Result<i32>> {
        Box::pin(async move {
            let log = fs::File::create(&command.log)?;
            let mut unshare = tokio::process::Command::new("unshare");
            if !rustix::process::geteuid().is_root() {
                unshare.args(["--user", "--map-root-user", "--map-auto"]);
            }
            unshare
                .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c"])
                .args([FRESH_TMP, "sh"])
                .args(command.writable)
                .args(command.argv)
                .env_clear()
                .envs([("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")])
                .envs([("HOME", "/root"), ("LC_ALL", "C.UTF-8")])
                .envs(command.env)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .kill_on_drop(true);
            let status = tokio::time::timeout(command.limit, unshare.status())
                .await
                .map_err(|_| io::ErrorKind::TimedOut)??;
            Ok(status.code().unwrap_or(137))
        })
    }
}

/// For development: builds `POLDER_BUILD` into the folder `POLDER_BUILD_IN`.
#[tokio::test]
#[ignore = "by hand"]
async fn build_by_hand() {
    let store = ImageStore::new(PathBuf::from(std::env::var("POLDER_BUILD_IN").unwrap()));
    let start = std::time::Instant::now();
    for name in std::env::var("POLDER_BUILD").unwrap().split(',') {
        let info = store
            .build(recipe(name).unwrap(), &Unshare, &|text| eprintln!("{:?} {text}", start.elapsed()))
            .await;
        match info {
            Ok(info) => eprintln!("{:?} {info:?}", start.elapsed()),
            Err(error) => panic!("{error}"),
        }
    }
    let _ = Duration::ZERO;
}
