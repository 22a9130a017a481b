//! The life of networks: made before the first machine that needs them, waited for, ended with the last.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Env, EnvError, Vm, daemon,
    host::limits,
    site::Running,
    turn::{Turn, thing},
};
use crate::{
    base::wait::{Look, wait_for},
    lab::LabKind,
    net::PlannedNet,
    provider::{libvirt::xml, spec::Label},
    workdir::Kind,
};

/// How often it is looked whether a network serves.
const PAUSE: Duration = Duration::from_millis(20);

/// Whether `vm` is on `net`, also by a NIC that was attached to it.
pub(super) fn needs(env: &Env, vm: &Vm, net: &PlannedNet) -> bool {
    env.links(vm).iter().any(|link| link.nic().net == net.name)
}

/// Names in libvirt of the networks of `nets` that are up.
pub(super) async fn active(running: &Running, nets: &[PlannedNet]) -> Result<Vec<String>, EnvError> {
    let all = running.connection.networks(limits::NETWORK).await.map_err(|e| running.explain(e))?;
    let ours = |name: &String| nets.iter().any(|net| net.libvirt_name == *name);
    Ok(all.into_iter().map(|(name, _)| name).filter(ours).collect())
}

/// Makes a network of the environment, which is noted first, and waits until it answers.
pub(super) async fn raise(
    env: &Env,
    turn: &Turn<'_>,
    running: &Running,
    net: &PlannedNet,
) -> Result<(), EnvError> {
    turn.making(&thing(Kind::Network, &net.libvirt_name, &*running.lab))?;
    let mark = daemon::mark(env, net.name.as_str())?;
    create(running, &super::net::as_named(net, &env.state()), mark.as_ref()).await
}

async fn create(running: &Running, net: &PlannedNet, label: Option<&Label>) -> Result<(), EnvError> {
    let xml = xml::network_xml(net, label);
    let made = running.connection.create_network(&net.libvirt_name, xml, limits::NETWORK);
    made.await.map_err(|error| running.explain(error))?;
    if running.lab.kind() == LabKind::Hermetic {
        // A bridge has no address of ours from which they would be asked.
        let hosts = net.hosts.iter().filter(|_| net.server().is_some());
        let addresses = hosts.flat_map(|host| {
            let ips = host.ip.map(IpAddr::V4).into_iter().chain(host.ip6.map(IpAddr::V6));
            ips.map(|ip| format!("neigh replace {ip} lladdr {} dev {} nud permanent\n", host.mac, net.bridge))
        });
        // Without these, the kernel asks for an absent neighbour once a second only, and readiness is found that late.
        running.run(&["ip", "-batch", "-"], &addresses.collect::<String>()).await?;
    }
    // One that serves addresses alone serves already: dnsmasq goes to the background, which libvirt waits for, when all
    // it listens on is open.
    match net.server().filter(|_| net.dns.is_some()) {
        Some(server) => serves(running, net, SocketAddr::new(server, 53)).await,
        None => Ok(()),
    }
}

/// Waits until the name server of a network answers. The same process serves addresses, and opens what it listens on
/// for those first: who boots then gets its address at its first request.
async fn serves(running: &Running, net: &PlannedNet, at: SocketAddr) -> Result<(), EnvError> {
    // One question for its version, which is nobody else's matter; any answer will do.
    let question =
        b"\x00\x1e\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03";
    let ask = async || -> std::io::Result<u16> {
        let mut stream = running.lab.dial(at, limits::NETWORK).await?;
        stream.write_all(question).await?;
        stream.read_u16().await
    };
    let what = format!("an answer of the name server at {at}");
    let answered = wait_for(&what, limits::NETWORK, PAUSE, async || match ask().await {
        Ok(_) => Look::Ready(()),
        Err(error) => Look::NotYet(error.to_string()),
    });
    answered.await.map_err(|source| EnvError::NoService { net: net.name.clone(), source })
}

/// Ends networks by the names libvirt knows them by; those that are gone are no failure.
pub(super) async fn destroy_all(
    turn: &Turn<'_>,
    running: &Running,
    names: Vec<String>,
) -> Result<(), EnvError> {
    let mut errors = Vec::new();
    for name in names {
        let ended = running.connection.destroy_network(&name, limits::NETWORK).await;
        let ended = ended.map_err(|error| running.explain(error));
        errors.extend(ended.and_then(|()| turn.gone(&thing(Kind::Network, &name, &*running.lab))).err());
    }
    EnvError::all(errors)
}
