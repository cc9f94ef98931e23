//! The rules of the response: what comes back is what the backend wrote, to the request that it was written for.

use crate::facts::Description;

pub(crate) const STALE: Description = Description {
    requires: "no request gets a response that was given before",
    sound: "by construction: each response has an id of its own, minted when it is written; backends send Cache-Control: no-store",
    source: Some("RFC 9111 §5.2.2.5"),
};

pub(crate) const SWAPPED: Description = Description {
    requires: "every response comes back to the request that it was written for",
    sound: "by construction: the response names the request that the backend received",
    source: Some("RFC 9112 §9.3.2"),
};

pub(crate) const TRUNCATED: Description = Description {
    requires: "responses come back whole",
    sound: "by construction: framing says where a response ends; a backend that cut its own response off is not held against the balancer",
    source: Some("RFC 9112 §8"),
};

pub(crate) const ALTERED: Description = Description {
    requires: "responses come back as the backend wrote them",
    sound: "by construction: the id in the body, the id in the head and the status are compared with the record",
    source: Some("RFC 9110 §7.7"),
};
