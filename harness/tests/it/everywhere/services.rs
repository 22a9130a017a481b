//! What is set up in machines and taken from them: scripts and packages, services, evidence; and their health.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use polder::{
    env::{Progress, Watch},
    image::Ability,
    prelude::{Command, Trouble, secs},
    service::ServiceState,
};

use super::{JOURNAL, Place, Row, SERVICES, SHORT, waits};
use crate::{repositories, typed::Ground};

pub(super) const ROWS: &[Row] = &[
    Row("deploy scripts, once and again", None, |p| Box::pin(deployed(p))),
    Row("a repository of the prefix", None, |p| Box::pin(repository(p))),
    Row("states of services", SERVICES, |p| Box::pin(states(p))),
    Row("a service is started, restarted and stopped", SERVICES, |p| Box::pin(turned(p))),
    Row("a service that does not start", SERVICES, |p| Box::pin(broken(p))),
    Row("the log of a service", SERVICES, |p| Box::pin(logs(p))),
    Row("the journal as evidence", JOURNAL, |p| Box::pin(journal(p))),
    Row("the kernel's log and outputs of commands as evidence", None, |p| Box::pin(evidence(p))),
    Row("all there is of a machine that runs", None, |p| Box::pin(collected(p))),
    Row("trouble is noticed", None, |p| Box::pin(trouble(p))),
];

/// The scripts that the init file names.
pub(super) fn scripts(ground: &Ground) {
    let first = "#!/bin/sh -e\necho run >>/root/first\necho \"$POLDER_VM|$1|$WHO\"; echo seen >&2\n";
    fs::write(ground.path("first.sh"), first).unwrap();
    fs::write(ground.path("second.sh"), "echo $((6*7))").unwrap();
}

async fn deployed(p: &Place) -> Result<()> {
    let ran = |args: &[&str]| -> Result<Vec<(bool, String)>> {
        let all = p.polder(&[&["-f", "json", "deploy"], args].concat())?;
        let all: Vec<serde_json::Value> = serde_json::from_str(&all)?;
        let of = |one: &serde_json::Value| {
            let output = one["output"].as_str().unwrap_or_default().to_owned();
            (one["ran"] == true, fs::read_to_string(output).unwrap_or_default())
        };
        Ok(all.iter().map(of).collect())
    };
    let (first, second) = ("it|a  b|it's me\n".to_owned(), "42\n".to_owned());
    let now = ran(&[])?;
    ensure!(now == [(false, first.clone()), (true, second)], "{now:?}");
    let again = ran(&["--again", "--only", "it/first.sh"])?;
    ensure!(again == [(true, first)], "{again:?}");
    ensure!(p.number("grep -c run /root/first").await? == 2);
    Ok(())
}

/// Installs the package by the machine's own tool, whose other sources are not asked.
const INSTALL: &str = r#"
echo "deb [trusted=yes] $1/ours ./" >/tmp/ours.list
of="-o Dir::Etc::SourceList=/tmp/ours.list -o Dir::Etc::SourceParts=/dev/null -o Acquire::Languages=none"
apt-get $of -q update && apt-get $of -q -y install everywhere && dpkg-query -W everywhere
"#;

async fn repository(p: &Place) -> Result<()> {
    let debs = p.ground.path("debs");
    fs::create_dir(&debs)?;
    repositories::deb(&debs, "everywhere", "1.7");
    p.polder(&["repo", "build", "--name", "ours", "debs"])?;
    let Some(served) = p.env.serve_repo().await? else { anyhow::bail!("nothing is served") };
    if p.vm.execute("command -v apt-get").await?.status.success() {
        let said = p.vm.succeed(Command::script(INSTALL).arg(served.as_str()).timeout(secs(90))).await?;
        ensure!(said.trim().ends_with("everywhere\t1.7"), "{said}");
    } else {
        let url = format!("{}/ours/everywhere_1.7_all.deb", served.as_str());
        p.vm.succeed(format!("wget -q -O /root/everywhere.deb {url}")).await?;
        let there = p.vm.read_file("/root/everywhere.deb").await?;
        ensure!(there == fs::read(debs.join("everywhere_1.7_all.deb"))?);
    }
    Ok(())
}

async fn states(p: &Place) -> Result<()> {
    ensure!(p.vm.service_manager().await? == "systemd");
    let unit = "[Service]\nExecStart=/bin/sh -c 'echo it serves; exec sleep 4750'\n";
    p.vm.write_file("/run/systemd/system/ours.service", unit).await?;
    p.vm.succeed("systemctl daemon-reload").await?;
    ensure!(p.vm.service("ssh").is_active().await?);
    ensure!(p.vm.service("ours").state().await? == ServiceState::Inactive);
    ensure!(!p.vm.service("nobody").exists().await?);
    Ok(())
}

async fn turned(p: &Place) -> Result<()> {
    let ours = p.vm.service("ours");
    ours.start().await?;
    ensure!(ours.is_active().await?);
    let main = "systemctl show --property=MainPID --value ours";
    let before = p.number(main).await?;
    ours.restart().await?;
    ensure!(p.number(main).await? != before && ours.is_active().await?);
    ours.stop().await?;
    ensure!(ours.state().await? == ServiceState::Inactive);
    let said = p.ground.polder(&["service", "it", "ours", "status"]);
    ensure!(said.out.contains("inactive"), "{said:?}");
    Ok(())
}

