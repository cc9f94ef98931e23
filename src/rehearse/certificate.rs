//! A certificate that stands in for one that is missing or out of this user's reach, and the authority behind it.

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A certificate for some names, with its key.
pub(super) struct StandIn {
    /// The certificate, its key and its issuer, one after the other: every balancer takes from a file what it looks for.
    pub(super) pem: String,
    /// The issuer alone, whom the check trusts.
    pub(super) authority: String,
}

impl StandIn {
    pub(super) fn new(names: &[String]) -> Result<StandIn> {
        let make = || -> Result<StandIn, rcgen::Error> {
            let mut params = CertificateParams::new(Vec::new())?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, "uuid-generator rehearsal");
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
            let key = KeyPair::generate()?;
            let certificate = CertificateParams::new(names.to_vec())?.signed_by(&key, &issuer)?;
            let authority = issuer.pem();
            Ok(StandIn { pem: format!("{}{}{authority}", certificate.pem(), key.serialize_pem()), authority })
        };
        make().context("failed to make a certificate")
    }
}
