//! Whose certificates are taken.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

/// Those for whom an authority vouches, and servers that are known themselves: a certificate that signs itself is often marked
/// as an authority's (`openssl req -x509` does), and as such no server's.
#[derive(Debug)]
pub(super) struct TrustedServers {
    pub(super) verifier: Arc<WebPkiServerVerifier>,
    pub(super) servers: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for TrustedServers {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.verifier.verify_server_cert(server, between, name, ocsp, now) {
            // Its time has been looked at before.
            Err(Error::InvalidCertificate(CertificateError::Other(why)))
                if why.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity) =>
            {
                if !self.servers.contains(server) {
                    return Err(if signs_itself(server) {
                        CertificateError::Other(OtherError(Arc::new(SelfSigned)))
                    } else {
                        CertificateError::UnknownIssuer
                    }
                    .into());
                }
                verify_server_name(&ParsedCertificate::try_from(server)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) if signs_itself(server) => {
                Err(CertificateError::Other(OtherError(Arc::new(SelfSigned))).into())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, server, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        server: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, server, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Nobody vouches for a certificate but itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("self-signed certificate")]
pub(super) struct SelfSigned;

fn signs_itself(server: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(server).is_ok_and(|parsed| parsed.issuer() == parsed.subject())
}

#[derive(Debug)]
pub(super) struct Anyone(pub(super) Vec<SignatureScheme>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
