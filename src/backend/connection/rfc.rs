//! What RFC 9112, and RFC 9110 as far as it concerns one connection, require of a server, a row a requirement.

use super::tests::Conversation;

/// Section, requirement, what the client sends, the statuses that it gets, and what else holds of the output.
type Row = (&'static str, &'static str, &'static str, &'static [u16], fn(&str) -> bool);

fn closes(output: &str) -> bool {
    output.contains("\r\nConnection: close\r\n")
}

fn stays(output: &str) -> bool {
    !closes(output)
}

fn any(_: &str) -> bool {
    true
}

/// `\n` stands for CRLF, `¶` for a bare line feed, `␍` for a bare carriage return, `␀` for NUL.
const ROWS: &[Row] = &[
    // RFC 9112: messages
    ("9112 2.2", "an empty line before the request line is ignored", "\n\nGET / HTTP/1.1\nHost: h\n\n", &[200], stays),
    ("9112 2.2", "a bare LF may end a line of the head", "GET / HTTP/1.1¶Host: h¶¶", &[200], stays),
    ("9112 2.2", "a bare CR is refused", "GET / HTTP/1.1\nHost: h\nA: b␍c\n\n", &[400], closes),
    ("9112 2.2", "space before the first field is refused", "GET / HTTP/1.1\n Host: h\n\n", &[400], closes),
    ("9112 2.2", "what is no HTTP is refused, and the connection closed", "hello\n\n", &[400], closes),
    ("9112 2.3", "HTTP/1.2 is processed as HTTP/1.1", "GET / HTTP/1.2\nHost: h\n\n", &[200], stays),
    ("9112 2.3", "the response has the server's version", "GET / HTTP/1.0\n\n", &[200], |it| {
        it.starts_with("HTTP/1.1 ")
    }),
    ("9110 15.6.6", "another major version is 505", "GET / HTTP/2.0\nHost: h\n\n", &[505], closes),
    ("9112 2.3", "a version in lower case is none", "GET / http/1.1\nHost: h\n\n", &[505, 400], closes),
    // Targets and Host
    ("9112 3", "a request line without a version is refused", "GET /\nHost: h\n\n", &[400], closes),
    ("9112 3", "a space in a target is refused", "GET /a b HTTP/1.1\nHost: h\n\n", &[505, 400], closes),
    ("9110 9.1", "methods are case-sensitive; others are served", "brew / HTTP/1.1\nHost: h\n\n", &[200], stays),
    ("9112 3.2", "HTTP/1.1 without Host", "GET / HTTP/1.1\n\n", &[400], closes),
    ("9112 3.2", "HTTP/1.0 without Host is served", "GET / HTTP/1.0\n\n", &[200], closes),
    ("9112 3.2", "two Hosts", "GET / HTTP/1.1\nHost: a\nHost: b\n\n", &[400], closes),
    ("9112 3.2", "two equal Hosts", "GET / HTTP/1.1\nHost: a\nHost: a\n\n", &[400], closes),
    ("9112 3.2", "an invalid Host", "GET / HTTP/1.1\nHost: a b/c?<>\n\n", &[400], closes),
    ("9112 3.2", "an invalid Host in HTTP/1.0", "GET / HTTP/1.0\nHost: a/b\n\n", &[400], closes),
    ("9112 3.2", "a user in Host", "GET / HTTP/1.1\nHost: u@a\n\n", &[400], closes),
    ("9112 3.2", "an empty Host is one", "GET / HTTP/1.1\nHost:\n\n", &[200], stays),
    ("9112 3.2", "a fragment is no part of a target", "GET /#a HTTP/1.1\nHost: h\n\n", &[400], closes),
    ("9112 3.2.1", "a target begins with a slash", "GET a HTTP/1.1\nHost: h\n\n", &[400], closes),
    ("9112 3.2.2", "the absolute form is accepted", "GET http://a/ HTTP/1.1\nHost: a\n\n", &[200], stays),
    ("9112 3.2.2", "its host goes before the field", "GET http://a/ HTTP/1.1\nHost: b\n\n", &[200], |it| {
        it.contains("<title>a<")
    }),
    ("9112 3.2.3", "the authority form is for CONNECT alone", "GET a:80 HTTP/1.1\nHost: a\n\n", &[400], closes),
    ("9112 3.2.3", "CONNECT has the authority form", "CONNECT / HTTP/1.1\nHost: a\n\n", &[400], closes),
    ("9110 9.3.6", "no tunnel is opened", "CONNECT a:80 HTTP/1.1\nHost: a:80\n\n", &[405], |it| {
        it.contains("\r\nAllow: ")
    }),
    ("9112 3.2.4", "the asterisk form is for OPTIONS", "OPTIONS * HTTP/1.1\nHost: a\n\n", &[200], stays),
    ("9112 3.2.4", "and for OPTIONS alone", "GET * HTTP/1.1\nHost: a\n\n", &[400], closes),
    ("9110 9.3.8", "a request is not given back", "TRACE / HTTP/1.1\nHost: a\n\n", &[405], |it| {
        it.contains("\r\nAllow: ")
    }),
    // Fields
    ("9112 5.1", "no space before a colon", "GET / HTTP/1.1\nHost : h\n\n", &[400], closes),
    ("9112 5", "a field has a colon", "GET / HTTP/1.1\nHost: h\nA\n\n", &[400], closes),
    ("9112 5", "a field has a name", "GET / HTTP/1.1\nHost: h\n: a\n\n", &[400], closes),
    ("9112 5.2", "a folded line is refused", "GET / HTTP/1.1\nHost: h\nA: b\n c\n\n", &[400], closes),
    ("9110 5.5", "NUL in a value is refused", "GET / HTTP/1.1\nHost: h\nA: ␀\n\n", &[400], closes),
    ("9110 5.5", "bytes beyond ASCII in a value are data", "GET / HTTP/1.1\nHost: h\nA: ä\n\n", &[200], stays),
    (
        "9110 5.1",
        "names are compared without regard to case",
        "GET / HTTP/1.1\nhOsT: h\ncOnNeCtIoN: ClOsE\n\n",
        &[200],
        closes,
    ),
    // Bodies
    (
        "9112 6",
        "a body comes with any method",
        "GET / HTTP/1.1\nHost: h\nContent-Length: 2\n\nabGET / HTTP/1.1\nHost: h\n\n",
        &[200, 200],
        stays,
    ),
    (
        "9112 6.1",
        "chunks are read",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n2\naa\n0\n\nGET / HTTP/1.1\nHost: h\n\n",
        &[200, 200],
        stays,
    ),
    (
        "9112 7.1",
        "codings are compared without regard to case",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: CHUNKED\n\n0\n\n",
        &[200],
        stays,
    ),
    (
        "9112 6.1",
        "an unknown coding before chunked is 501",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: x, chunked\n\n0\n\n",
        &[501],
        closes,
    ),
    (
        "9112 6.1",
        "chunked twice",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked, chunked\n\n0\n\n",
        &[400],
        closes,
    ),
    (
        "9112 6.1",
        "both framings",
        "POST / HTTP/1.1\nHost: h\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n",
        &[400],
        closes,
    ),
    ("9112 6.1", "chunks in HTTP/1.0", "POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n0\n\n", &[400], closes),
    (
        "9112 6.3",
        "chunked is not the last coding",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked, gzip\n\n0\n\n",
        &[400],
        closes,
    ),
    (
        "9112 6.3",
        "chunked is none of the codings",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: gzip\n\n",
        &[400],
        closes,
    ),
    ("9112 6.3", "a length with a sign", "POST / HTTP/1.1\nHost: h\nContent-Length: +5\n\nabcde", &[400], closes),
    ("9112 6.3", "a negative length", "POST / HTTP/1.1\nHost: h\nContent-Length: -5\n\nabcde", &[400], closes),
    (
        "9112 6.3",
        "a length beyond 64 bits",
        "POST / HTTP/1.1\nHost: h\nContent-Length: 18446744073709551616\n\n",
        &[400],
        closes,
    ),
    (
        "9112 6.3",
        "two lengths",
        "POST / HTTP/1.1\nHost: h\nContent-Length: 5\nContent-Length: 6\n\nabcde",
        &[400],
        closes,
    ),
    (
        "9112 6.3",
        "a list of equal lengths is one",
        "POST / HTTP/1.1\nHost: h\nContent-Length: 2, 2\n\nab",
        &[200],
        stays,
    ),
    (
        "9112 7.1",
        "a size in upper case",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\nA\n0123456789\n0\n\n",
        &[200],
        stays,
    ),
    (
        "9112 7.1.1",
        "unknown extensions are ignored",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n2;x=\"y\"\naa\n0\n\n",
        &[200],
        stays,
    ),
    (
        "9112 7.1",
        "a word behind a size",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n2 erf\naa\n0 rr\n\n",
        &[400],
        closes,
    ),
    (
        "9112 7.1",
        "a size that is none",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n0x2\naa\n0\n\n",
        &[400],
        closes,
    ),
    (
        "9112 7.1",
        "a size beyond 64 bits",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n11111111111111111\n",
        &[400],
        closes,
    ),
    (
        "9112 7.1",
        "data that goes on",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n2\naaa\n0\n\n",
        &[400],
        closes,
    ),
    (
        "9112 7.1",
        "a bare LF behind a size",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n2¶aa\n0\n\n",
        &[400],
        closes,
    ),
    (
        "9112 7.1.2",
        "trailers are read",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n0\nT: t\n\nGET / HTTP/1.1\nHost: h\n\n",
        &[200, 200],
        stays,
    ),
    (
        "9112 7.1.2",
        "a bare LF in a trailer",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n0\nX¶GET /second HTTP/1.1\nHost: h\n\n",
        &[400],
        closes,
    ),
    (
        "9110 5.5",
        "NUL in a trailer",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n0\nX: ␀\n\n",
        &[400],
        closes,
    ),
    (
        "9112 5.1",
        "a trailer that is no field",
        "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n0\nX y\n\n",
        &[400],
        closes,
    ),
    // Connections
    ("9112 9.3", "HTTP/1.1 persists", "GET / HTTP/1.1\nHost: h\n\nGET / HTTP/1.1\nHost: h\n\n", &[200, 200], stays),
    ("9112 9.3", "HTTP/1.0 does not", "GET / HTTP/1.0\n\nGET / HTTP/1.0\n\n", &[200], closes),
    ("9112 9.3", "unless it is asked to", "GET / HTTP/1.0\nConnection: keep-alive\n\n", &[200], |it| {
        it.contains("\r\nConnection: keep-alive\r\n")
    }),
    (
        "9112 9.6",
        "after close no request is processed",
        "GET / HTTP/1.1\nHost: h\nConnection: x, close\n\nGET / HTTP/1.1\nHost: h\n\n",
        &[200],
        closes,
    ),
    (
        "9112 9.3.2",
        "responses keep the order of requests",
        "GET /status/201 HTTP/1.1\nHost: h\n\nGET /status/202 HTTP/1.1\nHost: h\n\n",
        &[201, 202],
        stays,
    ),
    (
        "9110 10.1.1",
        "a client that waits is let go on",
        "POST / HTTP/1.1\nHost: h\nExpect: 100-continue\nContent-Length: 2\n\n",
        &[100],
        stays,
    ),
    (
        "9110 10.1.1",
        "not where its body has come",
        "POST / HTTP/1.1\nHost: h\nExpect: 100-continue\nContent-Length: 2\n\nab",
        &[200],
        stays,
    ),
    (
        "9110 15.2",
        "HTTP/1.0 gets no interim response",
        "POST / HTTP/1.0\nExpect: 100-continue\nContent-Length: 2\n\n",
        &[],
        any,
    ),
    // Statuses and what they must carry
    ("9110 6.6.1", "Date", "GET / HTTP/1.1\nHost: h\n\n", &[200], |it| {
        it.contains("\r\nDate: Mon, 23 Nov 2026 12:00:05 GMT\r\n")
    }),
    ("9110 9.3.2", "no content in the response to HEAD", "HEAD / HTTP/1.1\nHost: h\n\n", &[200], |it| {
        it.ends_with("\r\n\r\n")
    }),
    (
        "9110 9.3.2",
        "nor in a refusal of its body",
        "HEAD / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\nx\n",
        &[400],
        |it| it.ends_with("\r\n\r\n"),
    ),
    ("9110 12.5.5", "Vary of what Accept decides", "GET / HTTP/1.1\nHost: h\n\n", &[200], |it| {
        it.contains("\r\nVary: Accept\r\n")
    }),
    ("9112 6.3", "204 has no content and no length", "GET /status/204 HTTP/1.1\nHost: h\n\n", &[204], |it| {
        !it.contains("Content-Length") && it.ends_with("\r\n\r\n")
    }),
    ("9112 6.3", "304 has no content", "GET /status/304 HTTP/1.1\nHost: h\n\n", &[304], |it| it.ends_with("\r\n\r\n")),
    ("9110 15.3.6", "205 has no content", "GET /status/205 HTTP/1.1\nHost: h\n\n", &[205], |it| {
        it.contains("Content-Length: 0\r\n") && it.ends_with("\r\n\r\n")
    }),
    ("9110 15.3.7", "206 says which part", "GET /status/206 HTTP/1.1\nHost: h\n\n", &[206], |it| {
        it.contains("\r\nContent-Range: bytes 0-20/21\r\n")
    }),
    ("9110 15.4.2", "301 says where", "GET /status/301 HTTP/1.1\nHost: h\n\n", &[301], |it| {
        it.contains("\r\nLocation: /\r\n")
    }),
    ("9110 15.5.2", "401 says how", "GET /status/401 HTTP/1.1\nHost: h\n\n", &[401], |it| {
        it.contains("\r\nWWW-Authenticate: ")
    }),
    ("9110 15.5.6", "405 says what is allowed", "GET /status/405 HTTP/1.1\nHost: h\n\n", &[405], |it| {
        it.contains("\r\nAllow: GET, HEAD, ")
    }),
    ("9110 15.5.8", "407 says how", "GET /status/407 HTTP/1.1\nHost: h\n\n", &[407], |it| {
        it.contains("\r\nProxy-Authenticate: ")
    }),
    ("9110 15.5.17", "416 says how much there is", "GET /status/416 HTTP/1.1\nHost: h\n\n", &[416], |it| {
        it.contains("\r\nContent-Range: bytes */")
    }),
    ("9110 15.5.22", "426 says to what", "GET /status/426 HTTP/1.1\nHost: h\n\n", &[426], |it| {
        it.contains("\r\nUpgrade: ") && it.contains("\r\nConnection: Upgrade\r\n")
    }),
    ("9112 4", "a status without a phrase keeps its space", "GET /status/599 HTTP/1.1\nHost: h\n\n", &[599], |it| {
        it.starts_with("HTTP/1.1 599 \r\n")
    }),
];

