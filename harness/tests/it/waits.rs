//! One environment of both our images: its deploy scripts, what manages services in it, and everything that is waited for
//! from within.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use polder::{
    env::{Env, Host, Vm},
    guest::{GuestError, Http, Log, Pattern},
    prelude::{eventually, secs},
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
  deb:
    memory: 256
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: debian12, dev: vda, format: qcow2}]
    metadata: {deploy-scripts: [only.pl]}
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
fn an_environment_is_deployed_served_and_waited_for() {
    let ground = Ground::new(INIT_FILE);
    for (name, text) in [
        ("first.sh", FIRST),
        ("second.sh", "echo $((6*7)); echo run >> /root/second"),
        ("third.sh", "#!/bin/sh\n"),
        (
            "only.pl",
            "#!/usr/bin/perl -w\nuse strict; print \"perl $^V\\n\"; open(my $f, '>>/root/only'); print $f \"run\\n\";\n",
        ),
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
    runtime.block_on(in_the_small_guest(&vm("web")));
    mark("waits in the small guest");
    runtime.block_on(in_debian(&ground, &vm("deb")));
    mark("waits in debian");
    runtime.block_on(stand_ins_are_managed(&host, &prefix, &vm("web")));
    mark("services");
    snapshots_know_what_was_deployed(&ground);
    mark("snapshots");
    let web = ["-f", "json", "deploy", "--only", "web", "deb"];
    ground.polder(&["stop", "web"]).ok();
    ground.polder(&web).fails(2, "machines that are off cannot be deployed: web; `polder start` starts them");
    ground.polder(&["stop"]).ok();
    ground.polder(&web).fails(2, "machines that are off cannot be deployed: web, deb");
}

fn scripts_are_run_in_order_and_their_output_is_kept(ground: &Ground, env: &Env) {
    let kept =
        |name: &str| fs::read_to_string(ground.path(&format!(".polder/default/logs/deploy/{name}"))).unwrap();
    let ips = |name: &str| env.vm(name).unwrap().all_ips();
    let (web, deb) = (ips("web"), ips("deb"));
    let expected = |product: &str| {
        format!(
            "{product}_IP={0}\n{product}_IP_OF_DEB={2}\n{product}_IP_OF_WEB={0}\n{product}_IP_ON_BACK_END={1}\n\
             {product}_IP_ON_LAN={0}\n{product}_NETS=lan back-end\n{product}_VM=web\n{product}_VMS=web deb\n",
            web[0], web[1], deb[0]
        )
    };
    let out = kept("web/1-first.sh.out");
    let (variables, last) = out.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(format!("{variables}\n"), expected("LAGO") + &expected("POLDER"));
    // As it stands in the init file: `$HOME` is replaced in paths alone.
    assert_eq!(last, "first.sh|a  b|$HOME|it's me|ue");
    assert_eq!(kept("web/1-first.sh.err"), "to be seen\n");
    assert_eq!((kept("web/2-second.sh.out"), kept("web/2-second.sh.err")), ("42\n".into(), String::new()));
    assert!(kept("deb/1-only.pl.out").starts_with("perl v5"));
    let status = ground.json(&["status"])["Prefix"]["VMs"]["deb"]["metadata"]["deploy-scripts"].clone();
    assert_eq!(status, serde_json::json!([ground.path("only.pl")]));

    // All but the one that was done.
    let once = |first: bool| {
        let all =
            [("web/first.sh", first), ("web/second.sh", true), ("web/third.sh", true), ("deb/only.pl", true)];
        all.map(|(name, ran)| (name.to_owned(), ran))
    };
    assert_eq!(deployed(ground, &[]), once(false));
    assert_eq!(deployed(ground, &["--again", "--only", "web/first.sh"]), once(true)[..1]);
    wrote(ground, "first.sh", &format!("{FIRST}\n"));
    let changed = ground.polder(&["deploy", "--only", "web/first.sh"]);
    assert!(changed.err.contains("first.sh has changed: it is run as it is now"), "{changed:?}");
    assert_eq!(
        deployed(ground, &["--only", "web/first.sh", "deb"]),
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
    assert!(!said.err.contains("third.sh runs") && said.err.contains("deb: only.pl is done"), "{said:?}");
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

async fn in_the_small_guest(web: &Vm) {
    web.wait_for_process("dropbear", secs(5)).await.unwrap();
    web.wait_for_process("1", secs(5)).await.unwrap();
    // syslogd's, which has no connections.
    web.wait_for_socket("/dev/log", secs(5)).await.unwrap();
    web.succeed("(sleep 1; touch /tmp/a; sleep 1; rm /tmp/a) >/dev/null 2>&1 &").await.unwrap();
    web.wait_for_file("/tmp/a", secs(10)).await.unwrap();
    web.wait_for_file_gone("/tmp/a", secs(10)).await.unwrap();

    web.succeed("mkdir /www; echo starting >/www/state; httpd -p 127.0.0.1:8080 -h /www").await.unwrap();
    web.wait_for_port_inside(8080, secs(10)).await.unwrap();
    let state = Http::get(8080, "/state");
    assert_eq!(web.wait_for_http(&state.clone().inside(), secs(10)).await.unwrap().body, "starting\n");
    let error = told(&web.wait_for_http(&state, Duration::from_millis(500)).await.unwrap_err());
    assert!(error.contains("GET /state on port 8080: it did not come true in time"), "{error}");
    web.succeed("(sleep 1; echo ready >/www/state) >/dev/null 2>&1 &").await.unwrap();
    let ready = state.inside().body(Pattern::regex("^read.\n$").unwrap());
    web.wait_for_http(&ready, secs(10)).await.unwrap();
    web.succeed("httpd -p 80 -h /www").await.unwrap();
    web.while_process("httpd", web.wait_for_http(&Http::get(80, "/none").status(404), secs(10)))
        .await
        .unwrap();
    web.succeed("(sleep 1; killall httpd) >/dev/null 2>&1 &").await.unwrap();
    let start = Instant::now();
    let none = Http::get(80, "/none").status(200);
    let never = web.wait_for_http(&none, secs(60));
    let error: GuestError = web.while_process("httpd", never).await.unwrap_err();
    assert!(
        told(&error).contains("a process `httpd` to go on: it cannot come true any more"),
        "{}",
        told(&error)
    );
    assert!(start.elapsed() < secs(30));

    let messages = Log::file("/var/log/messages");
    web.succeed("logger one").await.unwrap();
    web.wait_for_log(&messages, Pattern::regex(" root: one$").unwrap(), secs(10)).await.unwrap();
    let now = web.end_of(&messages).await.unwrap();
    let late = web.succeed("(sleep 1; logger two; logger one) >/dev/null 2>&1 &");
    late.await.unwrap();
    assert!(web.wait_for_log(&now, "one", secs(10)).await.unwrap().ends_with(": one"));
    let error = told(&web.wait_for_log(&now, "three", secs(1)).await.unwrap_err());
    assert!(error.contains("root: two\n") && !error.contains("x  dropbear"), "{error}");
    eventually(secs(5), || async { Ok(web.execute("pidof tail").await?.stdout.bytes.is_empty()) })
        .await
        .unwrap();
}

async fn in_debian(ground: &Ground, deb: &Vm) {
    let unit = |name: &str, run: &str| {
        let text =
            format!("[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/sh -c '{run}'\\n");
        format!("printf \"{text}\" >/run/systemd/system/{name}.service")
    };
    let late = unit("late", "echo begins 7; sleep 2");
    let fails = unit("fails", "echo it hurts; sleep 1; exit 3");
    deb.succeed(format!("{late}; {fails}; systemctl daemon-reload; systemctl start --no-block late fails"))
        .await
        .unwrap();
    let failed = async {
        let error = deb.wait_for_unit("fails.service", secs(60)).await.unwrap_err();
        told(&error)
    };
    let begins = Pattern::regex(r"begins \d$").unwrap();
    let log = Log::unit("late.service");
    let (error, line, up) = tokio::join!(
        failed,
        deb.wait_for_log(&log, &begins, secs(60)),
        deb.wait_for_unit("late.service", secs(60))
    );
    up.unwrap();
    assert_eq!(line.unwrap(), "begins 7");
    assert!(
        error.contains("it cannot come true any more") && error.contains("it has failed (exit-code)"),
        "{error}"
    );
    let error = told(&deb.wait_for_unit("nobody.service", secs(60)).await.unwrap_err());
    assert!(error.contains("there is no such unit"), "{error}");

    let now = deb.end_of(&Log::journal()).await.unwrap();
    deb.succeed("(sleep 1; systemctl stop late) >/dev/null 2>&1 &").await.unwrap();
    let never = deb.wait_for_file("/no/such", secs(60));
    let error: GuestError = deb.while_unit("late.service", never).await.unwrap_err();
    assert!(
        told(&error).contains("unit `late.service` to go on")
            && told(&error).contains("it is inactive (dead)")
    );
    deb.wait_for_log(&now, "Stopped late.service", secs(10)).await.unwrap();

    deb.succeed("(nc -lU /run/here.sock & nc -u -l 5353 &) >/dev/null 2>&1").await.unwrap();
    deb.wait_for_socket("/var/run/here.sock", secs(10)).await.unwrap();
    deb.wait_for_udp_port(5353, secs(10)).await.unwrap();
    deb.succeed("killall nc 2>/dev/null || pkill nc").await.unwrap();
    deb.wait_for_process_gone("nc", secs(10)).await.unwrap();
    let error = told(&deb.wait_for_socket("/run/here.sock", secs(1)).await.unwrap_err());
    assert!(error.contains("it is there, but nobody listens"), "{error}");

    let service = deb.service("late");
    assert_eq!(service.state().await.unwrap(), ServiceState::Inactive);
    service.start().await.unwrap();
    let log = ground.polder(&["service", "deb", "late", "logs"]).ok();
    assert!(log.contains("begins 7"), "{log}");
    service.stop().await.unwrap();
    assert!(!service.is_active().await.unwrap());
    let broken = deb.service("fails").start().await.unwrap_err().to_string();
    assert!(broken.contains("the service `fails` is inactive after `systemctl start -- fails`"), "{broken}");
    assert!(broken.contains("its log ends with:\n") && broken.contains("it hurts"), "{broken}");
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