async fn broken(p: &Place) -> Result<()> {
    p.vm.service_manager().await?;
    waits::make(&p.vm, "hurts", "echo it hurts; exit 3").await?;
    let error = p.vm.service("hurts").start().await.err().map(anyhow::Error::from);
    let told = error.map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(told.contains("its log ends with:\n") && told.contains("it hurts"), "{told}");
    Ok(())
}

async fn logs(p: &Place) -> Result<()> {
    let log = p.vm.service("ours").logs().await?;
    ensure!(log.as_ref().is_some_and(|log| log.contains("it serves")), "{log:?}");
    ensure!(p.polder(&["service", "it", "ours", "logs"])?.contains("it serves"));
    Ok(())
}

async fn journal(p: &Place) -> Result<()> {
    let (text, export) = (p.ground.path("journal"), p.ground.path("journal.export"));
    p.vm.journal(&text).await?;
    p.vm.journal_export(&export).await?;
    ensure!(fs::read_to_string(&text)?.contains("it serves"));
    ensure!(String::from_utf8_lossy(&fs::read(&export)?).contains("\nMESSAGE=it serves\n"));
    Ok(())
}

async fn evidence(p: &Place) -> Result<()> {
    let log = p.ground.path("dmesg");
    p.vm.dmesg(&log).await?;
    ensure!(fs::read_to_string(&log)?.contains("Linux version"));
    let ask = [("good", "echo one"), ("bad", "echo two; exit 3")].map(|(n, l)| (n.to_owned(), l.to_owned()));
    let (_, said) = p.vm.outputs(&ask.into(), secs(30)).await?;
    let said: Vec<_> =
        said.iter().map(|one| (one.name.as_str(), one.status, one.output.as_slice())).collect();
    ensure!(said == [("bad", 3, b"two\n".as_slice()), ("good", 0, b"one\n")], "{said:?}");
    // What a failed scenario leaves.
    let all = p.env.collect(&p.ground.path("evidence")).await;
    let had: Vec<_> = all.entries.iter().filter(|one| one.missing.is_none()).map(|one| &*one.path).collect();
    for one in ["it/console.log", "it/dmesg.txt", "it/screen.png", "it/domain.xml", "lab/network-lan.xml"] {
        ensure!(had.contains(&Path::new(one)), "no {one} in {had:?}");
    }
    ensure!(had.contains(&Path::new("it/journal.txt")) == p.vm.spec().abilities.has(Ability::Journal));
    Ok(())
}

async fn collected(p: &Place) -> Result<()> {
    p.vm.succeed("mkdir -p /root/kept; echo kept >/root/kept/a.log; echo too >'/root/kept/b c.log'; sync")
        .await?;
    p.polder(&["collect", "-o", "live"])?;
    collection(p, "live")
}

/// What the init file asks for, as it came into the folder `out`.
pub(super) fn collection(p: &Place, out: &str) -> Result<()> {
    let folder = p.ground.path(out);
    ensure!(fs::read(folder.join("it/_root_kept_a.log"))? == b"kept\n");
    ensure!(fs::read(folder.join("it/_root_kept_b c.log"))? == b"too\n");
    ensure!(folder.join("it/_etc_os-release").exists() && folder.join("it/console.log").exists());
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("manifest.json"))?)?;
    let entries = manifest["entries"].as_array().cloned().unwrap_or_default();
    let none = entries.iter().find(|one| one["wanted"] == "/root/kept/none");
    ensure!(none.is_some_and(|one| one["missing"].is_string()), "{manifest}");
    Ok(())
}

async fn trouble(p: &Place) -> Result<()> {
    let watch = p.env.watch(|_| {}).await;
    p.vm.expect(Trouble::Oops);
    p.vm.succeed("echo '<1>Oops: 0002 [#1] PREEMPT SMP' >/dev/kmsg").await?;
    let has_journal = p.vm.spec().abilities.has(Ability::Journal);
    if has_journal {
        p.vm.succeed("systemd-run --quiet --unit=doomed --wait false || true").await?;
    }
    let mut seen: Vec<_> = watch.settle().await.into_iter().map(|one| (one.trouble, one.expected)).collect();
    seen.sort_unstable();
    let unit = has_journal.then_some((Trouble::FailedUnit, false));
    let right: Vec<_> = [(Trouble::Oops, true)].into_iter().chain(unit).collect();
    ensure!(seen == right, "{seen:?}");
    if has_journal {
        gone_back(p, &watch).await?;
    }
    Ok(())
}

/// The journal of a machine that was brought back ends before what was heard of it last, and is heard all the same.
async fn gone_back(p: &Place, watch: &Watch) -> Result<()> {
    let silent = Progress::new(|_| {});
    let moment = p.env.keep_moment(&silent).await?;
    for _ in 0..20 {
        watch.settle().await;
    }
    p.env.return_to(&moment, &silent).await?;
    p.vm.succeed("systemd-run --quiet --unit=doomed-later --wait false || true").await?;
    // The one that follows it notices only now and then that there is a connection again.
    let seen = loop {
        match watch.settle().await.pop() {
            Some(seen) => break seen,
            None => tokio::time::sleep(SHORT).await,
        }
    };
    ensure!(seen.trouble == Trouble::FailedUnit && seen.text.contains("doomed-later"), "{seen:?}");
    p.env.forget_moment(&moment).await?;
    Ok(())
}
