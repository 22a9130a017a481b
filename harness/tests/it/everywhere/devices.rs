//! Machines as devices of a portal: what its tasks write runs in the machine, and what runs there is read back.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use polder::cvp::{
    Client, CvpSpec, Login, Node, Place as Portals, Trust,
    server::{Adapter, DeviceSpec, Machines, Portal, PortalSpec},
};

use super::{Place, Row};

pub(super) const ROWS: &[Row] = &[
    Row("a portal's configlet runs in it", None, |p| Box::pin(configured(p))),
    Row("a session makes it a device and leaves it as it was", None, |p| Box::pin(eos(p))),
    Row("a machine says itself how it takes its configuration", None, |p| Box::pin(own(p))),
];

const LIMIT: Duration = Duration::from_secs(300);
const MAC: &str = "02:00:00:00:00:01";

/// A portal whose only device, called `it`, is the machine, with somebody logged in.
async fn portal(p: &Place, adapter: Adapter) -> Result<(Portal, Client)> {
    let machines = Machines::default();
    machines.add("it", (*p.vm).clone(), adapter);
    let device = DeviceSpec {
        mac: MAC.to_owned(),
        hostname: "it".to_owned(),
        domain: String::new(),
        serial: String::new(),
        ip: "192.0.2.1".to_owned(),
        container: Some("Lab".to_owned()),
        config: "hostname it\n".to_owned(),
        judges: false,
    };
    let spec = PortalSpec { devices: vec![device], driver: Arc::new(machines), ..PortalSpec::default() };
    let portal = Portal::start(spec).await?;
    let login = Login::Password { user: portal.username().into(), password: portal.password().into() };
    let mut spec = CvpSpec::new(Node::parse(&portal.url())?, login);
    spec.trust = Trust::CaPem(portal.ca().context("it has one")?.as_bytes().to_vec());
    let client = Client::new(spec, None)?;
    Ok((portal, client))
}

/// Gives the configlet `site` a text and executes what comes of it.
async fn run(client: &Client, text: &str) -> Result<()> {
    let tasks = match client.configlet("site").await? {
        Some(there) => client.update_configlet(&there.key, "site", text).await?,
        None => {
            let made = client.add_configlet("site", text).await?;
            let inventory = client.inventory().await?;
            client.put_on_device(inventory.device("it")?, &[made]).await?
        }
    };
    client.run_tasks(&tasks, LIMIT, |_| {}).await?;
    Ok(())
}

async fn configured(p: &Place) -> Result<()> {
    let reload = "! grep -q 'vrf nowhere' /etc/router/config || { echo 'no vrf `nowhere`'; false; } && touch /tmp/reloaded";
    let (portal, client) = portal(p, Adapter::file("/etc/router/config", reload)).await?;
    run(&client, "ntp server 192.0.2.7\n").await?;
    let there = p.vm.succeed("ls /tmp/reloaded >&2; cat /etc/router/config").await?;
    ensure!(there.contains("hostname it\n") && there.contains("ntp server 192.0.2.7\n"), "{there}");
    ensure!(client.compliance(MAC).await?.is_in_sync());
    // What the machine refuses fails the task with its words, and what ran before runs again.
    let error = run(&client, "ntp server 192.0.2.8 vrf nowhere\n").await.err().context("it runs")?;
    ensure!(format!("{error:#}").contains("no vrf `nowhere`"), "{error:#}");
    ensure!(p.vm.succeed("cat /etc/router/config").await? == there);
    // What somebody changes in the machine is noticed.
    run(&client, "ntp server 192.0.2.9\n").await?;
    ensure!(client.compliance(MAC).await?.is_in_sync());
    p.vm.succeed("sed -i s/192.0.2.9/192.0.2.66/ /etc/router/config").await?;
    ensure!(!client.compliance(MAC).await?.is_in_sync());
    ensure!(client.running_config(MAC).await?.contains("ntp server 192.0.2.66"));
    portal.stop().await;
    Ok(())
}

