//! The certificate a node shows, whether anybody trusts it or not: for people who have to decide that. Nothing is said to
//! the node but that we are there.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{ClientConfig, pki_types::ServerName};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::{spec::Node, tls::Pinned};

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The hosts it is for.
    pub names: Vec<String>,
    /// From when on it is good.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
    /// The SHA-256 of all of it, in hexadecimal digits: what a pin names.
    pub sha256: String,
}

impl Certificate {
    /// Whether nobody else vouches for it.
    #[must_use]
    pub fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }

    /// The one a node shows; none over plain HTTP, nor from what cannot be reached or does not speak TLS.
    pub async fn of(node: &Node, limit: Duration) -> Option<Self> {
        tokio::time::timeout(limit, shown(node)).await.ok()?
    }

    fn read(der: &[u8]) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        let at = |seconds: i64| {
            let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
            SystemTime::UNIX_EPOCH.checked_add(since)
        };
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match *bytes {
                [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
                bytes => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
            },
            _ => None,
        };
        let names = read.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect());
        Some(Self {
            subject: read.subject().to_string(),
            issuer: read.issuer().to_string(),
            names: names.unwrap_or_default(),
            not_before: at(read.validity().not_before.timestamp())?,
            not_after: at(read.validity().not_after.timestamp())?,
            sha256: Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

async fn shown(node: &Node) -> Option<Certificate> {
    let url = node.url();
    if url.scheme() != "https" {
        return None;
    }
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host.as_str(), url.port_or_known_default()?)).await.ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { pin: None, provider }))
        .with_no_client_auth();
    let name = ServerName::try_from(host).ok()?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    Certificate::read(stream.get_ref().1.peer_certificates()?.first()?)
}
