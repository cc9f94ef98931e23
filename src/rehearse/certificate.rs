//! A certificate that stands in for one that is missing or out of this user's reach, and the authority behind it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::balancer::CertificateStore;
use crate::io::authority::Authority;

/// ffdhe2048 (RFC 7919, appendix A.1).
pub(super) const DIFFIE_HELLMAN: &str = "\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
";

/// A certificate for some names, with its key.
pub(super) struct StandIn {
    certificate: String,
    key: String,
    /// The certificate, its key and its issuer, one after the other: every balancer takes from a file what it looks for.
    pub(super) pem: String,
    /// The issuer alone, whom the check trusts.
    pub(super) authority: String,
    /// Of certificates that the issuer has revoked.
    pub(super) revocations: String,
}

impl StandIn {
    pub(super) fn new(names: &[String]) -> Result<StandIn> {
        let make = || -> Result<StandIn, rcgen::Error> {
            let issuer = Authority::new("uuid-generator rehearsal")?;
            let made = issuer.certify(names)?;
            let authority = issuer.pem();
            let pem = format!("{}{}{authority}", made.chain, made.key);
            Ok(StandIn { certificate: made.chain, key: made.key, pem, authority, revocations: issuer.revocations()? })
        };
        make().context("failed to make a certificate")
    }

    /// What Traefik keeps of certificates that a resolver got for those names, as JSON. It asks for no others then.
    pub(super) fn storage(&self, resolver: &str, names: &[String]) -> String {
        let encoded = |text: &str| BASE64_STANDARD.encode(text);
        let (main, sans) = names.split_first().map_or((None, names), |(main, sans)| (Some(main), sans));
        let certificate = json!({
            "domain": { "main": main, "sans": sans },
            "certificate": encoded(&self.certificate),
            "key": encoded(&self.key),
            "Store": "default",
        });
        json!({ resolver: { "Account": null, "Certificates": [certificate] } }).to_string()
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
