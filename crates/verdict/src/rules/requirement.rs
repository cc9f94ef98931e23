//! What a user requires by name, apart from shares, algorithm and backups: `--expect intact`, `--expect back:5s`. Only its meaning and
//! its spelling; each rule says whether it holds.

use std::fmt;
use std::time::Duration;

use crate::BadCertificate;
use crate::facts::unit::BalancingUnit;

/// One expectation. What nobody could judge is inconclusive with its reason, never dropped.
#[derive(Clone, PartialEq, Debug)]
pub enum Requirement {
    /// Requests arrive, and responses come back, as they were sent.
    Intact,
    /// The path arrives as it was sent, whatever the balancer does to others.
    PathPreserved,
    /// `Host` arrives as it was sent.
    HostPreserved,
    /// The backend can read the client's true address: from X-Forwarded-For or from the PROXY protocol.
    ClientAddress,
    /// This end-to-end header arrives as it was sent.
    HeaderPreserved(String),
    /// This share of the requests, 0 to 1, is executed a second time by a mirror.
    Mirrored(f64),
    /// All statuses that clients see lie in this range, both ends included.
    Status {
        /// The lowest, such as 200.
        low: u16,
        /// The highest, such as 299.
        high: u16,
    },
    /// A backend that is ready again gets requests within that time.
    Back(Duration),
    /// A failing backend is out of rotation after at most that many failed requests.
    Ejected(u32),
    /// No client sees an error later than that after an outage began.
    ErrorsEnd(Duration),
    /// The share of a backend that came back grows over that time.
    SlowStart(Duration),
    /// Nine of ten events of a stream come within that time after they were written.
    Unbuffered(Duration),
    /// The balancer ends no stream, with a close frame neither.
    Uncut,
    /// Streams that are alive are spread evenly over the backends.
    AliveEven,
    /// An expectation of TLS between balancer and backends.
    Tls(TlsRequirement),
    /// Backends are selected for each of these.
    Per(RequiredUnit),
}

/// For what backends are to be selected, as it is typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequiredUnit {
    /// A selection for each request.
    Request,
    /// Each call of gRPC, which is a request.
    Call,
    /// A selection for each connection.
    Connection,
}

impl RequiredUnit {
    /// Every value, in the order of this enum.
    pub const ALL: [RequiredUnit; 3] = [RequiredUnit::Request, RequiredUnit::Call, RequiredUnit::Connection];

    /// The unit for which the balancer has to select.
    pub fn unit(self) -> BalancingUnit {
        match self {
            RequiredUnit::Request | RequiredUnit::Call => BalancingUnit::Request,
            RequiredUnit::Connection => BalancingUnit::Connection,
        }
    }
}

http::named_enum! {
    /// What is required of TLS between balancer and backends.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum TlsRequirement {
        /// The balancer verifies the certificates of backends.
        Verified => "tls:verified",
        /// It has a revocation list.
        Revocation => "tls:revocation",
        /// It names the server (SNI).
        ServerName => "tls:sni",
        /// It shows a certificate of its own.
        ClientCertificate => "tls:client-certificate",
    }

    /// As it is typed.
    fn name;
}

impl TlsRequirement {
    /// The one by which that certificate is to be refused.
    pub fn of(bad: BadCertificate) -> TlsRequirement {
        match bad {
            BadCertificate::Revoked => TlsRequirement::Revocation,
            _ => TlsRequirement::Verified,
        }
    }

    /// Whether bad certificates have to be tried to know.
    pub fn is_about_certificates(self) -> bool {
        match self {
            TlsRequirement::Verified | TlsRequirement::Revocation => true,
            TlsRequirement::ServerName | TlsRequirement::ClientCertificate => false,
        }
    }
}

impl fmt::Display for TlsRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Requirement {
    /// Whether it is about streams alone.
    pub fn is_of_streams(&self) -> bool {
        matches!(self, Requirement::Unbuffered(_) | Requirement::Uncut | Requirement::AliveEven)
    }

    /// What it requires of TLS, if it does.
    pub fn tls(&self) -> Option<TlsRequirement> {
        if let Requirement::Tls(required) = self { Some(*required) } else { None }
    }
}

/// As it is typed.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Requirement::Intact => f.write_str("intact"),
            Requirement::PathPreserved => f.write_str("path:preserved"),
            Requirement::HostPreserved => f.write_str("host:preserved"),
            Requirement::ClientAddress => f.write_str("client-address"),
            Requirement::HeaderPreserved(name) => write!(f, "header:{name}:preserved"),
            Requirement::Mirrored(share) => write!(f, "mirrored:{}%", (share * 1e6).round() / 1e4),
            Requirement::Status { low, high } if low % 100 == 0 && *high == low + 99 => {
                write!(f, "status:{}xx", low / 100)
            }
            Requirement::Status { low, high } if low == high => write!(f, "status:{low}"),
            Requirement::Status { low, high } => write!(f, "status:{low}-{high}"),
            Requirement::Back(time) => write!(f, "back:{time:?}"),
            Requirement::Ejected(errors) => write!(f, "ejected:{errors}"),
            Requirement::ErrorsEnd(time) => write!(f, "errors-end:{time:?}"),
            Requirement::SlowStart(time) => write!(f, "slow-start:{time:?}"),
            Requirement::Unbuffered(time) => write!(f, "unbuffered:{time:?}"),
            Requirement::Uncut => f.write_str("uncut"),
            Requirement::AliveEven => f.write_str("alive:even"),
            Requirement::Tls(required) => required.fmt(f),
            Requirement::Per(RequiredUnit::Request) => f.write_str("per:request"),
            Requirement::Per(RequiredUnit::Call) => f.write_str("per:call"),
            Requirement::Per(RequiredUnit::Connection) => f.write_str("per:connection"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;
    use crate::ledger::BackendRecords;
    use crate::rules::trial::RuleTrial;

    /// One of each kind, and the rule that judges it.
    fn all() -> Vec<(Requirement, &'static str)> {
        let second = Duration::from_secs(1);
        let tls = |required: &TlsRequirement| {
            (Requirement::Tls(*required), if required.is_about_certificates() { "tls-verified" } else { "tls" })
        };
        let mut all = vec![
            (Requirement::Intact, "intact"),
            (Requirement::PathPreserved, "intact"),
            (Requirement::HostPreserved, "intact"),
            (Requirement::ClientAddress, "client-address"),
            (Requirement::HeaderPreserved("X-Key".to_owned()), "intact"),
            (Requirement::Mirrored(0.2), "mirrored"),
            (Requirement::Status { low: 200, high: 299 }, "statuses"),
            (Requirement::Back(second), "recovery"),
            (Requirement::Ejected(5), "recovery"),
            (Requirement::ErrorsEnd(second), "recovery"),
            (Requirement::SlowStart(second), "recovery"),
        ];
        all.extend(TlsRequirement::ALL.iter().map(tls));
        all.extend(RequiredUnit::ALL.map(|unit| (Requirement::Per(unit), "unit")));
        all
    }

    #[test]
    fn what_is_required_is_judged_with_records_and_without() {
        for records in [BackendRecords::Kept, BackendRecords::None] {
            for (required, rule) in all() {
                let mut trial = RuleTrial::new();
                trial.fleet.records = records;
                (0..30).for_each(|turn| {
                    trial.delivered(turn % 3, 200);
                });
                trial.expectations.required = vec![required.clone()];
                let level = trial.level(rule).or_else(|| trial.level("intact"));
                assert!(level.is_some_and(|level| level != Level::Note), "{required} {records:?}: {level:?}");
            }
        }
    }
}
