//! Certificates for tests, good ones and bad ones, made here.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};

/// A certificate with those after it, and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The server's own first.
    pub certificates: String,
    pub key: String,
}

/// What is asked of a certificate for that name.
pub fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, format!("the server {name}"));
    params
}

/// One that signs itself.
pub fn signed_by_itself(params: CertificateParams) -> Certified {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Certified { certificates: certificate.pem(), key: key.serialize_pem() }
}

/// For localhost, signed by itself.
pub fn localhost() -> Certified {
    signed_by_itself(params("localhost"))
}

/// As `openssl req -x509` does.
pub fn marked_as_an_authority(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A certificate authority of the tests.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Authority {
        // A name of its own: else its certificates would be taken for those of another one, with a signature that is wrong.
        let params = marked_as_an_authority(params(&format!("authority-{}", uuid::Uuid::new_v4().simple())));
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn sign(&self, params: &CertificateParams) -> Certified {
        let key = KeyPair::generate().unwrap();
        let issuer: &Issuer<'_, KeyPair> = &self.0;
        let certificate = params.signed_by(&key, issuer).unwrap();
        Certified { certificates: certificate.pem(), key: key.serialize_pem() }
    }
}
