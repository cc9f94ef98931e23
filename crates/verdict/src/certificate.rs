//! What can be wrong with a certificate that a backend serves on purpose.

use serde::{Deserialize, Serialize};

http::named_enum! {
    /// What is wrong with a certificate, and nothing else.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(rename_all = "kebab-case")]
    pub enum BadCertificate {
        /// Its time is over.
        Expired => "expired",
        /// Its time has not come.
        Future => "future",
        /// It is another host's.
        OtherName => "other-name",
        /// Its authority is not the fleet's.
        UnknownCa => "unknown-ca",
        /// It is signed with its own key.
        SelfSigned => "self-signed",
        /// Its extended key usage is that of clients.
        ClientOnly => "client-only",
        /// The authority's revocation list has it.
        Revoked => "revoked",
    }

    /// As it is typed.
    fn name;
}

impl BadCertificate {
    /// Those that are tried at each backend, for a balancer may be configured for each alone: who refuses another host's certificate verifies
    /// at all, and who lacks the revocation list verifies otherwise. What else is wrong with a certificate, one TLS library sees or does not.
    pub const AT_EACH_BACKEND: [BadCertificate; 2] = [BadCertificate::OtherName, BadCertificate::Revoked];
}
