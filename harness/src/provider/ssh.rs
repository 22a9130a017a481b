//! Machines that are there anyway and only reached. They are neither ours to start nor to stop. Here it is only
//! found out whether an ssh server is there; whether it lets us in is the guest layer's to say.

use std::{io, net::SocketAddr};

use anyhow::anyhow;
use tokio::{io::AsyncReadExt, time::timeout};

use super::machine::{Answer, Deed, MachineError, MachineOrder, MachineProvider, MachineState, ProviderCx};

/// How ssh servers begin.
const BANNER: &[u8] = b"SSH-";

/// The provider `ssh`.
#[derive(Debug, Clone, Copy)]
pub struct Ssh;

impl Ssh {
    /// What it is called.
    pub const NAME: &'static str = "ssh";

    async fn look(&self, order: &MachineOrder, cx: &ProviderCx) -> Result<(), anyhow::Error> {
        let address = order.address.ok_or_else(|| anyhow!("{NO_ADDRESS}"))?;
        let answer = timeout(cx.deadline, banner(SocketAddr::new(address, order.port), cx)).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        answer.map_err(|error| anyhow!("no ssh server answers at {address}, port {}: {error}", order.port))
    }
}

const NO_ADDRESS: &str = "say its `ssh-address`, or the `ip` of one of its NICs";

async fn banner(at: SocketAddr, cx: &ProviderCx) -> io::Result<()> {
    let mut stream = cx.dial.dial(at, cx.deadline).await?;
    let mut begin = [0; BANNER.len()];
    stream.read_exact(&mut begin).await?;
    if begin == BANNER { Ok(()) } else { Err(io::Error::other("something else than ssh is there")) }
}

impl MachineProvider for Ssh {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn makes(&self) -> bool {
        false
    }

    fn check(&self, order: &MachineOrder) -> Result<(), Vec<String>> {
        order.address.map(drop).ok_or_else(|| vec![NO_ADDRESS.to_owned()])
    }

    fn start<'a>(&'a self, order: &'a MachineOrder, cx: &'a ProviderCx) -> Answer<'a> {
        Box::pin(async move { Ok(self.look(order, cx).await?) })
    }

    fn deeds(&self) -> &[Deed] {
        &[]
    }

    fn act<'a>(&'a self, deed: Deed, _: &'a MachineOrder, _: &'a ProviderCx) -> Answer<'a> {
        let error = MachineError::Unsupported { provider: Self::NAME.to_owned(), what: deed.name() };
        Box::pin(async move { Err(error) })
    }

    fn state<'a>(&'a self, order: &'a MachineOrder, cx: &'a ProviderCx) -> Answer<'a, MachineState> {
        Box::pin(async move {
            Ok(match self.look(order, cx).await {
                Ok(()) => MachineState::Running,
                Err(_) => MachineState::Unreachable,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, time::Duration};

    use super::*;

    async fn state(order: &MachineOrder) -> (MachineState, Option<String>) {
        let cx = ProviderCx { folder: "/".into(), deadline: Duration::from_secs(5), dial: Ssh.dial() };
        let ssh = Ssh;
        let started = ssh.start(order, &cx).await.err().map(|error| error.to_string());
        (ssh.state(order, &cx).await.unwrap(), started)
    }

    #[tokio::test]
    async fn what_says_ssh_is_up_and_nothing_else() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            for greeting in ["SSH-2.0-x\r\n", "SSH-2.0-x\r\n", "220 mail\r\n", "220 mail\r\n"] {
                listener.accept().unwrap().0.write_all(greeting.as_bytes()).unwrap();
            }
        });
        let order = MachineOrder { address: "127.0.0.1".parse().ok(), port, ..MachineOrder::lost("a") };
        assert_eq!(state(&order).await, (MachineState::Running, None));
        let (other, why) = state(&order).await;
        assert!(other == MachineState::Unreachable && why.unwrap().contains("something else than ssh"));
        server.join().unwrap();
        let (gone, why) = state(&order).await;
        assert_eq!(gone, MachineState::Unreachable);
        assert!(why.unwrap().starts_with(&format!("no ssh server answers at 127.0.0.1, port {port}: ")));
        assert_eq!(Ssh.check(&MachineOrder::lost("a")), Err(vec![NO_ADDRESS.to_owned()]));
    }
}
