//! The HTTP client, and which certificates it takes for the portal's.

use std::{error::Error as StdError, fs, io, path::PathBuf, sync::Arc, time::Duration};

use reqwest::{Certificate, Client};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};

use super::spec::Trust;

/// What is to be trusted cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error("cannot read the CA file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no certificate in it.
    #[error("{from} holds no certificate in PEM form")]
    Empty {
        /// The file, or what else it was.
        from: String,
    },
    /// It is none that TLS can use.
    #[error("the certificates of {from} cannot be used")]
    Bad {
        /// The file, or what else it was.
        from: String,
        /// What is wrong.
        #[source]
        source: reqwest::Error,
    },
}

/// The client. Redirects are answers: a portal sends those whose session is over to its page.
pub(crate) fn client(trust: &Trust, connect: Duration) -> Result<Client, TrustError> {
    // The process may have chosen another one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("polder/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true);
    let (from, builder) = match trust {
        Trust::System => ("this host".to_owned(), builder),
        Trust::Insecure => ("nobody".to_owned(), builder.tls_danger_accept_invalid_certs(true)),
        Trust::CaFile(path) => {
            let pem = fs::read(path).map_err(|source| TrustError::File { path: path.clone(), source })?;
            let from = path.display().to_string();
            let certs = certificates(&pem, &from)?;
            (from, builder.tls_certs_only(certs))
        }
        Trust::CaPem(pem) => {
            let from = "the given text".to_owned();
            let certs = certificates(pem, &from)?;
            (from, builder.tls_certs_only(certs))
        }
        Trust::Pin(pin) => {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier = Arc::new(Pinned { pin: Some(*pin), provider: Arc::clone(&provider) });
            let config = ClientConfig::builder()
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth();
            ("the pin".to_owned(), builder.tls_backend_preconfigured(config))
        }
    };
    builder.build().map_err(|source| TrustError::Bad { from, source })
}

fn certificates(pem: &[u8], from: &str) -> Result<Vec<Certificate>, TrustError> {
    let certs = Certificate::from_pem_bundle(pem)
        .map_err(|source| TrustError::Bad { from: from.to_owned(), source })?;
    if certs.is_empty() { Err(TrustError::Empty { from: from.to_owned() }) } else { Ok(certs) }
}

/// Why a node's certificate is not trusted, when that is what an error comes from.
pub(crate) fn distrust(error: &reqwest::Error) -> Option<String> {
    let mut source: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = source {
        if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            return Some(match why {
                CertificateError::UnknownIssuer => "nobody we trust has signed it".to_owned(),
                CertificateError::ApplicationVerificationFailure => "it is not the pinned one".to_owned(),
                other => other.to_string(),
            });
        }
        // An error of the system hides the one it carries, and tells only what comes before that.
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        source = carried.map(|carried| carried as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

/// Takes one certificate and no other; without a pin any, for who only looks at it.
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) pin: Option<[u8; 32]>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let digest: [u8; 32] = Sha256::digest(shown.as_ref()).into();
        if self.pin.is_none_or(|pin| digest == pin) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
