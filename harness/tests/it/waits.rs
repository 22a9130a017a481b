//! An environment of two machines: its deploy scripts, and whoever may manage services in it. Everything that is waited for
//! is in `everywhere`.

use std::{fs, process::Stdio, time::Instant};

use polder::{
    env::{Env, Host, Vm},
    prelude::secs,
    service::ServiceState,
    workdir::{Prefix, Workdir},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::typed::{Ground, Said};

const INIT_FILE: &str = "
domains:
  web:
    memory: 128
    vcpu: 1
    nics: [{net: lan}, {net: back-end}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
    metadata:
      deploy-scripts:
        - {path: first.sh, args: [a  b, $HOME], env: {WHO: it's me}, once: true}
        - second.sh
        - {path: third.sh, timeout: 2}
  db:
    memory: 128
    vcpu: 1
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
    metadata: {deploy-scripts: [only.awk]}
nets:
  lan: {type: nat, management: true}
  back-end: {type: isolated}
";

/// Blocks until it finds leave to go on.
const FIRST: &str = "#!/bin/sh -eu
echo run >> /root/first
env | grep -E '^(POLDER|LAGO)_(VM|NETS|IP)' | sort
echo \"${0##*/}|$1|$2|$WHO|$-\"
echo to be seen >&2
if [ -e /root/block ]; then touch /root/begun; sleep 600; fi
cat
";

fn wrote(ground: &Ground, name: &str, text: &str) {
    fs::write(ground.path(name), text).unwrap();
}

/// Whether each script was run, by machine and name.
fn deployed(ground: &Ground, args: &[&str]) -> Vec<(String, bool)> {
    let all = ground.json(&[&["deploy"], args].concat());
    let told = all.as_array().unwrap().iter().map(|one| {
        let path = std::path::Path::new(one["script"].as_str().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        (format!("{}/{name}", one["machine"].as_str().unwrap()), one["ran"].as_bool().unwrap())
    });
    told.collect()
}

#[test]
fn an_environment_is_deployed_and_its_services_are_managed() {
    let ground = Ground::new(INIT_FILE);
    for (name, text) in [
        ("first.sh", FIRST),
        ("second.sh", "echo $((6*7)); echo run >> /root/second"),
        ("third.sh", "#!/bin/sh\n"),
        ("only.awk", "#!/usr/bin/awk -f\nBEGIN { print \"awk it is\"; print \"run\" >>\"/root/only\" }\n"),
    ] {
        wrote(&ground, name, text);
    }
    let start = Instant::now();
    let mark = |what: &str| println!("{:6.1} s: {what}", start.elapsed().as_secs_f64());
    ground.polder(&["up"]).ok();
    mark("up");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let labs = ground.path("labs").display().to_string();
    let host = Host::from_env(&|name| match name {
        "POLDER_RUNTIME_DIR" => Some(labs.clone()),
        _ => std::env::var(name).ok(),
    })
    .unwrap();
    let prefix = Workdir::at(&ground.path(".polder")).unwrap().prefix("default").unwrap();
    let env = runtime.block_on(Env::load(&host, &prefix)).unwrap();
    let vm = |name: &str| env.vm(name).unwrap();

    scripts_are_run_in_order_and_their_output_is_kept(&ground, &env);
    mark("scripts");
    a_failed_script_is_told_and_other_machines_finish(&ground);
    mark("failures");
    runtime.block_on(what_is_cut_off_is_not_done(&ground, &vm("web")));
    mark("cut off");
    runtime.block_on(stand_ins_are_managed(&host, &prefix, &vm("web")));
    mark("services");
    snapshots_know_what_was_deployed(&ground);
    mark("snapshots");
    let web = ["-f", "json", "deploy", "--only", "web", "db"];
    ground.polder(&["stop", "web"]).ok();
    ground.polder(&web).fails(2, "machines that are off cannot be deployed: web; `polder start` starts them");
    ground.polder(&["stop"]).ok();
    ground.polder(&web).fails(2, "machines that are off cannot be deployed: web, db");
}

fn scripts_are_run_in_order_and_their_output_is_kept(ground: &Ground, env: &Env) {
    let kept =
        |name: &str| fs::read_to_string(ground.path(&format!(".polder/default/logs/deploy/{name}"))).unwrap();
    let ips = |name: &str| env.vm(name).unwrap().all_ips();
    let (web, db) = (ips("web"), ips("db"));
    let expected = |product: &str| {
        format!(
            "{product}_IP={0}\n{product}_IP_OF_DB={2}\n{product}_IP_OF_WEB={0}\n{product}_IP_ON_BACK_END={1}\n\
             {product}_IP_ON_LAN={0}\n{product}_NETS=lan back-end\n{product}_VM=web\n{product}_VMS=web db\n",
            web[0], web[1], db[0]
        )
    };
    let out = kept("web/1-first.sh.out");
    let (variables, last) = out.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(format!("{variables}\n"), expected("LAGO") + &expected("POLDER"));
    // As it stands in the init file: `$HOME` is replaced in paths alone.
    assert_eq!(last, "first.sh|a  b|$HOME|it's me|ue");
    assert_eq!(kept("web/1-first.sh.err"), "to be seen\n");
    assert_eq!((kept("web/2-second.sh.out"), kept("web/2-second.sh.err")), ("42\n".into(), String::new()));
    assert!(kept("db/1-only.awk.out") == "awk it is\n");
    let status = ground.json(&["status"])["Prefix"]["VMs"]["db"]["metadata"]["deploy-scripts"].clone();
    assert_eq!(status, serde_json::json!([ground.path("only.awk")]));

    // All but the one that was done.
    let once = |first: bool| {
        let all =
            [("web/first.sh", first), ("web/second.sh", true), ("web/third.sh", true), ("db/only.awk", true)];
        all.map(|(name, ran)| (name.to_owned(), ran))
    };
    assert_eq!(deployed(ground, &[]), once(false));
    assert_eq!(deployed(ground, &["--again", "--only", "web/first.sh"]), once(true)[..1]);
    wrote(ground, "first.sh", &format!("{FIRST}\n"));
    let changed = ground.polder(&["deploy", "--only", "web/first.sh"]);
    assert!(changed.err.contains("first.sh has changed: it is run as it is now"), "{changed:?}");
    assert_eq!(
        deployed(ground, &["--only", "web/first.sh", "db"]),
        [once(false)[0].clone(), once(true)[3].clone()]
    );
    fs::remove_file(ground.path("second.sh")).unwrap();
    let gone = ground.polder(&["deploy", "--only", "web/second.sh"]);
    assert!(gone.err.contains("second.sh cannot be read: it is run as it was"), "{gone:?}");
    assert_eq!(
        ground
            .polder(&["shell", "web", "cat /root/first /root/second | wc -l; ls .polder-deploy 2>&1 | wc -l"])
            .ok(),
        "6\n1"
    );
    let unknown = ["deploy", "--only", "web/frist.sh", "nobody"];
    ground
        .polder(&unknown)
        .fails(2, "no deploy script `web/frist.sh`; did you mean `web/first.sh`?\nno deploy script `nobody`");
}

fn a_failed_script_is_told_and_other_machines_finish(ground: &Ground) {
    wrote(ground, "second.sh", "#!/bin/sh\necho half way\necho no such thing >&2\nexit 3\n");
    let said = ground.polder(&["deploy"]);
    let script = ground.path("second.sh").display().to_string();
    let output = ground.path(".polder/default/logs/deploy/web/2-second.sh.out");
    assert!(said.err.contains("--- stdout ---\nhalf way\n--- stderr ---\nno such thing"), "{said:?}");
    assert!(said.err.contains("web: second.sh: half way"), "{said:?}");
    assert!(!said.err.contains("third.sh runs") && said.err.contains("db: only.awk is done"), "{said:?}");
    said.fails(
        1,
        &format!(
            "the deploy script {script} ended with exit status 3 on machine web; its output is in {}",
            output.display()
        ),
    );
    assert_eq!(fs::read_to_string(&output).unwrap(), "half way\n");

    wrote(ground, "third.sh", "#!/bin/sh\necho begun\nsleep 4711\n");
    let late = ground.polder(&["deploy", "--only", "web/third.sh"]);
    assert!(late.err.contains("web: third.sh: begun"), "{late:?}");
    assert!(late.err.contains("--- stdout ---\nbegun"), "{late:?}");
    late.fails(1, "third.sh did not end within ");
    // The small guest's process 1 takes a second to bury the dead.
    ground
        .polder(&[
            "shell",
            "web",
            "for i in 1 2 3 4 5; do pidof sleep || exit 0; usleep 500000; done; exit 1",
        ])
        .ok();
    // Packages of the prefix are served without anybody saying so.
    let repo = ground.path(".polder/default/repo");
    fs::create_dir(&repo).unwrap();
    fs::write(repo.join("note"), "a package\n").unwrap();
    wrote(ground, "third.sh", "wget -q -O - \"http://${POLDER_IP%.*}.1:8585/note\"\n");
    ground.polder(&["deploy", "--only", "web/third.sh"]).ok();
    let out = ground.path(".polder/default/logs/deploy/web/3-third.sh.out");
    assert_eq!(fs::read_to_string(out).unwrap(), "a package\n");
    fs::remove_dir_all(repo).unwrap();
    wrote(ground, "third.sh", "#!/no/such/interpreter\n");
    ground.polder(&["deploy", "--only", "web/third.sh"]).fails(1, "third.sh ended with exit status 127");
    wrote(ground, "third.sh", "#!/bin/sh\n");
    wrote(ground, "second.sh", "#!/bin/sh\n");
}

/// A script that is stopped by the operator, or loses the command that runs it, is run again from its beginning, after what
/// the first attempt left has ended.
async fn what_is_cut_off_is_not_done(ground: &Ground, web: &Vm) {
    wrote(ground, "first.sh", &format!("{FIRST}\n# once more\n"));
    for (signal, code) in [(Signal::TERM, Some(4)), (Signal::KILL, None)] {
        web.succeed("touch /root/block; rm -f /root/begun").await.unwrap();
        let mut command = ground.command(&["deploy", "--only", "web/first.sh"]);
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        web.wait_for_file("/root/begun", secs(60)).await.unwrap();
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
        let said = Said::of(&child.wait_with_output().unwrap());
        assert_eq!(said.code, code, "{said:?}");
        if signal == Signal::TERM {
            assert!(said.err.contains("stopped by a signal"), "{said:?}");
            web.wait_for_process_gone("sleep", secs(5)).await.unwrap();
        }
        web.succeed("rm -f /root/block").await.unwrap();
        if signal == Signal::KILL {
            assert_eq!(deployed(ground, &["--only", "web/first.sh"]), [("web/first.sh".to_owned(), true)]);
            web.wait_for_process_gone("sleep", secs(5)).await.unwrap();
        }
    }
    assert_eq!(deployed(ground, &["--only", "web/first.sh"]), [("web/first.sh".to_owned(), false)]);
}

fn told(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!("\n{}", told(cause))).unwrap_or_default();
    format!("{error}{cause}")
}

/// Says that it has done what it was asked for, and does it a moment later; of `broken` never.
const STAND_IN: &str = r#"#!/bin/sh
# VERB NAME
cd /run/stand-in && [ -e "$2" ] || exit 4
echo "$1 $2" >>log
case $1 in
status) grep -q up "$2" && exit 0; exit 3 ;;
start | restart) [ "$2" = broken ] || { sleep 0.5; echo up >"$2"; } >/dev/null 2>&1 & ;;
stop) { sleep 0.5; echo down >"$2"; } >/dev/null 2>&1 & ;;
esac
"#;
const RC_SERVICE: &str = r#"#!/bin/sh
if [ "$1" = --exists ]; then exec test -e "/run/stand-in/$2"; fi
exec stand-in "$2" "$1"
"#;
const SERVICE: &str = r#"#!/bin/sh
[ -e "/run/stand-in/$1" ] || { echo "$1: unrecognized service" >&2; exit 1; }
exec stand-in "$2" "$1"
"#;
const DOCKER: &str = r#"#!/bin/sh
[ "$1" = inspect ] && exec test "$4" = vdsmc
[ "$1 $2" = "exec vdsmc" ] || exit 1
shift 2
echo "in the container: $*" >>/run/stand-in/log
exec "$@"
"#;
const SYSTEMCTL: &str = r#"#!/bin/sh
for name; do :; done
case $1 in
show)
    [ -e "/run/stand-in/$name" ] && load=loaded || load=not-found
    stand-in status "$name" && active=active || active=inactive
    printf 'LoadState=%s\nActiveState=%s\n' $load $active
    ;;