/// The part of the shell of EOS that is used: it replaces the configuration, unless there is something in it that it does not
/// know, which it says without failing.
const FAST_CLI: &str = r#"#!/bin/sh
[ "$1 $2 $3" = "-p 15 -c" ] || exit 2
case "$4" in
'show running-config') cat /tmp/eos ;;
'configure replace flash:polder.cfg')
    if grep -q nonsense /mnt/flash/polder.cfg; then echo '% Invalid input at line 3'; else cp /mnt/flash/polder.cfg /tmp/eos; fi ;;
*) exit 2 ;;
esac
"#;

/// A suite's session makes the machine a device, as what it is, and leaves its configuration as it was.
async fn eos(p: &Place) -> Result<()> {
    ensure!(Adapter::of(&p.vm).await? == Adapter::file("/etc/polder/startup-config", ""));
    p.vm.write_file("/usr/bin/FastCli", FAST_CLI).await?;
    p.vm.succeed("chmod 755 /usr/bin/FastCli; mkdir -p /mnt/flash; echo 'hostname it' >/tmp/eos").await?;
    ensure!(Adapter::of(&p.vm).await? == Adapter::eos());
    let stay = Portals::own(None).open("it", &p.ground.path("journals"), None).await?;
    let cvp = stay.cvp();
    let devices = cvp.onboard([&p.vm]).await?;
    ensure!(matches!(&devices[..], [one] if one.hostname == "it" && !one.mac.is_empty()), "{devices:?}");
    ensure!(cvp.onboard([&p.vm]).await? == devices, "it is one already");
    cvp.configlet("ntp").content("ntp server 192.0.2.7\n").on([&p.vm]).deploy().await?;
    let there = p.vm.succeed("cat /tmp/eos; ls -A /mnt/flash").await?;
    ensure!(there == "hostname it\nntp server 192.0.2.7\n", "{there}");
    let typo = cvp.configlet("ntp").content("ntp server nonsense\n");
    let error = typo.deploy().await.err().context("it runs")?;
    ensure!(format!("{error:#}").contains("% Invalid input at line 3"), "{error:#}");
    ensure!(p.vm.succeed("cat /tmp/eos; ls -A /mnt/flash").await? == there);
    stay.close().await?;
    ensure!(p.vm.succeed("cat /tmp/eos").await? == "hostname it\n");
    p.vm.succeed("rm /usr/bin/FastCli").await?;
    Ok(())
}

/// What a machine brings is used instead of what is known of its system, and it alone knows what it refuses.
async fn own(p: &Place) -> Result<()> {
    let apply = "#!/bin/sh\ncat >/tmp/new\n[ $(($(wc -c </tmp/new))) = \"$1\" ] || exit 1\n\
        if grep -q nonsense /tmp/new; then echo 'I do not know nonsense' >&2; exit 1; fi\n\
        cp /tmp/new /tmp/own; cat /tmp/own\n";
    p.vm.succeed("mkdir -p /usr/lib/polder/device; echo 'hostname it' >/tmp/own").await?;
    p.vm.write_file("/usr/lib/polder/device/apply", apply).await?;
    p.vm.write_file("/usr/lib/polder/device/show", "#!/bin/sh\ncat /tmp/own\n").await?;
    p.vm.succeed("chmod 755 /usr/lib/polder/device/*").await?;
    let stay = Portals::own(None).open("it", &p.ground.path("journals"), None).await?;
    let cvp = stay.cvp();
    cvp.onboard([&p.vm]).await?;
    cvp.configlet("words").content("frobnicate everything\n").on([&p.vm]).deploy().await?;
    ensure!(p.vm.succeed("cat /tmp/own").await? == "hostname it\nfrobnicate everything\n");
    let error = cvp.configlet("words").content("nonsense\n").deploy().await.err().context("it runs")?;
    ensure!(format!("{error:#}").contains("I do not know nonsense"), "{error:#}");
    ensure!(cvp.running_config(&p.vm).await? == "hostname it\nfrobnicate everything\n");
    ensure!(!cvp.compliance(&p.vm).await?.is_in_sync(), "the configlet says something else");
    stay.close().await?;
    ensure!(p.vm.succeed("cat /tmp/own").await? == "hostname it\n");
    p.vm.succeed("rm -r /usr/lib/polder/device").await?;
    Ok(())
}
