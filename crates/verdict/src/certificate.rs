//! What can be wrong with a certificate that a backend serves on purpose.

use serde::{Deserialize, Serialize};

/// What is wrong with a certificate, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BadCertificate {
    /// Its time is over.
    Expired,
    /// Its time has not come.
    Future,
    /// It is another host's.
    OtherName,
    /// Its authority is not the fleet's.
    UnknownCa,
    /// It signs itself.
    SelfSigned,
    /// Its extended key usage is that of clients.
    ClientOnly,
    /// The authority's revocation list has it.
    Revoked,
}

impl BadCertificate {
    /// All of them.
    pub const ALL: [BadCertificate; 7] = [
        BadCertificate::Expired,
        BadCertificate::Future,
        BadCertificate::OtherName,
        BadCertificate::UnknownCa,
        BadCertificate::SelfSigned,
        BadCertificate::ClientOnly,
        BadCertificate::Revoked,
    ];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            BadCertificate::Expired => "expired",
            BadCertificate::Future => "future",
            BadCertificate::OtherName => "other-name",
            BadCertificate::UnknownCa => "unknown-ca",
            BadCertificate::SelfSigned => "self-signed",
            BadCertificate::ClientOnly => "client-only",
            BadCertificate::Revoked => "revoked",
        }
    }
}
