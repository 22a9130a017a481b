//! How the router's image takes a configuration: all of it or none, the same whatever ran before, and for good.
//!
//! The programs that are looked at are in `fixtures/images/debian12-frr.yaml`; a portal runs them.

use std::{collections::BTreeSet, time::Instant};

use polder::{Chance, prelude::*};

/// As FRR shows them, but for what is in all of them.
const PEERS: &str = include_str!("peers.conf");
const OTHERS: &str = include_str!("others.conf");
/// `OTHERS` with a neighbor of another number, which FRR takes for another neighbor.
const RENUMBERED: (&str, &str) = ("remote-as 65002", "remote-as 65003");
const PLAIN: &str = "";
/// What is removed only in words that FRR's own program knows.
const ON_MATCH: &str = "route-map out permit 10\n on-match goto 30\n";

const APPLY: &str = "/usr/lib/polder/device/apply </root/wanted";
const SHOW: &str = "/usr/lib/polder/device/show";

/// FRR's own way, which takes long.
const SLOW: &str = "/usr/lib/frr/frr-reload.py";

#[polder::suite(env = "router.yaml", timeout = "10m")]
mod router {
    use super::*;

    #[setup]
    async fn is_up(r1: &Vm) -> Result {
        r1.wait_for_unit("frr.service", secs(60)).await?;
        Ok(())
    }

    #[test]
    async fn goes_from_anything_to_anything(r1: &Vm) -> Result {
        // Whoever needs the slow way fails.
        r1.succeed(format!("mv {SLOW} {SLOW}.off")).await?;
        let renumbered = OTHERS.replace(RENUMBERED.0, RENUMBERED.1);
        for wanted in [PEERS, OTHERS, &renumbered, PLAIN] {
            becomes(r1, wanted).await?;
        }
        r1.succeed(format!("mv {SLOW}.off {SLOW}")).await?;
        Ok(())
    }

    /// Whoever restarts FRR, or has a daemon crash, is understood all the same.
    #[test(after(goes_from_anything_to_anything))]
    async fn is_what_its_daemons_say(r1: &Vm) -> Result {
        becomes(r1, PEERS).await?;
        r1.succeed("systemctl restart frr").await?;
        becomes(r1, OTHERS).await?;
        r1.succeed("pkill -9 bgpd").await?;
        r1.until(SHOW, |runs| lines(runs) == lines(&whole(OTHERS))).within(secs(60)).await?;
        becomes(r1, PLAIN).await?;
        r1.succeed("pkill -9 -x vtysh").await?;
        becomes(r1, PEERS).await
    }

    /// What the one that is kept carries out is what another one would have done, said and ended with.
    #[test(after(is_what_its_daemons_say))]
    async fn has_a_quick_vtysh(r1: &Vm) -> Result {
        becomes(r1, PEERS).await?;
        for asked in [
            "-c 'show running-config bgpd'",
            "-c 'show ip prefix-list'",
            "-c 'show ip route 203.0.113.9'",
            "-c 'show bgp ipv4 unicast 203.0.113.9/32'",
            "-c 'show version' -c 'show nothing at all' -c 'show daemons'",
            "-c 'configure terminal' -c 'ip route 192.0.2.0/24 nowhere at all' -c 'ip route 192.0.2.0/24 blackhole'",
            "-c 'configure terminal' -c 'ip route 203.0.113.0/24 blackhole' -c 'do show running-config staticd'",
            "-c 'show running-config\nshow daemons'",
            "-c 'show daemons' -c 'ping 127.0.0.1 count 1 oops'",
            "-c 'configure terminal' -c 'do show daemons' -c 'exit' -c 'disable' -c 'show daemons'",
            "-c 'configure terminal' -c 'router bgp 65001' -c 'exit-address-family' -c 'no bgp oops'",
            "-c",
            "-c 'show daemons' -E",
            "--help",
        ] {
            let (quick, other) = (
                r1.execute(format!("vtysh {asked} 2>&1")).await?,
                r1.execute(format!("/usr/bin/vtysh {asked} 2>&1")).await?,
            );
            let said = [&quick, &other].map(|output| {
                // Times go on between the two.
                let text = output.stdout.text().into_owned();
                text.split(' ').filter(|word| !word.contains(':')).collect::<Vec<_>>().join(" ")
            });
            ensure!(quick.status == other.status && said[0] == said[1], "{asked}: it says {said:#?}");
        }
        // It is left as it was found, and nobody types on where another one has been.
        r1.succeed("vtysh -c 'configure terminal' -c 'ip route 192.0.2.0/24 blackhole'").await?;
        let runs = r1.succeed("vtysh -c 'show running-config'").await?;
        ensure!(runs.contains("ip route 192.0.2.0/24 blackhole"), "{runs}");
        r1.fails("vtysh -c 'ip route 198.51.100.0/24 blackhole'").await?;
        r1.fails("vtysh -c 'configure terminal' -c 'no ip route 198.51.100.0/24 blackhole'").await?;
        // Whoever has taken the sockets away has a vtysh all the same.
        r1.succeed("systemctl stop polder-device.socket polder-device.service").await?;
        r1.succeed("vtysh -c 'show version'").await?;
        let silent = r1.fails(SHOW).await?.stderr;
        ensure!(silent.text().contains("journalctl -u polder-device"), "{}", silent.text());
        r1.succeed("systemctl start polder-device.socket").await?;
        becomes(r1, PLAIN).await
    }

