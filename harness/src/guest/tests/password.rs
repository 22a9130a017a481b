//! Machines that no key of ours opens: the password does, told or in answer to a question.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use russh::server::{self, Auth};
use tokio::net::{TcpListener, TcpStream};

use super::rig::key;
use crate::{
    base::dial::{BoxFuture, Dial},
    guest::{
        SshError, SshSpec,
        link::{Link, config},
    },
};

/// A server that knows one user and no keys; dialling it starts it.
#[derive(Debug, Clone, Copy)]
struct Door {
    /// Whether it will not be told, but asks.
    asks: bool,
}

impl server::Handler for Door {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let right = !self.asks && (user, password) == ("ada", "secret");
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<server::Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(mut response) = response.filter(|_| self.asks) else {
            let prompts = vec![("Password: ".into(), false)].into();
            let asked = Auth::Partial { name: "".into(), instructions: "".into(), prompts };
            return Ok(if self.asks { asked } else { Auth::reject() });
        };
        let right = user == "ada" && response.next().is_some_and(|answer| answer.as_ref() == b"secret");
        Ok(if right { Auth::Accept } else { Auth::reject() })
    }
}

impl Dial for Door {
    fn dial(&self, _: SocketAddr, _: Duration) -> BoxFuture<'_, io::Result<TcpStream>> {
        let door = *self;
        Box::pin(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let ours = TcpStream::connect(listener.local_addr()?).await?;
            let (stream, _) = listener.accept().await?;
            let config = server::Config {
                keys: vec![key(1)],
                auth_rejection_time: Duration::ZERO,
                auth_rejection_time_initial: Some(Duration::ZERO),
                ..server::Config::default()
            };
            tokio::spawn(async move { server::run_stream(Arc::new(config), stream, door).await?.await });
            Ok(ours)
        })
    }
}

#[rstest::rstest]
#[case(false)]
#[case(true)]
#[tokio::test]
async fn the_password_opens_what_the_key_does_not(#[case] asks: bool) {
    let connect = async |password: Option<&str>| {
        let spec = SshSpec {
            dial: Arc::new(Door { asks }),
            addr: "192.0.2.1:22".parse().unwrap(),
            user: "ada".into(),
            key: Some(Arc::new(key(2))),
            password: password.map(str::to_owned),
            host_key: Some(key(1).public_key().clone()),
            known_hosts: None,
        };
        Link::connect(&spec, Arc::new(config(&spec, 1.0)), 1.0).await
    };
    assert!(!connect(Some("secret")).await.unwrap().is_over());
    for password in [None, Some("guessed")] {
        let refused = connect(password).await.unwrap_err();
        assert!(matches!(refused, SshError::Auth { .. }), "{refused}");
    }
}
