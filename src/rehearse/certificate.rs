//! A certificate that stands in for one that is missing or out of this user's reach, and the authority behind it.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
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

/// The file of a pair that no balancer can use, and why. Both may be one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct UnusableFile {
    pub(super) file: PathBuf,
    pub(super) why: String,
}

/// None where nothing is found: a key with a password, or of a kind that is not known here, may be right.
pub(super) fn unusable(certificate: &Path, key: &Path) -> Option<UnusableFile> {
    // Such as `/etc/ssl/$ssl_server_name.pem`, which is found when a client comes.
    if [certificate, key].iter().any(|file| file.to_string_lossy().contains(['$', '{'])) {
        return None;
    }
    let because = |file: &Path, why: String| Some(UnusableFile { file: file.to_owned(), why });
    let (chain, secret) = match (fs::read(certificate), fs::read(key)) {
        (Err(why), _) => return because(certificate, why.to_string()),
        (_, Err(why)) => return because(key, why.to_string()),
        (Ok(chain), Ok(secret)) => (chain, secret),
    };
    let chain: Vec<CertificateDer> = CertificateDer::pem_slice_iter(&chain).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return because(certificate, "no certificate in PEM is in it".to_owned());
    }
    if String::from_utf8_lossy(&secret).contains("ENCRYPTED") {
        return None;
    }
    let Ok(secret) = PrivateKeyDer::from_pem_slice(&secret) else {
        return because(key, "no private key in PEM is in it".to_owned());
    };
    let secret = ring::sign::any_supported_type(&secret).ok()?;
    match CertifiedKey::new(chain, secret).keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            because(key, format!("this key is not that of the certificate in {}", certificate.display()))
        }
        Ok(()) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_certificate_from_being_used_is_named_with_its_file() {
        let folder = std::env::temp_dir().join(format!("unusable-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [one, other] = [0, 1].map(|_| StandIn::new(&["shop.example".to_owned()]).unwrap());
        let file = |name: &str, content: &str| {
            let path = folder.join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let (certificate, key) = (file("c.pem", &one.certificate), file("k.pem", &one.key));
        let (strange, both) = (file("strange.pem", &other.key), file("both.pem", &one.pem));
        let (empty, locked) = (file("empty.pem", ""), file("locked.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        let missing = folder.join("missing.pem");
        let found = |certificate: &Path, key: &Path| {
            unusable(certificate, key).map(|it| (it.file.file_name().unwrap().to_str().unwrap().to_owned(), it.why))
        };
        assert_eq!(found(&certificate, &key), None);
        assert_eq!(found(&both, &both), None);
        assert_eq!(found(&certificate, &locked), None);
        for (pair, file, why) in [
            ((&certificate, &missing), "missing.pem", "No such file"),
            ((&missing, &key), "missing.pem", "No such file"),
            ((&empty, &key), "empty.pem", "no certificate in PEM"),
            ((&certificate, &empty), "empty.pem", "no private key in PEM"),
            ((&certificate, &strange), "strange.pem", "not that of the certificate in"),
        ] {
            let (own, reason) = found(pair.0, pair.1).unwrap();
            assert!(own == file && reason.contains(why), "{own}: {reason}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
