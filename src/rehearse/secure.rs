//! TLS to backends: an authority of ours, which the balancer trusts where its configuration names a file of authorities, and certificates
//! for whatever name it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, fs};

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::io::authority::{Authority, OF_A_FLEET};
use crate::io::tls::HTTP2;

/// The authority, with what it was asked for.
#[derive(Clone)]
pub(super) struct StandInTls(Arc<Issuer>);

struct Issuer {
    authority: Authority,
    /// Host names that the configuration has.
    names: Vec<String>,
    /// Names that the balancer sent (SNI).
    asked: Mutex<BTreeSet<String>>,
    made: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
}

impl StandInTls {
    /// For servers of these names, as far as they can stand in a certificate.
    pub(super) fn new(names: Vec<String>) -> Result<StandInTls> {
        let authority = Authority::new(OF_A_FLEET).context("failed to make an authority")?;
        let names: BTreeSet<String> = names.into_iter().filter(|name| is_plain(name)).collect();
        let names = names.into_iter().collect();
        Ok(StandInTls(Arc::new(Issuer { authority, names, asked: Mutex::default(), made: Mutex::default() })))
    }

    /// The authority's certificate, in PEM.
    pub(super) fn pem(&self) -> String {
        self.0.authority.pem()
    }

    /// Of a server that has a certificate for each name. HTTP/2 is spoken with whoever offers nothing else, as a client whose TLS passes through.
    pub(super) fn config(&self) -> Result<Arc<ServerConfig>> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().context("failed to set up TLS")?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.0.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec(), HTTP2.to_vec()];
        Ok(Arc::new(config))
    }

    /// What a fleet needs to have certificates of this authority, good ones for all names that were asked for, and bad ones.
    pub(super) fn options(&self) -> Result<Vec<String>> {
        let asked = self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let names: BTreeSet<String> = self.0.names.iter().cloned().chain(asked).collect();
        let names: Vec<String> = names.into_iter().collect();
        let [key, certificate] = ["backends.key", "backends.pem"].map(|name| Path::new(world::FOLDER).join(name));
        fs::write(&key, self.0.authority.key()).context("failed to keep the key of an authority")?;
        Ok(vec![
            "--tls".to_owned(),
            format!("--authority-key={}", key.display()),
            format!("--ca-out={}", certificate.display()),
            format!("--tls-names={}", names.join(",")),
        ])
    }
}

impl Issuer {
    fn certify(&self, name: &str) -> Result<Arc<CertifiedKey>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.get(name) {
            return Ok(known.clone());
        }
        let asked = Some(name.to_owned()).filter(|name| is_plain(name) && !self.names.contains(name));
        let names: Vec<String> = self.names.iter().cloned().chain(asked).collect();
        let credentials = self.authority.certify(&names)?;
        let chain = CertificateDer::pem_slice_iter(credentials.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = ring::sign::any_supported_type(&PrivateKeyDer::from_pem_slice(credentials.key.as_bytes())?)?;
        let certified = Arc::new(CertifiedKey::new(chain, key));
        made.insert(name.to_owned(), certified.clone());
        Ok(certified)
    }
}

impl ResolvesServerCert for Issuer {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default();
        if is_plain(name) {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        }
        self.certify(name).ok()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("names", &self.names).finish_non_exhaustive()
    }
}

/// What may be the name of a server in a certificate: also an address.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && (name.parse::<IpAddr>().is_ok() || name.len() < 250 && name.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_certificate_for_each_name_and_none_for_what_is_no_name() {
        let tls = StandInTls::new(vec!["shop".to_owned(), "$host".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        assert_eq!(tls.0.names, ["10.0.0.1", "shop"]);
        let [one, same, other] = ["app.internal", "app.internal", ""].map(|name| tls.0.certify(name).unwrap());
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        assert!(tls.config().is_ok() && tls.pem().contains("BEGIN CERTIFICATE"));
    }
}
