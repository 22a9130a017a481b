//! Through a CloudVision portal: configlets put on devices and taken off, and change controls. The portal knows a device by the
//! name that the file has for it, or by its `fqdn` or `ipaddress`.

use std::time::Duration;

use super::{
    known::{Known, name},
    login::Login,
};
use crate::{
    base::{dial::BoxFuture, text::chain, wait::Deadline},
    change::{Driver, DriverError, Request, Said, Session, Target, Text},
    cvp::{Client, CvpError, CvpSpec, Login as CvpLogin, Node, Trust},
};

/// Asks a portal.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) place: Place,
}

/// Where the portal is.
#[derive(Debug)]
pub(super) enum Place {
    /// The one that is configured.
    There(Client),
    /// By what the file says.
    Said { url: Text, login: Login, trust: Trust },
}

impl Driver for Portal {
    fn secrets(&self) -> Vec<String> {
        match &self.place {
            Place::There(_) => Vec::new(),
            Place::Said { login, .. } => vec![login.secret().to_owned()],
        }
    }

    fn open<'a>(
        &'a self,
        target: Target<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Box<dyn Session>, DriverError>> {
        Box::pin(async move {
            let texts: Vec<&Text> = match &self.place {
                Place::Said { url, login, .. } => std::iter::once(url).chain(login.user()).collect(),
                Place::There(_) => vec![],
            };
            let known = Known::of(target, texts.into_iter(), deadline).await?;
            let (client, is_ours) = match &self.place {
                Place::There(client) => (client.clone(), false),
                Place::Said { url, login, trust } => (client(&known, url, login, trust)?, true),
            };
            match tokio::time::timeout(deadline.left(), client.log_in()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(known.unconnected(error.to_string())),
                Err(_) => return Err(known.unconnected("the portal did not let us in in time")),
            }
            let names = [known.device.clone(), name(target).to_owned()].into_iter();
            let names = names.chain(target.device.attributes.get("ipaddress").cloned()).collect();
            Ok(Box::new(Talk { known, client, is_ours, names }) as Box<dyn Session>)
        })
    }
}

fn client(known: &Known, url: &Text, login: &Login, trust: &Trust) -> Result<Client, DriverError> {
    let node = Node::parse(&known.fill(url)?).map_err(|error| known.unconnected(error.to_string()))?;
    let login = match login {
        Login::User { user, password } => {
            CvpLogin::Password { user: known.fill(user)?, password: password.clone() }
        }
        Login::Token(token) => CvpLogin::Token(token.clone()),
    };
    let spec = CvpSpec { trust: trust.clone(), ..CvpSpec::new(node, login) };
    Client::new(spec, None).map_err(|error| known.unconnected(chain(&error)))
}

struct Talk {
    known: Known,
    client: Client,
    /// Whether nobody else uses it.
    is_ours: bool,
    /// What the portal may call the device.
    names: Vec<String>,
}

/// What a portal can be asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wish<'a> {
    Put { name: &'a str, text: &'a str },
    Take { name: &'a str },
    Change { name: &'a str },
}

impl Wish<'_> {
    const FORMS: &'static str =
        "`configlet NAME` with its lines below, `no configlet NAME`, or `change-control NAME`";

    fn parse(send: &str) -> Option<Wish<'_>> {
        let (first, text) = send.split_once('\n').unwrap_or((send, ""));
        let first = first.trim();
        let named = |verb: &str| {
            let name = first.strip_prefix(verb)?.strip_prefix(' ')?.trim();
            (!name.is_empty()).then_some(name)
        };
        if let Some(name) = named("no configlet") {
            return text.trim().is_empty().then_some(Wish::Take { name });
        }
        if let Some(name) = named("change-control") {
            return text.trim().is_empty().then_some(Wish::Change { name });
        }
        named("configlet").filter(|_| !text.trim().is_empty()).map(|name| Wish::Put { name, text })
    }
}

impl Session for Talk {
    fn exchange<'a>(
        &'a mut self,
        request: Request<'a>,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Said, DriverError>> {
        Box::pin(async move {
            request.expect_so_far(&self.known.device)?;
            let Some(send) = request.send else { return Ok(Said::default()) };
            let Some(wish) = Wish::parse(send) else {
                return Err(self.known.refused(format!("a portal is asked for {}", Wish::FORMS)));
            };
            let limit = deadline.left();
            match tokio::time::timeout(limit, self.wish(&wish, limit)).await {
                Ok(Ok(told)) => Ok(Said::ok(told)),
                Ok(Err(error)) => self.judged(error),
                Err(_) => Err(DriverError::TimedOut {
                    device: self.known.device.clone(),
                    what: "the portal was not done".to_owned(),
                    said: Box::default(),
                }),
            }
        })
    }

    fn close(self: Box<Self>, deadline: Deadline) -> BoxFuture<'static, Result<(), DriverError>> {
        Box::pin(async move {
            if self.is_ours {
                let _ = tokio::time::timeout(deadline.left(), self.client.log_out()).await;
            }
            Ok(())
        })
    }
}

impl Talk {
    async fn wish(&self, wish: &Wish<'_>, limit: Duration) -> Result<String, CvpError> {
        match wish {
            Wish::Put { name, text } => self.client.step_put(&self.device().await?, name, text, limit).await,
            Wish::Take { name } => self.client.step_take(&self.device().await?, name, limit).await,
            Wish::Change { name } => self.client.step_change(name, limit).await,
        }
    }

    /// The MAC address of the device, which nothing else has.
    async fn device(&self) -> Result<String, CvpError> {
        let inventory = self.client.inventory().await?;
        let mut first = None;
        for name in &self.names {
            match inventory.device(name) {
                Ok(device) => return Ok(device.mac.clone()),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| CvpError::not_found("device", &self.known.device, [])))
    }

    /// What the portal says is an answer; that it cannot be asked is a failure of the session.
    fn judged(&self, error: CvpError) -> Result<Said, DriverError> {
        let (device, why) = (self.known.device.clone(), error.to_string());
        match error {
            CvpError::Login(_) | CvpError::Unreachable { .. } | CvpError::NoSession { .. } => {
                Err(self.known.unconnected(why))
            }
            CvpError::NoAnswer { .. } | CvpError::Odd { .. } => {
                Err(DriverError::Lost { device, why, said: Box::default() })
            }
            CvpError::Late { .. } => Err(DriverError::TimedOut { device, what: why, said: Box::default() }),
            _ => Ok(Said::exit(1, format!("{why}\n"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("configlet ntp\nntp server 192.0.2.1\n", Some(Wish::Put { name: "ntp", text: "ntp server 192.0.2.1\n" }))]
    #[case("configlet with blanks \nvlan 7", Some(Wish::Put { name: "with blanks", text: "vlan 7" }))]
    #[case("no configlet ntp", Some(Wish::Take { name: "ntp" }))]
    #[case("change-control Night 7\n", Some(Wish::Change { name: "Night 7" }))]
    #[case("configlet ntp", None)]
    #[case("configlet \nvlan 7", None)]
    #[case("no configlet ntp\nvlan 7", None)]
    #[case("configlets ntp\nvlan 7", None)]
    #[case("show version", None)]
    #[case("", None)]
    fn wishes(#[case] send: &str, #[case] expected: Option<Wish<'_>>) {
        assert_eq!(Wish::parse(send), expected);
    }
}
