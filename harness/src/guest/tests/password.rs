//! Machines that no key of ours opens: the password does.

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
#[derive(Debug)]
struct Door;

impl server::Handler for Door {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(if (user, password) == ("ada", "secret") { Auth::Accept } else { Auth::reject() })
    }
}

impl Dial for Door {
    fn dial(&self, _: SocketAddr, _: Duration) -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let ours = TcpStream::connect(listener.local_addr()?).await?;
            let (stream, _) = listener.accept().await?;
            let config = server::Config {
                keys: vec![key(1)],
                auth_rejection_time: Duration::ZERO,
                auth_rejection_time_initial: Some(Duration::ZERO),
                ..server::Config::default()
            };
            tokio::spawn(async move { server::run_stream(Arc::new(config), stream, Self).await?.await });
            Ok(ours)
        })
    }
}

#[tokio::test]
async fn the_password_opens_what_the_key_does_not() {
    let connect = async |password: Option<&str>| {
        let spec = SshSpec {
            dial: Arc::new(Door),
            addr: "192.0.2.1:22".parse().unwrap(),
            user: "ada".into(),
            key: Arc::new(key(2)),
            password: password.map(str::to_owned),
            host_key: Some(key(1).public_key().clone()),
            known_hosts: None,
        };
        Link::connect(&spec, Arc::new(config(&spec, 1.0)), 1.0).await
    };
    assert!(!connect(Some("secret")).await.unwrap().is_closed());
    for password in [None, Some("guessed")] {
        let refused = connect(password).await.unwrap_err();
        assert!(matches!(refused, SshError::Auth { .. }), "{refused}");
    }
}