*) stand-in "$1" "$name" ;;
esac
"#;

/// What no image of ours has is managed through programs of the same names that do as little as they can.
async fn stand_ins_are_managed(host: &Host, prefix: &Prefix, web: &Vm) {
    let fake = |name: &'static str, text: &'static str| async move {
        let write = polder::guest::Command::script("cat >\"/usr/bin/$1\" && chmod 755 \"/usr/bin/$1\"");
        web.succeed(write.arg(name).stdin(text)).await.unwrap();
    };
    web.succeed("mkdir -p /run/stand-in /run/openrc; cd /run/stand-in; echo down | tee app >broken")
        .await
        .unwrap();
    web.succeed("echo hello from app >/var/log/app.log").await.unwrap();
    fake("stand-in", STAND_IN).await;
    assert!(told(&web.service_manager().await.unwrap_err()).contains("its services have no manager"));
    // What manages services is found out once by each who holds the machine.
    let found = async || Env::load(host, prefix).await.unwrap().vm("web").unwrap();
    let play = async |manager: &str, log: &str| {
        let vm = found().await;
        assert_eq!(vm.service_manager().await.unwrap(), manager);
        let app = vm.service("app");
        assert!(app.exists().await.unwrap() && !app.is_active().await.unwrap(), "{manager}");
        app.start().await.unwrap();
        assert!(app.is_active().await.unwrap(), "{manager}");
        app.restart().await.unwrap();
        assert_eq!(app.logs().await.unwrap().unwrap().trim(), log, "{manager}");
        app.stop().await.unwrap();
        assert_eq!(app.state().await.unwrap(), ServiceState::Inactive, "{manager}");
        let nothing = vm.service("nothing");
        assert_eq!(nothing.state().await.unwrap(), ServiceState::Missing, "{manager}");
        let error = nothing.start().await.unwrap_err().to_string();
        assert!(error.contains(&format!("the service `nothing` is not there, says {manager}")), "{error}");
    };
    fake("rc-service", RC_SERVICE).await;
    web.succeed("touch /run/openrc/softlevel").await.unwrap();
    play("openrc", "hello from app").await;
    let error = found().await.service("broken").start().await.unwrap_err().to_string();
    let expected =
        "the service `broken` is not active after `rc-service broken start` (exit status 0): waited";
    assert!(error.contains(expected) && error.contains("last seen: it is inactive"), "{error}");

    web.succeed("rm -r /run/openrc").await.unwrap();
    fake("service", SERVICE).await;
    play("sysvinit", "hello from app").await;

    fake("docker", DOCKER).await;
    fake("systemctl", SYSTEMCTL).await;
    fake("journalctl", "#!/bin/sh\necho \"journal of ${5}\"").await;
    play("systemdcontainer", "journal of app").await;
    web.succeed("grep -q 'in the container: systemctl stop -- app' /run/stand-in/log").await.unwrap();
}

/// Going back to a snapshot goes back to what was done then.
fn snapshots_know_what_was_deployed(ground: &Ground) {
    let first = |ran: bool| [("web/first.sh".to_owned(), ran)];
    let deploy = || deployed(ground, &["--only", "web/first.sh"]);
    ground.polder(&["snapshot", "--memory", "before", "-n", "web"]).ok();
    assert_eq!(deploy(), first(false));
    wrote(ground, "first.sh", &format!("{FIRST}\n# after the snapshot\n"));
    assert_eq!((deploy(), deploy()), (first(true).to_vec(), first(false).to_vec()));
    ground.polder(&["revert", "before"]).ok();
    assert_eq!((deploy(), deploy()), (first(true).to_vec(), first(false).to_vec()));
}