    /// Where a connection is cut, the input ends early; nothing of it runs, and where nothing came, nothing is removed.
    #[test(after(goes_from_anything_to_anything))]
    async fn refuses_what_comes_in_part(r1: &Vm) -> Result {
        becomes(r1, PEERS).await?;
        r1.write_file("/root/wanted", OTHERS).await?;
        let all = OTHERS.len();
        for some in [0, 100, all - 1] {
            let cut = format!("head -c {some} /root/wanted | /usr/lib/polder/device/apply {all}");
            let said = r1.fails(cut).await?.stderr;
            let told = format!("of {all} bytes of the configuration, {some} have come\n");
            ensure!(said.text() == told, "{}", said.text());
            ensure!(lines(&r1.succeed(SHOW).await?) == lines(&whole(PEERS)));
        }
        r1.succeed(format!("/usr/lib/polder/device/apply {all} </root/wanted")).await?;
        ensure!(lines(&r1.succeed(SHOW).await?) == lines(&whole(OTHERS)));
        becomes(r1, PLAIN).await
    }

    /// At a terminal, these keys would mean something else.
    #[test(after(goes_from_anything_to_anything))]
    async fn takes_what_nobody_can_type(r1: &Vm) -> Result {
        becomes(r1, "interface eth0\n description who is there? zażółć\n").await?;
        becomes(r1, PLAIN).await
    }

    #[test(after(goes_from_anything_to_anything))]
    async fn takes_its_time_where_it_must(r1: &Vm) -> Result {
        becomes(r1, ON_MATCH).await?;
        becomes(r1, "route-map out permit 10\n").await
    }

    /// The first is not understood; the second is, and then BGP does not want it, when something else has gone already.
    #[test(after(goes_from_anything_to_anything))]
    async fn is_as_it_was_where_it_refuses(r1: &Vm) -> Result {
        becomes(r1, "ip route 198.51.100.0/24 blackhole\n").await?;
        for (wrong, why) in [
            ("ip route 192.0.2.0/24 nowhere at all\n", "Unknown command"),
            ("router bgp 65001\n neighbor 10.1.0.9 peer-group none\n", "Configure the peer-group first"),
        ] {
            write(r1, wrong).await?;
            refuses(r1, why).await?;
        }
        Ok(())
    }

    /// Nobody removes what only FRR's own program can remove, and there is no room for the file that is kept.
    #[test(after(takes_its_time_where_it_must))]
    async fn is_as_it_was_where_it_cannot(r1: &Vm) -> Result {
        becomes(r1, ON_MATCH).await?;
        write(r1, "route-map out permit 10\n").await?;
        r1.succeed(format!("mv {SLOW} {SLOW}.off")).await?;
        refuses(r1, "frr-reload.py").await?;
        r1.succeed(format!("mv {SLOW}.off {SLOW}")).await?;
        becomes(r1, PLAIN).await?;
        write(r1, OTHERS).await?;
        let full = r1.fill_disk("/etc/frr", 0).await?;
        refuses(r1, "No space left").await?;
        full.heal().await?;
        becomes(r1, OTHERS).await
    }

