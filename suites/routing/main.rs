//! Three routers learn each other's routes. Their configuration comes from a CloudVision Portal, which is the suite's own;
//! links are cut, slow and lossy, a router loses its power, and changes are undone where one router refuses them.
//!
//! `cargo test -p polder-suites --test routing` has everything it needs: it builds the routers' image, whose recipe is
//! `fixtures/images/debian12-frr.yaml`, and boots the machines of `routing.yaml`.

use std::time::Duration;

use polder::{net::Impairment, prelude::*};

/// The hosts at both ends, by their addresses behind the routers.
const H1: &str = "10.1.0.10";
const H3: &str = "10.3.0.10";

#[polder::suite(env = "routing.yaml", cvp, changes = "changes.yaml", timeout = "15m")]
mod routing {
    use super::*;

    /// The routers become devices of the portal, and each host sends by the router next to it. The next run begins there.
    #[setup(cached)]
    async fn onboard(#[role("router")] routers: &Vms, cvp: &Cvp, h1: &Vm, h3: &Vm) -> Result {
        for router in routers {
            router.wait_for_unit("frr.service", secs(60)).await?;
        }
        cvp.onboard(routers).await?;
        h1.succeed(format!("ip route add {H3} via 10.1.0.1")).await?;
        h3.succeed(format!("ip route add {H1} via 10.3.0.1")).await?;
        Ok(())
    }

    /// One change control configures all three.
    #[test]
    async fn sessions_establish(r1: &Vm, r2: &Vm, r3: &Vm, cvp: &Cvp) -> Result {
        cvp.deploy([
            cvp.configlet("r1").content(include_str!("r1.conf")).on([r1]),
            cvp.configlet("r2").content(include_str!("r2.conf")).on([r2]),
            cvp.configlet("r3").content(include_str!("r3.conf")).on([r3]),
        ])
        .await?;
        tokio::try_join!(has_sessions(r1), has_sessions(r2))?;
        Ok(())
    }

    #[test(after(sessions_establish))]
    async fn routes_propagate(r1: &Vm, r2: &Vm, r3: &Vm) -> Result {
        tokio::try_join!(
            r1.until(format!("ip route get {H3}"), |route| route.contains("via 10.13.0.3")),
            r3.until(format!("ip route get {H1}"), |route| route.contains("via 10.13.0.1")),
            r2.until(format!("ip route get {H1}"), |route| route.contains("via 10.12.0.1")),
            r2.until(format!("ip route get {H3}"), |route| route.contains("via 10.23.0.3")),
        )?;
        Ok(())
    }

    #[test(after(routes_propagate))]
    async fn traffic_flows(h1: &Vm, h3: &Vm, cvp: &Cvp, r1: &Vm) -> Result {
        tokio::try_join!(h1.until_ping(H3).within(secs(10)), h3.until_ping(H1).within(secs(10)))?;
        ensure!(cvp.compliance(r1).await?.is_in_sync());
        Ok(())
    }

    /// Both routers see that their cable is out, and go the other way.
    #[test(from(traffic_flows))]
    async fn a_cut_link_is_gone_around(h1: &Vm, r1: &Vm, r3: &Vm, direct: &Net) -> Result {
        let cut = [
            direct.link(r1).context("r1 is on it")?.down().await?,
            direct.link(r3).context("r3 is on it")?.down().await?,
        ];
        r1.until(format!("ip route get {H3}"), |route| route.contains("via 10.12.0.2")).await?;
        h1.until_ping(H3).within(secs(15)).await?;
        for end in cut {
            end.heal().await?;
        }
        r1.until(format!("ip route get {H3}"), |route| route.contains("via 10.13.0.3")).await?;
        Ok(())
    }

    #[test(after(traffic_flows))]
    async fn a_bad_link_is_felt_at_its_ends(h1: &Vm, left: &Net) -> Result {
        let link = left.link(h1).context("h1 is on it")?;
        let late = Duration::from_millis(100);
        let bad = link.impair(Impairment { delay: late, loss: 30.0, ..Impairment::default() }).await?;
        let pings = h1.ping(H3, 15).await?;
        ensure!(pings.average > Some(2 * late), "both ways are late: {pings}");
        ensure!(pings.received < pings.sent, "half of them get there and back: {pings}");
        bad.heal().await?;

        h1.until_ping(H3).within(secs(10)).await?;
        Ok(())
    }

    /// `r3` does not understand what comes second, and says so: its task fails, and what all routers have by then is taken back.
    #[test(after(traffic_flows))]
    async fn a_rollout_is_undone_where_one_refuses(
        #[role("router")] routers: &Vms,
        rollout: &NamedChange,
        cvp: &Cvp,
    ) -> Result {
        let error = rollout.apply().await.err().context("all of it was taken")?;
        ensure!(error.to_string().contains("r3 (rolled_back)"), "{error}");
        for router in routers {
            ensure!(!cvp.running_config(router).await?.contains("192.0.2.0/24"), "{router} has it still");
        }
        Ok(())
    }

    #[test(after(traffic_flows))]
    async fn a_router_comes_back_from_a_power_cut(r1: &Vm, h1: &Vm, cvp: &Cvp) -> Result {
        r1.power_cut().await?;
        has_sessions(r1).await?;
        h1.until_ping(H3).within(secs(30)).await?;
        ensure!(cvp.compliance(r1).await?.is_in_sync());
        Ok(())
    }

    /// The portal sees what somebody has typed at a router.
    #[test(after(traffic_flows))]
    async fn nobody_changes_a_router_unseen(r3: &Vm, cvp: &Cvp) -> Result {
        ensure!(cvp.compliance(r3).await?.is_in_sync());
        r3.succeed("vtysh -c 'configure terminal' -c 'no router bgp'").await?;
        ensure!(!cvp.compliance(r3).await?.is_in_sync());
        Ok(())
    }

    /// A change without a portal, in a few words, where nothing has been typed yet. It is undone at the end.
    #[test(from(traffic_flows))]
    async fn all_routers_drop_what_they_are_told_to(
        #[role("router")] routers: &Vms,
        changes: &Changes,
        h1: &Vm,
    ) -> Result {
        let block = Change::new("block")
            .apply(&format!("vtysh -c 'configure terminal' -c 'ip route {H3}/32 blackhole'"))
            .verify(&format!("ip route show type blackhole | grep {H3}"))
            .rollback(&format!("vtysh -c 'configure terminal' -c 'no ip route {H3}/32 blackhole'"));
        changes.apply(block).on(routers).await?;
        let ping = h1.fails(format!("ping -c 1 -W 1 {H3}")).await?.stdout;
        ensure!(ping.text().contains("100% packet loss"), "{}", ping.text());
        Ok(())
    }
}

/// Waits until both neighbours of a router are there.
async fn has_sessions(router: &Vm) -> Result {
    let sessions = "vtysh -c 'show bgp summary established'";
    router.until(sessions, |out| out.contains("Displayed neighbors 2")).within(secs(60)).await?;
    Ok(())
}

polder::main!();
