//! An authority of our own, and the certificates that it signs: good ones, and ones with which exactly one thing is wrong.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, Error,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams,
    SerialNumber, date_time_ymd,
};

use crate::wire::{BadCertificate, Credentials};

/// The authority. Its key lives in memory alone, unless somebody keeps it.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The common name of an authority that signs certificates of a fleet.
pub(crate) const OF_A_FLEET: &str = "uuid-generator fleet";
/// The serial number of the certificate that the revocation list has.
const REVOKED: u64 = 666;
/// The years in which certificates are valid. One that is over was so in the years before, one to come in those after.
const VALID: std::ops::Range<i32> = 2024..2060;

impl Authority {
    /// Makes an authority with this common name.
    pub(crate) fn new(name: &str) -> Result<Authority, Error> {
        Authority::of_key(name, KeyPair::generate()?)
    }

    /// The authority that has this key, in PEM: whoever trusts a certificate of the same name and key trusts what it signs.
    pub(crate) fn with_key(name: &str, key: &str) -> Result<Authority, Error> {
        Authority::of_key(name, KeyPair::from_pem(key)?)
    }

    fn of_key(name: &str, key: KeyPair) -> Result<Authority, Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(Authority { issuer: CertifiedIssuer::self_signed(params, key)? })
    }

    /// Its key, in PEM.
    pub(crate) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Its certificate, which those trust who trust it.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate of a server with these names, and its key.
    pub(crate) fn certify(&self, names: &[String]) -> Result<Credentials, Error> {
        self.sign(of_server(names)?)
    }

    /// A certificate of a client with that name, and its key.
    pub(crate) fn certify_client(&self, name: &str) -> Result<Credentials, Error> {
        let mut params = of_server(&[])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// A certificate of a server with which that is wrong and nothing else.
    pub(crate) fn certify_badly(&self, names: &[String], bad: BadCertificate) -> Result<Credentials, Error> {
        let mut params = of_server(names)?;
        match bad {
            BadCertificate::Expired => {
                params.not_before = date_time_ymd(VALID.start - 4, 1, 1);
                params.not_after = date_time_ymd(VALID.start - 1, 1, 1);
            }
            BadCertificate::Future => {
                params.not_before = date_time_ymd(VALID.end - 1, 1, 1);
            }
            BadCertificate::OtherName => params = of_server(&["elsewhere.invalid".to_owned()])?,
            BadCertificate::UnknownCa => return Authority::new("an authority that nobody knows")?.sign(params),
            BadCertificate::SelfSigned => {
                let key = KeyPair::generate()?;
                return Ok(credentials(params.self_signed(&key)?.pem(), &key));
            }
            BadCertificate::ClientOnly => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            BadCertificate::Revoked => params.serial_number = Some(SerialNumber::from(REVOKED)),
        }
        self.sign(params)
    }

    /// The authority's revocation list, in PEM.
    pub(crate) fn revocations(&self) -> Result<String, Error> {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(REVOKED),
            revocation_time: date_time_ymd(VALID.start, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(VALID.start, 1, 1),
            next_update: date_time_ymd(VALID.end, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer)?.pem()
    }

    fn sign(&self, params: CertificateParams) -> Result<Credentials, Error> {
        let key = KeyPair::generate()?;
        Ok(credentials(params.signed_by(&key, &self.issuer)?.pem(), &key))
    }
}

fn of_server(names: &[String]) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    if let Some(name) = names.first() {
        params.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    (params.not_before, params.not_after) = (date_time_ymd(VALID.start, 1, 1), date_time_ymd(VALID.end, 1, 1));
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn credentials(chain: String, key: &KeyPair) -> Credentials {
    Credentials { chain, key: key.serialize_pem() }
}
