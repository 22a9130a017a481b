//! Waiting for what a machine can show, inside and outside; for what comes, goes, and cannot come any more.

use std::time::Instant;

use anyhow::{Result, ensure};
use polder::{
    guest::{Guest, GuestError},
    prelude::{Http, Log, Pattern, eventually, secs},
};

use super::{AGENT, JOURNAL, Place, Row, SHORT, UNITS};

pub(super) const ROWS: &[Row] = &[
    Row("wait for ssh", None, |p| Box::pin(ssh(p))),
    Row("wait for the guest agent", AGENT, |p| Box::pin(agent(p))),
    Row("echo requests are counted, and waited for", None, |p| Box::pin(pings(p))),
    Row("wait for a file to come and to go", None, |p| Box::pin(file(p))),
    Row("wait for a process to come and to go", None, |p| Box::pin(process(p))),
    Row("wait for ports and answers over HTTP", None, |p| Box::pin(ports(p))),
    Row("wait for a UDP port and a socket", None, |p| Box::pin(socket(p))),
    Row("wait for what a command prints or comes to", None, |p| Box::pin(outputs(p))),
    Row("wait for a line of a log file", None, |p| Box::pin(log_file(p))),
    Row("wait while a process goes on", None, |p| Box::pin(while_process(p))),
    Row("wait for a unit", UNITS, |p| Box::pin(unit(p))),
    Row("wait for a unit that fails, or is not there", UNITS, |p| Box::pin(no_unit(p))),
    Row("wait for a line of a unit's log", JOURNAL, |p| Box::pin(unit_log(p))),
    Row("wait for a line of the journal", JOURNAL, |p| Box::pin(journal(p))),
    Row("wait while a unit goes on", UNITS, |p| Box::pin(while_unit(p))),
];

/// Does `line` in the machine a moment later.
async fn soon(p: &Place, line: &str) -> Result<()> {
    p.vm.succeed(format!("(sleep 1; {line}) >/dev/null 2>&1 &")).await?;
    Ok(())
}

/// An error and its causes.
fn told<T>(result: Result<T, GuestError>) -> String {
    result.err().map(|error| format!("{:#}", anyhow::Error::from(error))).unwrap_or_default()
}

async fn ssh(p: &Place) -> Result<()> {
    Ok(p.vm.wait_for_ssh(secs(30)).await?)
}

async fn agent(p: &Place) -> Result<()> {
    Ok(p.vm.wait_for_agent(secs(30)).await?)
}

async fn pings(p: &Place) -> Result<()> {
    let pings = p.vm.ping("127.0.0.1", 3).await?;
    ensure!((pings.sent, pings.received, pings.average.is_some()) == (3, 3, true), "{pings:?}");
    p.vm.until_ping("127.0.0.1").within(secs(10)).await?;
    // Nobody has this one (RFC 5737), and nothing leads out.
    let pings = p.vm.ping("192.0.2.1", 1).await?;
    ensure!((pings.sent, pings.received) == (1, 0), "{pings:?}");
    let nobody = told(p.vm.ping("nowhere.invalid", 1).await);
    ensure!(nobody.contains("nowhere.invalid"), "{nobody}");
    let never = told(p.vm.until_ping("192.0.2.1").within(SHORT).await);
    ensure!(never.contains("did not come true in time"), "{never}");
    Ok(())
}

async fn file(p: &Place) -> Result<()> {
    soon(p, "touch '/tmp/a b'; sleep 1; rm '/tmp/a b'").await?;
    p.vm.wait_for_file("/tmp/a b", secs(20)).await?;
    p.vm.wait_for_file_gone("/tmp/a b", secs(20)).await?;
    let never = told(p.vm.wait_for_file("/no/such", SHORT).await);
    ensure!(never.contains("did not come true in time"), "{never}");
    Ok(())
}

async fn process(p: &Place) -> Result<()> {
    p.vm.wait_for_process("1", secs(5)).await?;
    soon(p, "exec sleep 4753").await?;
    p.vm.wait_for_process("sleep", secs(20)).await?;
    soon(p, "kill $(pidof sleep)").await?;
    p.vm.wait_for_process_gone("sleep", secs(20)).await?;
    Ok(())
}

