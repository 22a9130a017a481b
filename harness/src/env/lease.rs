//! Subnets of environments on a daemon that others use as well: which ones they need, and that nobody else has them.

use std::{collections::BTreeMap, io};

use super::{EnvError, Host, daemon::Identity, error::file, plan::net_asks};
use crate::{
    initfile::EnvSpec,
    lab::doctor::is_session,
    net::{
        Family, NetAsk, NetKind, PlannedNet, Scope,
        lease::{self, Holder, LeaseStore, Want},
        live::Live,
    },
};

/// Leases the subnets `spec` needs, and says what names and subnets its nets may have. Until the environment is made and
/// they are renewed, the leases hold only as long as this process runs: one that is killed keeps nothing from others.
pub(super) async fn lease(host: &Host, who: &Identity, spec: &EnvSpec) -> Result<Scope, EnvError> {
    let asks = net_asks(spec);
    makes_networks(&host.daemon.uri, rustix::process::geteuid().is_root(), spec)?;
    let live = Live::look().await?;
    passable(&asks, &live)?;
    let wants = lease::wanted(&asks);
    let octets = acquire(host, who.holder(false)?, wants.clone(), live.octets()).await?;
    let any = wants.iter().zip(octets).filter(|(want, _)| **want == Want::Any).map(|(_, octet)| octet);
    Ok(Scope { pool: any.collect(), uuid: Some(who.uuid.clone()), bridges: live.bridges })
}

/// Makes sure of the leases of an environment that was made before: it may have been moved, or others have taken what
/// they thought free.
pub(super) async fn renew(host: &Host, who: &Identity, nets: &[PlannedNet]) -> Result<(), EnvError> {
    // Its own networks may run: what is live says nothing here.
    acquire(host, who.holder(true)?, lease::taken(nets), BTreeMap::new()).await.map(drop)
}

async fn acquire(
    host: &Host,
    holder: Holder,
    wants: Vec<Want>,
    used: BTreeMap<u8, String>,
) -> Result<Vec<u8>, EnvError> {
    if wants.is_empty() {
        return Ok(Vec::new());
    }
    let store = LeaseStore::new(host.daemon.leases.clone());
    let acquired = tokio::task::spawn_blocking(move || store.acquire(&wants, &holder, &used)).await;
    match acquired {
        Ok(octets) => Ok(octets?),
        Err(error) => Err(file("lease a subnet in", &host.daemon.leases)(io::Error::other(error))),
    }
}

/// Refuses a daemon that cannot make the nets machines are on. For root the same name means the system's.
fn makes_networks(uri: &str, root: bool, spec: &EnvSpec) -> Result<(), EnvError> {
    let needed = spec.machines.iter().any(|machine| !machine.nics.is_empty());
    match is_session(uri) && !root && needed {
        true => Err(EnvError::Session { uri: uri.to_owned() }),
        false => Ok(()),
    }
}

/// Refuses now what libvirt would refuse when the nets are made: it makes the host route for those that lead out.
fn passable(asks: &[NetAsk], live: &Live) -> Result<(), EnvError> {
    let routed = asks.iter().find(|net| net.kind == NetKind::Nat && net.ipv6 != Family::Off);
    match (routed, live.obstacle_to_ipv6()) {
        (Some(net), Some(why)) => Err(EnvError::Ipv6 { net: net.name.clone(), why }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::initfile::{self, Options};

    fn spec(nics: &str, nets: &str) -> EnvSpec {
        let machine = "a: {nics: NICS, disks: [{name: r, type: template, template_name: minimal, dev: vda, format: qcow2}]}";
        let text = format!("domains: {{{}}}\nnets: {{{nets}}}\n", machine.replace("NICS", nics));
        initfile::load_text(Path::new("x.yaml"), &text, &Options::new(&|_| None)).unwrap().spec
    }

    fn asks(nets: &str) -> Vec<NetAsk> {
        net_asks(&spec("[{net: n}]", nets))
    }

    #[rstest::rstest]
    #[case("n: {type: nat}", &[Want::Any])]
    #[case("n: {type: nat, ipv4: false, ipv6: true}", &[Want::Any])]
    #[case("n: {type: nat, gw: 192.168.203.129/25}", &[Want::Octet(203)])]
    #[case("n: {type: nat, gw: 10.0.203.1}", &[])]
    #[case("n: {type: bridge}", &[])]
    fn whatever_is_shared_is_leased(#[case] nets: &str, #[case] wants: &[Want]) {
        assert_eq!(lease::wanted(&asks(nets)), wants);
    }

    #[rstest::rstest]
    #[case("qemu:///session", false, true)]
    #[case("qemu+unix:///session?socket=/x", false, true)]
    #[case("qemu:///session", true, false)]
    #[case("qemu:///system", false, false)]
    fn a_daemon_of_ones_own_is_refused_where_it_cannot_do_it(
        #[case] uri: &str,
        #[case] root: bool,
        #[case] refused: bool,
    ) {
        let nets = "n: {type: nat}";
        let error = makes_networks(uri, root, &spec("[{net: n}]", nets)).err().map(|error| error.to_string());
        assert_eq!(error.is_some_and(|error| error.contains("lab = \"hermetic\"")), refused);
        makes_networks(uri, root, &spec("[]", nets)).unwrap();
    }

    #[test]
    fn nets_that_would_cost_the_host_its_routes_are_refused_before_anything_is_made() {
        let learns = Live { advertised: vec!["eth0".into()], ..Live::default() };
        let six = asks("n: {type: nat, ipv6: true}");
        let error = passable(&six, &learns).unwrap_err().to_string();
        assert!(error.contains("net `n`") && error.contains("accept_ra=2"), "{error}");
        passable(&six, &Live::default()).unwrap();
        passable(&asks("n: {type: isolated, ipv6: true, management: true}, m: {type: nat}"), &learns)
            .unwrap();
    }
}
