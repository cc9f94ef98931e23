//! What a hint is about. Each balancer names in its descriptor what decides there.

/// Something that a directive of the balancer decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HintTopic {
    /// What verifies the certificates of backends.
    Verify,
    /// What verifies their names.
    VerifyName,
    /// What refuses revoked certificates.
    Revocation,
    /// What sends a server name (SNI) to backends.
    ServerName,
    /// What shows a client certificate to backends.
    ClientCertificate,
    /// How large the body of a request may be.
    BodyLimit,
    /// How large the head of a request may be.
    HeadLimit,
    /// How long a request may take to arrive.
    SlowRequest,
    /// What refuses requests that are too many, with 429 most often.
    RateLimit,
    /// What refuses them with 503.
    Overload,
    /// When a backend counts as unavailable, and what happens then.
    NoBackend,
    /// How long a response may take.
    Timeout,
    /// How long the deadline of a call may be.
    Deadline,
    /// What a connection must begin with.
    UnusableRequest,
    /// Redirects to another URL.
    Redirect,
    /// Credentials that requests need.
    Credentials,
    /// Permission to send requests at all.
    Access,
    /// Which requests a route takes.
    Route,
    /// Which methods are allowed.
    Methods,
    /// What keeps a POST from being sent again.
    RetriesOfPost,
    /// What sends a request again.
    Repeats,
    /// What sends a stream that a backend refused unprocessed to another one.
    Unprocessed,
    /// What keeps a retry from the same backend.
    OtherHost,
    /// Copies of requests to other backends (mirroring).
    Mirror,
    /// How many connections clients may have.
    Connections,
    /// How long an idle connection of a client is kept.
    IdleTimeout,
    /// How long the balancer keeps idle connections to backends.
    KeptToBackends,
    /// What ends a request before its response.
    Loss,
    /// Responses that are kept and given again (caching).
    Cache,
    /// What changes escapes and slashes of a path.
    Escapes,
    /// What changes the query.
    Query,
    /// What becomes of Host.
    Host,
    /// What changes the method.
    Method,
    /// What changes the body of a request.
    Body,
    /// What sets and removes fields of requests.
    RequestFields,
    /// What sets and removes fields of responses.
    ResponseFields,
    /// Rewriting the content of responses.
    Responses,
    /// What says who the client is.
    ForwardedFor,
    /// What keeps a client with its backend.
    Sessions,
    /// What takes the client's address from a proxy in front.
    AddressBehindProxy,
    /// What replaces a part of the path.
    Rewrite,
    /// A hash that moves few clients when a backend leaves.
    Hashes,
    /// How a new configuration is taken on without loss.
    Reload,
    /// What passes an Upgrade on.
    Upgrade,
    /// What holds back events of a stream.
    Buffering,
    /// What limits how fast a response comes.
    Bandwidth,
    /// How long a silent stream is kept.
    StreamIdle,
    /// How old a stream may become.
    StreamAge,
    /// What becomes of streams at a reload.
    StreamReload,
    /// An algorithm that holds over lives of streams.
    StreamShares,
    /// What workers share, so that there is one rotation.
    Rotations,
    /// When a failing backend is left out, and when it is back.
    Recovery,
    /// Whether backends get requests though they are known to fail, where too few are well.
    Panic,
    /// What becomes of fields whose names have an underscore.
    Underscores,
    /// What speaks HTTP/2 to backends, which gRPC needs.
    BackendHttp2,
    /// What compresses responses.
    Compression,
    /// What passes on to backends that the client has left.
    Leaving,
    /// What uses all addresses that a name has.
    AllAddresses,
}
