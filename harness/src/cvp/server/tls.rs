//! The portal's certificate, and the authority of its own that vouches for it.

use std::{net::IpAddr, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::error::PortalError;

/// What a portal shows, and what those must trust who want to see that it is the one.
#[derive(Debug)]
pub(super) struct Tls {
    /// The authority's certificate, as PEM.
    pub(super) ca: String,
    pub(super) config: Arc<ServerConfig>,
}

impl Tls {
    /// A new authority, and a certificate for `localhost`, the loopback and `address`.
    pub(super) fn new(address: IpAddr) -> Result<Self, PortalError> {
        Self::make(address).map_err(|error| PortalError::Certificate(error.to_string()))
    }

    fn make(address: IpAddr) -> Result<Self, Box<dyn std::error::Error>> {
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "polder portal authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
        let mut own = CertificateParams::new(vec!["localhost".to_owned()])?;
        own.distinguished_name.push(DnType::CommonName, "polder portal");
        own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        own.use_authority_key_identifier_extension = true;
        let mut addresses: Vec<IpAddr> = vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()];
        addresses.extend(
            Some(address).filter(|address| !address.is_unspecified() && !addresses.contains(address)),
        );
        own.subject_alt_names.extend(addresses.into_iter().map(SanType::IpAddress));
        let key = KeyPair::generate()?;
        let certificate = own.signed_by(&key, &ca)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { ca: ca.pem(), config: Arc::new(config) })
    }
}
