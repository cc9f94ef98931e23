//! A certificate that stands in for one that is missing or out of this user's reach, and the authority behind it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::balancer::CertificateStore;

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

/// As if the balancer had got it for that name before.
pub(super) fn store(store: CertificateStore, name: &str, stand_in: &StandIn) -> io::Result<()> {
    let folder = data().join(store.public).join(name);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{name}.crt")), &stand_in.pem)?;
    fs::write(folder.join(format!("{name}.key")), &stand_in.pem)?;
    fs::write(folder.join(format!("{name}.json")), (store.description)(name))
}

/// The certificate of its own authority, once it has made one.
pub(super) fn root(store: CertificateStore) -> PathBuf {
    data().join(store.root)
}

/// The balancer's data folder, instead of the user's own.
pub(super) fn data() -> PathBuf {
    Path::new(world::FOLDER).join("user/data")
}
