//! What all writers have to hold: what is asked for is written or refused.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use crate::balancer::containers::FleetToken;
use crate::balancer::list::Balancer;
use crate::balancer::options::{BalancerVersion, For, Listen, Options};
use crate::balancer::product::Program;
use crate::balancer::written::{Unsupported, WrittenConfig};
use crate::topology::{
    ActiveHealthCheck, BackendHttp, PassiveHealthCheck, Policy, RetryPolicy, Timeouts, Topology, Weights,
};
use crate::wire::Generator;

/// One thing that is asked for besides the algorithm.
type Feature = (&'static str, fn(&mut Topology, &mut Options));

const ASKS: [Feature; 31] = [
    ("nothing", |_, _| ()),
    ("weights", |topology, _| weigh(topology, "5:1:1")),
    ("backup", |topology, _| topology.backends[2].backup = true),
    ("backup and health", |topology, _| {
        topology.backends[2].backup = true;
        topology.health = Some(health(1, 1));
    }),
    ("one and two backups", |topology, _| {
        topology.backends[1].backup = true;
        topology.backends[2].backup = true;
        topology.failure = Some(failure());
    }),
    ("health", |topology, _| topology.health = Some(health(1, 1))),
    ("health that counts", |topology, _| topology.health = Some(health(2, 3))),
    ("failure", |topology, _| topology.failure = Some(failure())),
    ("retries", |topology, _| topology.retries = Some(RetryPolicy { attempts: 2, non_idempotent: false })),
    ("all retries", |topology, _| topology.retries = Some(RetryPolicy { attempts: 2, non_idempotent: true })),
    ("kept connections", |topology, _| topology.keep_alive = Some(7)),
    ("PROXY protocol", |topology, _| topology.proxy_protocol = true),
    ("sockets", |topology, _| topology.sockets = Some("/run/uuid".parse().unwrap())),
    ("another path", |topology, _| topology.path = "/a.b/c".parse().unwrap()),
    ("no path", |topology, _| topology.path = "/".parse().unwrap()),
    ("timeouts", |topology, _| {
        topology.timeouts =
            Timeouts { connect: Some(Duration::from_millis(250)), answer: Some(Duration::from_secs(2)), stream: None };
    }),
    ("TLS to backends, verified", |topology, _| {
        topology.tls = true;
        topology.authority = Some("/run/uuid/ca.pem".into());
    }),
    ("TLS to backends, a revocation list", |topology, _| {
        topology.tls = true;
        topology.authority = Some("/run/uuid/ca.pem".into());
        topology.revoked = Some("/run/uuid/ca.crl.pem".into());
    }),
    ("TLS to backends, a client certificate", |topology, _| {
        topology.tls = true;
        topology.client_certificate = Some("/run/uuid/client.pem".into());
    }),
    ("TLS to backends, any certificate", |topology, _| topology.tls = true),
    ("silent streams", |topology, _| topology.timeouts.stream = Some(Duration::from_secs(600))),
    ("HTTP/2 to backends", |topology, _| topology.http = BackendHttp::Two),
    ("HTTP/2 to backends over TLS", |topology, _| {
        topology.http = BackendHttp::Two;
        topology.tls = true;
    }),
    ("gRPC", |topology, _| topology.http = BackendHttp::Grpc),
    ("gRPC over TLS", |topology, _| {
        topology.http = BackendHttp::Grpc;
        topology.tls = true;
    }),
    ("TLS of its own", |topology, _| topology.listen_tls = Some("/run/uuid/own.pem".into())),
    ("workers", |_, options| options.workers = NonZeroU32::new(2)),
    ("an image", |_, options| options.containers.image = Some("a/b:1".parse().unwrap())),
    ("replicas", |_, options| options.containers.replicas = NonZeroU16::new(5)),
    ("a namespace", |_, options| options.containers.namespace = Some("n".parse().unwrap())),
    ("a Secret", |_, options| options.containers.token = Some(FleetToken::Secret("s".parse().unwrap()))),
];

fn weigh(topology: &mut Topology, weights: &str) {
    let Weights(weights) = weights.parse().unwrap();
    for (backend, weight) in topology.backends.iter_mut().zip(weights) {
        backend.weight = weight;
    }
}

fn health(rise: u32, fall: u32) -> ActiveHealthCheck {
    let [rise, fall] = [rise, fall].map(|count| NonZeroU32::new(count).unwrap());
    let (interval, timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    ActiveHealthCheck { path: "/readyz".parse().unwrap(), interval, timeout, rise, fall }
}

fn failure() -> PassiveHealthCheck {
    PassiveHealthCheck { max_fails: NonZeroU32::new(2).unwrap(), fail_timeout: Duration::from_secs(3) }
}

fn fleet() -> Topology {
    Topology::of("localhost".parse().unwrap(), [9001, 9002, 9003].map(Generator).to_vec())
}

/// Every policy with every single thing that can be asked for.
fn combinations() -> impl Iterator<Item = (Policy, Feature)> {
    Policy::examples().into_iter().flat_map(|policy| ASKS.map(|ask| (policy.clone(), ask)))
}

fn written(balancer: Balancer, policy: &Policy, ask: Feature, options: &Options) -> Result<WrittenConfig, Unsupported> {
    let (mut topology, mut options) = (fleet(), options.clone());
    topology.policy = policy.clone();
    ask.1(&mut topology, &mut options);
    balancer.write(&topology, &options)
}

#[test]
fn what_is_asked_for_is_written_or_refused_and_never_left_out() {
    let of = |balancer, options: &Options| {
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        let plain = |policy: &Policy| written(balancer, policy, ASKS[0], options).ok();
        for (policy, ask) in combinations() {
            match written(balancer, &policy, ask, options) {
                Err(cannot) => {
                    assert!(cannot.what.len() > 10 && cannot.nearest.len() > 4, "{cannot}");
                    assert_eq!(cannot.title, balancer.title);
                }
                Ok(written) => {
                    let text: String = written.files.iter().map(|file| file.text.as_str()).collect();
                    assert!(text.ends_with('\n') && !text.contains("\n\n\n") && !text.contains(" \n"), "{text}");
                    assert_eq!(written.run.is_some(), !options.snippet && balancer.program != Program::Elsewhere);
                    if ask.0 != "nothing" {
                        let plain = plain(&policy).expect("more was asked for, and less is refused");
                        assert_ne!(plain, written, "{balancer}: {} is left out with {policy}", ask.0);
                    } else if let Some(other) = texts.insert(text, policy.to_string()) {
                        panic!("{balancer}: {policy} and {other} are the same");
                    }
                }
            }
        }
        texts.len()
    };
    let expected =
        [("nginx", 10), ("haproxy", 9), ("envoy", 9), ("traefik", 5), ("caddy", 8), ("kubernetes", 2), ("compose", 10)];
    for balancer in Balancer::ALL {
        let algorithms = of(balancer, &Options::WHOLE);
        match expected.iter().find(|(name, _)| *name == balancer.name) {
            Some((_, count)) => assert_eq!(algorithms, *count, "algorithms of {balancer}"),
            None => assert!(algorithms > 0, "{balancer}"),
        }
    }
    for balancer in Balancer::ALL {
        of(balancer, &Options::SNIPPET);
    }
    let old = Options { version: For::Asked("1.22.1".parse().unwrap()), ..Options::WHOLE };
    assert_eq!(of(Balancer::ALL[0], &old), 8);
    for balancer in &Balancer::ALL[1..] {
        let ancient = Options { version: For::Asked("0.9".parse().unwrap()), ..Options::WHOLE };
        assert_eq!(of(*balancer, &ancient), 0, "{balancer}");
    }
}

#[test]
fn clients_may_speak_http_2_without_tls_where_that_must_be_written() {
    let text = |name: &str, listen_http2: bool, options: &Options| {
        let balancer = Balancer::ALL.into_iter().find(|it| it.name == name).unwrap();
        let topology = Topology { listen_http2, ..fleet() };
        balancer.write(&topology, options).map(|written| written.files[0].text.clone())
    };
    for (name, words) in [("nginx", "http2 on;"), ("caddy", "protocols h1 h2 h2c")] {
        assert!(text(name, true, &Options::WHOLE).unwrap().contains(words), "{name}");
        assert!(!text(name, false, &Options::WHOLE).unwrap().contains(words), "{name}");
    }
    // The others understand it as it comes.
    for name in ["haproxy", "envoy", "traefik"] {
        assert_eq!(text(name, true, &Options::WHOLE), text(name, false, &Options::WHOLE), "{name}");
    }
    for (name, options) in [("caddy", &Options::SNIPPET), ("kubernetes", &Options::WHOLE)] {
        assert!(text(name, true, options).unwrap_err().what.contains("--listen-http2"), "{name}");
    }
}

#[test]
fn a_version_is_found_in_what_programs_say() {
    for (text, version) in [
        ("nginx version: nginx/1.22.1", BalancerVersion(1, 22, 1)),
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", BalancerVersion(2, 6, 12)),
        (
            "envoy  version: 6e9bd4b91e1f1d08ecb3ba7f9ac7dd5e8c6ea0f4/1.40.0/Clean/RELEASE/BoringSSL",
            BalancerVersion(1, 40, 0),
        ),
        ("Version:      3.7.15\nCodename: x\nGo version: go1.26.2", BalancerVersion(3, 7, 15)),
        ("v2.11.7 h1:abc=", BalancerVersion(2, 11, 7)),
    ] {
        assert_eq!(BalancerVersion::in_text(text), Some(version));
    }
    assert_eq!(BalancerVersion::in_text("none"), None);
    assert_eq!("2.6".parse(), Ok(BalancerVersion(2, 6, 0)));
    for text in ["", "1", "1.x", "1.2.3.4", "-1.2"] {
        assert!(text.parse::<BalancerVersion>().is_err(), "{text}");
    }
}

#[test]
fn where_it_listens_is_read_as_it_is_written() {
    for text in ["8080", "127.0.0.1:8080", "[::1]:8080"] {
        assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
    }
    assert_eq!("localhost:80".parse::<Listen>().unwrap().to_string(), "127.0.0.1:80");
    for text in ["", "0", "65536", "a:80", "127.0.0.1:", ":80"] {
        assert!(text.parse::<Listen>().is_err(), "{text}");
    }
}
