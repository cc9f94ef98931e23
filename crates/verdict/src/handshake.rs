//! Why a TLS handshake of a backend failed.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

http::named_enum! {
    /// Why there was no session, or none that was used. Alerts are the client's, in the words of RFC 8446 §6.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub enum HandshakeFailure {
        /// `close_notify`
        AlertCloseNotify => "alert close_notify",
        /// `handshake_failure`
        AlertHandshakeFailure => "alert handshake_failure",
        /// `bad_certificate`
        AlertBadCertificate => "alert bad_certificate",
        /// `unsupported_certificate`
        AlertUnsupportedCertificate => "alert unsupported_certificate",
        /// `certificate_revoked`
        AlertCertificateRevoked => "alert certificate_revoked",
        /// `certificate_expired`
        AlertCertificateExpired => "alert certificate_expired",
        /// `certificate_unknown`
        AlertCertificateUnknown => "alert certificate_unknown",
        /// `unknown_ca`
        AlertUnknownCa => "alert unknown_ca",
        /// `access_denied`
        AlertAccessDenied => "alert access_denied",
        /// `decrypt_error`
        AlertDecryptError => "alert decrypt_error",
        /// `protocol_version`
        AlertProtocolVersion => "alert protocol_version",
        /// `insufficient_security`
        AlertInsufficientSecurity => "alert insufficient_security",
        /// `internal_error`
        AlertInternalError => "alert internal_error",
        /// `user_canceled`
        AlertUserCanceled => "alert user_canceled",
        /// `unrecognized_name`
        AlertUnrecognizedName => "alert unrecognized_name",
        /// `no_application_protocol`
        AlertNoApplicationProtocol => "alert no_application_protocol",
        /// An alert that has no name here.
        AlertOther => "another alert",
        /// A client that must show a certificate shows none.
        NoClientCertificate => "the client shows no certificate",
        /// The time of the client's certificate is over.
        ClientCertificateExpired => "the client's certificate has expired",
        /// The time of the client's certificate has not come.
        ClientCertificateNotYetValid => "the client's certificate is not yet valid",
        /// No authority that the backend knows has signed the client's certificate.
        ClientCertificateUnknownIssuer => "the client's certificate has an unknown issuer",
        /// The signature of the client's certificate is wrong.
        ClientCertificateBadSignature => "the client's certificate has a wrong signature",
        /// The client's certificate is on a revocation list.
        ClientCertificateRevoked => "the client's certificate is revoked",
        /// The extended key usage of the client's certificate lacks clients.
        ClientCertificateWrongUsage => "the client's certificate is not for clients",
        /// What `openssl x509 -req` makes unless it is given a file of extensions.
        ClientCertificateVersion1 => "the client's certificate is one of X.509 version 1, without extensions",
        /// Another fault of the client's certificate.
        ClientCertificateNotAccepted => "the client's certificate is not accepted",
        /// Both sides support TLS, and nothing that the other supports.
        NothingInCommon => "no version, cipher suite or signature scheme in common",
        /// The protocols of ALPN differ.
        NoProtocolInCommon => "no application protocol in common (ALPN)",
        /// The first bytes are no TLS record.
        NotTls => "what came is not TLS",
        /// A message that was encrypted with other keys.
        Undecipherable => "a message cannot be decrypted",
        /// Any other violation of the protocol.
        ProtocolViolation => "the client breaks the protocol",
        /// More came than could be taken.
        Unread => "unread data",
        /// The backend gave up waiting.
        TookTooLong => "the handshake took too long",
        /// The connection ended first.
        ClosedDuring => "the client closes during the handshake",
        /// The handshake ended well, and nothing followed.
        ClosedAfter => "the client closes after the handshake, without a request",
        /// A reason that another version of this program gives.
        Unknown => "another reason",
    }

    /// As reports show it.
    fn name;
}

impl HandshakeFailure {
    /// Whether a client refuses the backend's certificate so: alerts of RFC 8446 §6.2, and what OpenSSL sends where a callback refuses the name.
    pub fn refuses_certificate(self) -> bool {
        use HandshakeFailure as Is;
        matches!(
            self,
            Is::AlertBadCertificate
                | Is::AlertUnsupportedCertificate
                | Is::AlertCertificateRevoked
                | Is::AlertCertificateExpired
                | Is::AlertCertificateUnknown
                | Is::AlertUnknownCa
                | Is::AlertAccessDenied
                | Is::AlertDecryptError
                | Is::AlertInternalError
                | Is::AlertHandshakeFailure
        )
    }

    /// Whether the backend refuses the client for the certificate that it shows, or for showing none.
    pub fn is_of_client_certificate(self) -> bool {
        use HandshakeFailure as Is;
        matches!(
            self,
            Is::NoClientCertificate
                | Is::ClientCertificateExpired
                | Is::ClientCertificateNotYetValid
                | Is::ClientCertificateUnknownIssuer
                | Is::ClientCertificateBadSignature
                | Is::ClientCertificateRevoked
                | Is::ClientCertificateWrongUsage
                | Is::ClientCertificateVersion1
                | Is::ClientCertificateNotAccepted
        )
    }
}

impl Serialize for HandshakeFailure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for HandshakeFailure {
    /// What is not known is no error: fleets of several versions are checked together.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HandshakeFailure, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = HandshakeFailure::ALL.into_iter().find(|failure| failure.name() == name);
        Ok(known.unwrap_or(HandshakeFailure::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_read_back_as_it_is_written_and_one_that_is_not_known_is_kept_apart() {
        for failure in HandshakeFailure::ALL {
            let text = serde_json::to_string(&failure).unwrap();
            assert_eq!(text, format!("\"{}\"", failure.name()));
            assert_eq!(serde_json::from_str::<HandshakeFailure>(&text).unwrap(), failure);
        }
        let later: HandshakeFailure = serde_json::from_str("\"alert ech_required\"").unwrap();
        assert_eq!(later, HandshakeFailure::Unknown);
    }
}