    /// Whenever what pushes a configuration is killed, what is kept is whole, and the next push is not hindered by what goes on still.
    #[test(after(takes_its_time_where_it_must))]
    async fn is_given_another_one_amid_one(r1: &Vm, chance: &Chance) -> Result {
        for (before, wanted, next, slower) in [(PLAIN, PEERS, OTHERS, 1), (ON_MATCH, PEERS, PLAIN, 2)] {
            let since = Instant::now();
            becomes(r1, before).await?;
            write(r1, wanted).await?;
            let moment = chance.between(secs(0)..since.elapsed() * slower).as_secs_f64();
            r1.succeed(format!("{APPLY} >/dev/null 2>&1 & sleep {moment:.3}; kill -KILL $! || true")).await?;
            let kept = r1.succeed("cat /etc/frr/frr.conf").await?;
            let is_whole = [before, wanted].iter().any(|one| lines(&kept) == lines(&whole(one)));
            ensure!(is_whole, "killed after {moment} s, it keeps\n{kept}");
            becomes(r1, next).await.with_context(|| format!("killed after {moment} s"))?;
            r1.wait_until_fails("pgrep -f '[f]rr-reload'", secs(60)).await?;
            let runs = r1.succeed(SHOW).await?;
            ensure!(
                lines(&runs) == lines(&whole(next)),
                "killed after {moment} s, it runs in the end\n{runs}"
            );
        }
        Ok(())
    }

    /// Whenever that is, it has one or the other afterwards.
    #[test(after(goes_from_anything_to_anything))]
    async fn loses_its_power(r1: &Vm, chance: &Chance) -> Result {
        becomes(r1, OTHERS).await?;
        write(r1, PLAIN).await?;
        r1.succeed(format!("{APPLY} >/dev/null 2>&1 &")).await?;
        tokio::time::sleep(chance.between(secs(0)..secs(3))).await;
        r1.power_cut().await?;
        r1.wait_for_unit("frr.service", secs(60)).await?;
        let has = |runs: &str| [OTHERS, PLAIN].iter().any(|one| lines(runs) == lines(&whole(one)));
        r1.until(SHOW, has).within(secs(30)).await?;
        Ok(())
    }
}

/// Has the router take a configuration, which it then shows in just these words, and keeps.
async fn becomes(router: &Vm, wanted: &str) -> Result {
    write(router, wanted).await?;
    let said = router.succeed(APPLY).await?;
    let (runs, kept) = (router.succeed(SHOW).await?, router.succeed("cat /etc/frr/frr.conf").await?);
    ensure!(said == runs, "it said\n{said}\nand runs\n{runs}");
    ensure!(lines(&runs) == lines(&whole(wanted)), "it was to be\n{wanted}\nand is\n{runs}");
    ensure!(lines(&kept) == lines(&runs), "it keeps\n{kept}");
    Ok(())
}

/// It does not take what was written, and runs and keeps what it did.
async fn refuses(router: &Vm, why: &str) -> Result {
    let both = format!("{SHOW}; cat /etc/frr/frr.conf");
    let before = router.succeed(&*both).await?;
    let refused = router.fails(APPLY).await?.stderr;
    let told = refused.text();
    ensure!(told.contains(why) && !told.contains("cannot be had back"), "{told}");
    let after = router.succeed(&*both).await?;
    ensure!(after == before, "it was\n{before}\nand is\n{after}");
    Ok(())
}

async fn write(router: &Vm, wanted: &str) -> Result {
    Ok(router.write_file("/root/wanted", whole(wanted)).await?)
}

/// With what FRR always shows.
fn whole(config: &str) -> String {
    let always = "frr version 8.4.4\nfrr defaults datacenter\nhostname r1\nservice integrated-vtysh-config\n";
    format!("{always}{config}")
}

/// What a configuration says: each line, below those that it stands under.
fn lines(config: &str) -> BTreeSet<Vec<&str>> {
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut said = BTreeSet::new();
    for line in config.lines() {
        let words = line.trim_start();
        if words.is_empty() || words == "end" || words.starts_with('!') || words.starts_with("exit") {
            continue;
        }
        let depth = line.len() - words.len();
        above.retain(|(other, _)| *other < depth);
        above.push((depth, words));
        said.insert(above.iter().map(|(_, words)| *words).collect());
    }
    said
}

polder::main!();