fn statuses(output: &str) -> Vec<u16> {
    let starts = output.match_indices("HTTP/1.1 ");
    let statuses = starts.filter_map(|(start, version)| output[start + version.len()..].get(..4)?.trim().parse().ok());
    statuses.collect()
}

#[test]
fn what_the_rfcs_require_of_a_server_holds() {
    let mut broken = Vec::new();
    for (section, rule, request, expected, holds) in ROWS {
        let bytes = request.replace('\n', "\r\n").replace('¶', "\n").replace('␍', "\r").replace('␀', "\0");
        let mut conversation = Conversation::begin();
        conversation.hear(bytes.as_bytes());
        conversation.write_all();
        let output = String::from_utf8(std::mem::take(&mut conversation.answered)).unwrap();
        let found = statuses(&output);
        // Of two statuses for one request either will do.
        let either = bytes.matches(" HTTP/").count() < 2 && expected.len() == 2 && found.len() == 1;
        let right = if either { expected.contains(&found[0]) } else { found == *expected };
        if !right || !holds(&output) {
            broken.push(format!("RFC {section}, {rule}: {found:?} instead of {expected:?}\n{output}"));
        }
    }
    assert!(broken.is_empty(), "{} of {}:\n{}", broken.len(), ROWS.len(), broken.join("\n"));
}