/// A server of the files in `/www` on port 8080: the machine's own, else what its Perl makes of it.
const SERVE: &str = r#"
mkdir -p /www; echo starting >/www/state
if command -v httpd; then exec httpd -p 8080 -h /www; fi
cat >/www/serve <<'END'
$0 = "httpd"; use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalPort => 8080, Listen => 9, ReuseAddr => 1) or die $!;
fork and exit; open P, ">/www/pid"; print P $$; close P; open STDIN, "</dev/null"; open STDOUT, ">/dev/null"; open STDERR, ">/dev/null";
while (my $c = $s->accept) {
    my ($path) = <$c> =~ /^GET (\S+)/;
    while (<$c>) { last if /^\r?$/ }
    if (open my $f, "<", "/www$path") { print $c "HTTP/1.0 200 OK\r\n\r\n", <$f> }
    else { print $c "HTTP/1.0 404 Not Found\r\n\r\n" }
    close $c;
}
END
exec perl /www/serve
"#;

async fn ports(p: &Place) -> Result<()> {
    p.vm.succeed(SERVE).await?;
    p.vm.wait_for_port(8080, secs(20)).await?;
    p.vm.wait_for_port_inside(8080, secs(20)).await?;
    let state = Http::get(8080, "/state");
    ensure!(p.vm.wait_for_http(&state, secs(20)).await?.body == "starting\n");
    soon(p, "echo ready >/www/state").await?;
    let ready = state.inside().body(Pattern::regex("^read.\n$")?);
    p.vm.wait_for_http(&ready, secs(20)).await?;
    p.vm.wait_for_http(&Http::get(8080, "/none").status(404), secs(20)).await?;
    p.vm.succeed("kill $(pidof httpd || cat /www/pid)").await?;
    let never = told(p.vm.wait_for_http(&ready, SHORT).await);
    ensure!(
        never.contains("GET /state on port 8080") && never.contains("did not come true in time"),
        "{never}"
    );
    Ok(())
}

async fn socket(p: &Place) -> Result<()> {
    // Who is small has a server of addresses, the others a program that listens to anything.
    let is_small = p.vm.execute("command -v udhcpd").await?.status.success();
    let (listen, path, port, program) = match is_small {
        true => ("echo interface eth0 >/tmp/u; udhcpd -f /tmp/u", "/dev/log", 67, "udhcpd"),
        false => ("nc -lU /run/here & nc -u -l 5353", "/run/here", 5353, "nc"),
    };
    p.vm.succeed(format!("({listen}) >/dev/null 2>&1 &")).await?;
    p.vm.wait_for_socket(path, secs(20)).await?;
    p.vm.wait_for_udp_port(port, secs(20)).await?;
    p.vm.succeed(format!("kill $(pidof {program})")).await?;
    p.vm.wait_for_process_gone(program, secs(20)).await?;
    let never = told(p.vm.wait_for_socket("/etc/passwd", SHORT).await);
    ensure!(never.contains("did not come true in time"), "{never}");
    Ok(())
}

async fn outputs(p: &Place) -> Result<()> {
    soon(p, "echo 1 >/tmp/n; sleep 1; echo 2 >/tmp/n").await?;
    ensure!(p.vm.wait_until_succeeds("cat /tmp/n", secs(20)).await?.len() == 2);
    ensure!(p.vm.until("cat /tmp/n", |said| said == "2\n").within(secs(20)).await? == "2\n");
    soon(p, "rm /tmp/n").await?;
    p.vm.wait_until_fails("cat /tmp/n", secs(20)).await?;
    let never = told(p.vm.wait_until_succeeds("echo seen; false", secs(2)).await);
    ensure!(never.contains("exit status 1, it printed: seen"), "{never}");
    let vm = &p.vm;
    eventually(secs(20), || async move { Ok(vm.execute("[ ! -e /tmp/n ]").await?.status.success()) }).await?;
    Ok(())
}

