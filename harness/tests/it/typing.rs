//! What is typed at a console arrives, however unlucky libvirt's client is.

use std::{env, fs, process::Command, time::Duration};

use polder::{
    env::{Env, Host, Progress},
    guest::MachinePort,
    initfile::{self, Options},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

const FILE: &str = "
domains:
  small:
    memory: 128
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  lan: {management: true}
";

/// Makes wide what is a few instructions otherwise: from where libvirt's client has let go of its lock to where it waits.
const UNLUCKY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
void g_main_loop_run(void *loop) {
    void (*run)(void *) = (void (*)(void *))dlsym(RTLD_NEXT, "g_main_loop_run");
    usleep(5000);
    run(loop);
}
"#;

#[test]
fn what_is_typed_arrives_although_nothing_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let (source, library) = (dir.path().join("unlucky.c"), dir.path().join("unlucky.so"));
    fs::write(&source, UNLUCKY).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    if !built.as_ref().is_ok_and(std::process::ExitStatus::success) {
        eprintln!("SKIPPED: no C compiler, which makes libvirt's client unlucky: {built:?}");
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "typing::types_and_waits_for_the_echo", "--ignored", "--nocapture"]);
    let ran = child.env("LD_PRELOAD", &library).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

/// Opens the console as soon as who had it has let go of it.
async fn opened(port: &dyn MachinePort) -> UnixStream {
    let limit = Duration::from_secs(20);
    let opened = async {
        loop {
            match port.console(limit).await {
                Ok(console) => return console,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    timeout(limit, opened).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above in a process of its own"]
async fn types_and_waits_for_the_echo() {
    let env = |name: &str| env::var(name).ok();
    let host = Host::from_env(&env).unwrap();
    let spec = initfile::load_text("typing.yaml".as_ref(), FILE, &Options::new(&env)).unwrap().spec;
    let env = Env::up(&host, &spec, &Progress::new(|text| eprintln!("{text}"))).await.unwrap();
    let port = env.vm("small").unwrap().spec().machine.clone().unwrap();
    // Each time as soon as it is open: that is when libvirt's client begins to wait.
    for mark in ["q", "w", "z"] {
        let mut console = opened(&*port).await;
        let (mut seen, mut said) = ([0; 4096], String::new());
        for _ in 0..20 {
            console.write_all(mark.as_bytes()).await.unwrap();
            let arrived = async {
                while !said.contains(mark) {
                    let read = console.read(&mut seen).await.unwrap();
                    said.push_str(&String::from_utf8_lossy(&seen[..read]));
                }
            };
            timeout(Duration::from_secs(20), arrived).await.unwrap_or_else(|_| panic!("no echo of {mark}"));
            said.clear();
        }
    }
    env.down().await.unwrap();
}