async fn log_file(p: &Place) -> Result<()> {
    let log = Log::file("/var/log/ours.log");
    p.vm.succeed("echo one >/var/log/ours.log").await?;
    p.vm.wait_for_log(&log, Pattern::regex("^one$")?, secs(20)).await?;
    let now = p.vm.end_of(&log).await?;
    soon(p, "echo two >>/var/log/ours.log; echo one >>/var/log/ours.log").await?;
    ensure!(p.vm.wait_for_log(&now, "one", secs(20)).await? == "one");
    let never = told(p.vm.wait_for_log(&now, "three", SHORT).await);
    ensure!(never.contains("did not come true in time"), "{never}");
    p.vm.wait_for_process_gone("tail", secs(20)).await?;
    Ok(())
}

async fn while_process(p: &Place) -> Result<()> {
    let job = p.vm.spawn("sleep 4748").await?;
    let start = Instant::now();
    p.vm.wait_for_process("sleep", secs(20)).await?;
    let waited = p.vm.while_process("sleep", p.vm.wait_for_file("/no/such", secs(60)));
    let killed = async {
        tokio::time::sleep(SHORT).await;
        job.kill().await
    };
    let (never, killed) = tokio::join!(waited, killed);
    killed?;
    let never = told::<()>(never);
    ensure!(never.contains("a process `sleep` to go on: it cannot come true any more"), "{never}");
    ensure!(start.elapsed() < secs(60));
    Ok(())
}

/// Makes a unit that does `run` and stays.
pub(super) async fn make(guest: &Guest, name: &str, run: &str) -> Result<()> {
    let text = format!("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '{run}'\n");
    guest.write_file(&format!("/run/systemd/system/{name}.service"), text).await?;
    guest.succeed("systemctl daemon-reload").await?;
    Ok(())
}

async fn unit(p: &Place) -> Result<()> {
    if p.vm.spec().abilities.has(polder::image::Ability::Units) {
        make(&p.vm, "late", "echo begins 7; sleep 2").await?;
        p.vm.succeed("systemctl start --no-block late").await?;
    }
    Ok(p.vm.wait_for_unit("late.service", secs(60)).await?)
}

async fn no_unit(p: &Place) -> Result<()> {
    let none = p.vm.wait_for_unit("nobody.service", secs(60)).await;
    ensure!(!matches!(none, Err(GuestError::Unsupported { .. })), "{}", told(none));
    let none = told(none);
    ensure!(none.contains("there is no such unit"), "{none}");
    make(&p.vm, "fails", "echo it hurts; sleep 1; exit 3").await?;
    p.vm.succeed("systemctl start --no-block fails").await?;
    let failed = told(p.vm.wait_for_unit("fails.service", secs(60)).await);
    let right =
        failed.contains("it cannot come true any more") && failed.contains("it has failed (exit-code)");
    ensure!(right, "{failed}");
    Ok(())
}

async fn unit_log(p: &Place) -> Result<()> {
    let line =
        p.vm.wait_for_log(&Log::unit("late.service"), Pattern::regex(r"begins \d$")?, secs(60)).await?;
    ensure!(line == "begins 7", "{line}");
    Ok(())
}

async fn journal(p: &Place) -> Result<()> {
    let now = p.vm.end_of(&Log::journal()).await?;
    soon(p, "logger --tag everywhere 'it is said'").await?;
    p.vm.wait_for_log(&now, "it is said", secs(20)).await?;
    Ok(())
}

async fn while_unit(p: &Place) -> Result<()> {
    if p.vm.spec().abilities.has(polder::image::Ability::Units) {
        soon(p, "systemctl stop late").await?;
    }
    let never = p.vm.while_unit("late.service", p.vm.wait_for_file("/no/such", secs(60))).await;
    if let Err(error @ GuestError::Unsupported { .. }) = never {
        return Err(error.into());
    }
    let never = told::<()>(never);
    let right = never.contains("unit `late.service` to go on") && never.contains("it is inactive (dead)");
    ensure!(right, "{never}");
    Ok(())
}
