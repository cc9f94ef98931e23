//! What a check may expect of files.

use super::*;
use crate::balancer::read::configuration::ConfigFile;
use crate::balancer::read::nginx;

fn expected(lines: &str, fleet: &[u16]) -> Expected {
    let source = ConfigFile { name: "nginx.conf".to_owned(), text: format!("upstream u {{ {lines} }}") };
    let read = nginx::read(&source, &|_| Ok(Vec::new())).unwrap();
    Expected::of(choose(&read, "nginx.conf", None).unwrap(), Some(fleet))
}

fn shares(expected: &Expected) -> Option<String> {
    expected.shares.as_ref().map(ToString::to_string)
}

#[test]
fn servers_of_production_are_elsewhere_and_one_of_the_fleet_is_enough_to_be_here() {
    for (lines, elsewhere) in [
        ("server 10.1.2.3:8000; server app2.internal:8000;", true),
        ("server 10.1.2.3:8000; server 127.0.0.1:9001;", false),
        ("server unix:/run/app.sock;", false),
    ] {
        let source = ConfigFile { name: "nginx.conf".to_owned(), text: format!("upstream u {{ {lines} }}") };
        let read = nginx::read(&source, &|_| Ok(Vec::new())).unwrap();
        assert_eq!(is_elsewhere(choose(&read, "nginx.conf", None).unwrap(), &[9001, 9002]), elsewhere, "{lines}");
    }
}

#[test]
fn a_server_that_is_listed_twice_is_one_to_pick() {
    let it = expected("server 127.0.0.1:9001; server 127.0.0.1:9001;", &[9001]);
    assert_eq!((it.algorithm, shares(&it).as_deref()), (None, Some("9001=2")));
}

#[test]
fn what_goes_past_a_full_server_goes_by_no_algorithm() {
    let it = expected(
        "server 127.0.0.1:9001 max_conns=20; server 127.0.0.1:9002; server 127.0.0.1:9003 backup;",
        &[9001, 9002, 9003],
    );
    let kept = it.clone().under(20);
    assert_eq!((kept.algorithm, shares(&kept)), (Some(Algorithm::RoundRobin), shares(&it)));
    let full = it.under(32);
    assert_eq!((full.algorithm, full.shares, full.backups), (None, None, vec![]));
    let why = "nginx.conf, line 1: server 127.0.0.1:9001: max_conns=20, and the check has 32 requests in flight; -c 20 keeps to it";
    assert_eq!(full.unknown, [why]);
}

#[test]
fn one_active_server_gets_all_and_has_no_turns() {
    for other in ["backup", "down"] {
        let it = expected(&format!("server 127.0.0.1:9001; server 127.0.0.1:9002 {other};"), &[9001, 9002]);
        assert_eq!((it.algorithm, shares(&it).as_deref()), (None, Some("9001=1,9002=0")), "{other}");
        assert_eq!((it.backups, it.unknown), (vec!["9002".to_owned()], vec![]), "{other}");
    }
}

#[test]
fn backups_get_requests_where_no_server_is_active() {
    let it = expected("server 127.0.0.1:9001 down; server 127.0.0.1:9002 backup;", &[9001, 9002]);
    assert_eq!((it.algorithm, shares(&it).as_deref()), (None, Some("9001=0,9002=1")));
    assert_eq!((it.backups, it.unknown), (vec!["9001".to_owned()], vec![]));
    for lines in [
        "server 127.0.0.1:9001 backup; server 127.0.0.1:9002 backup;",
        "server 127.0.0.1:9001 down; server 127.0.0.1:9002 backup; server 127.0.0.1:9003 backup;",
        "hash $arg_a$arg_b; server 127.0.0.1:9001 down;",
    ] {
        let it = expected(lines, &[9001, 9002, 9003]);
        assert_eq!((it.algorithm, it.shares, it.backups), (None, None, vec![]), "{lines}");
        assert_eq!(it.unknown, ["u: no server is active, and which of its backups get requests is not read"]);
    }
}

#[test]
fn the_only_server_gets_all_whatever_the_method() {
    let it = expected("hash $arg_a$arg_b; server 127.0.0.1:9001;", &[9001]);
    assert_eq!((it.algorithm, shares(&it).as_deref(), it.unknown.len()), (None, Some("9001=1"), 0), "{it:?}");
    for lines in [
        "hash $arg_a$arg_b; server 127.0.0.1:9001; server 127.0.0.1:9002 backup;",
        "server app.internal:9001 resolve;",
        "hash $arg_a$arg_b; server 127.0.0.1:9001 down;",
    ] {
        let it = expected(lines, &[9001, 9002]);
        assert_eq!((shares(&it), it.unknown.len()), (None, 1), "{lines}");
    }
}

#[test]
fn equal_weights_are_a_plain_rotation_unless_a_server_has_its_turns_in_a_row() {
    for (turns_in_a_row, weight, algorithm) in [
        (false, 10, Algorithm::RoundRobin),
        (true, 10, Algorithm::WeightedRoundRobin),
        (true, 1, Algorithm::RoundRobin),
    ] {
        let mut upstream = Upstream { turns_in_a_row, ..Upstream::named("app") };
        let server = |address| UpstreamServer { weight, ..UpstreamServer::at(address, Endpoint::Other, "a") };
        upstream.servers = ["a", "b"].map(server).to_vec();
        let it = Expected::of_named(&upstream, &|server| vec![server.address.clone()]);
        assert_eq!((it.algorithm, shares(&it).is_some()), (Some(algorithm), true), "{turns_in_a_row} {weight}");
    }
}

#[test]
fn what_a_resolver_has_is_known_in_a_rehearsal_alone() {
    let it = expected("server 127.0.0.1:9001 resolve; server 127.0.0.1:9002;", &[9001, 9002]);
    assert_eq!(
        (it.algorithm, it.unknown.as_slice()),
        (None, &["nginx.conf, line 1: resolve of server 127.0.0.1:9001".to_owned()][..])
    );
}

#[test]
fn sockets_have_weights_too() {
    let it = expected("server unix:/s/9001.sock weight=5; server unix:/s/9002.sock;", &[9001, 9002]);
    assert_eq!((it.algorithm, shares(&it).as_deref()), (Some(Algorithm::WeightedRoundRobin), Some("9001=5,9002=1")));
}

#[test]
fn what_is_no_backend_of_the_fleet_is_named_and_nothing_is_added_up() {
    let it = expected("server 10.0.0.1:3000; server 10.0.0.2:3000 weight=2; server 10.0.0.3:3000 backup;", &[9001]);
    assert_eq!((shares(&it), it.backups.len(), it.unknown.len()), (None, 0, 3));
    assert_eq!(it.unknown[1], "nginx.conf, line 1: server 10.0.0.2:3000 is no backend of the fleet");
    let it = expected("server 10.0.0.1:9001; server 10.0.0.2:9001;", &[9001]);
    assert_eq!((shares(&it), it.unknown.len()), (None, 1), "{it:?}");
}

#[test]
fn names_that_may_have_several_addresses_promise_no_shares_beside_others() {
    let fleet = [9001, 9002];
    let it = expected("server localhost:9001; server 127.0.0.1:9002;", &fleet);
    assert_eq!((shares(&it), it.unknown.len()), (None, 1));
    let it = expected("server localhost:9001; server localhost:9002;", &fleet);
    assert_eq!(shares(&it).as_deref(), Some("9001=1,9002=1"));
}

#[test]
fn a_server_of_several_addresses_is_several_backends_by_name() {
    let lines = "server pool.internal:80 weight=2; server 10.0.0.3:80 weight=2; server 10.0.0.4:80 backup;";
    let source = ConfigFile { name: "nginx.conf".to_owned(), text: format!("upstream u {{ {lines} }}") };
    let read = nginx::read(&source, &|_| Ok(Vec::new())).unwrap();
    let names = |server: &UpstreamServer| match server.address.as_str() {
        "pool.internal:80" => vec!["pool.internal-1".to_owned(), "pool.internal-2".to_owned()],
        other => vec![other.to_owned()],
    };
    let it = Expected::of_named(&read.upstreams[0], &names);
    let shares = shares(&it);
    assert_eq!(shares.as_deref(), Some("pool.internal-1=2,pool.internal-2=2,10.0.0.3:80=2,10.0.0.4:80=0"));
    assert_eq!((it.algorithm, it.backups), (Some(Algorithm::RoundRobin), vec!["10.0.0.4:80".to_owned()]));
    let it = Expected::of_named(&read.upstreams[0], &|_| Vec::new());
    assert_eq!((it.shares, it.unknown.len()), (None, 3));
}

#[test]
fn a_split_gives_each_backend_its_part_of_the_weight_of_its_group() {
    let group = |name: &str, servers: &[(&str, u32)], policy: Policy| {
        let mut group = Upstream::named(name);
        group.method = UpstreamMethod::Known(policy);
        let server = |(address, weight): &(&str, u32)| UpstreamServer {
            weight: *weight,
            ..UpstreamServer::at(address, Endpoint::Other, "a.yml")
        };
        group.servers = servers.iter().map(server).collect();
        group
    };
    let of = |parts: Vec<(Upstream, u32)>| {
        Expected::of_named(&Upstream::split(parts), &|server| match server.address.as_str() {
            "pool" => vec!["pool-1".to_owned(), "pool-2".to_owned()],
            other => vec![other.to_owned()],
        })
    };
    let stable = || group("stable", &[("a", 1), ("b", 2)], Policy::RoundRobin);
    let canary = || group("canary", &[("pool", 1)], Policy::RoundRobin);
    let it = of(vec![(stable(), 90), (canary(), 10)]);
    assert_eq!((shares(&it).as_deref(), it.algorithm), (Some("a=6,b=12,pool-1=1,pool-2=1"), None));
    // A group without weight gets nothing, and one in two groups gets of both.
    let it = of(vec![(stable(), 1), (canary(), 0)]);
    assert_eq!((shares(&it).as_deref(), it.backups.len()), (Some("a=1,b=2,pool-1=0,pool-2=0"), 2));
    let it = of(vec![(stable(), 3), (group("other", &[("a", 1)], Policy::Source), 1)]);
    assert_eq!(shares(&it).as_deref(), Some("a=1,b=1"));
    // One of a split is a split again.
    let nested = Upstream::split(vec![(canary(), 1), (group("c", &[("c", 1)], Policy::RoundRobin), 1)]);
    assert_eq!(shares(&of(vec![(stable(), 1), (nested, 1)])).as_deref(), Some("a=4,b=8,pool-1=3,pool-2=3,c=6"));
    // By load or key within a group of several: nothing is promised.
    let it = of(vec![(group("stable", &[("a", 1), ("b", 1)], Policy::LeastConnections), 9), (canary(), 1)]);
    assert_eq!((shares(&it), it.unknown.len()), (None, 1), "{it:?}");
    let groups: Vec<(&str, u32, usize)> =
        it.groups.iter().map(|it| (it.name.as_str(), it.weight, it.backends.len())).collect();
    assert_eq!(groups, [("stable", 9, 2), ("canary", 1, 2)]);
    let it = of(vec![(group("none", &[], Policy::RoundRobin), 9), (canary(), 1)]);
    assert_eq!((shares(&it), it.unknown.len(), it.groups.len()), (None, 1, 0), "{it:?}");
    // One of both groups is no witness of either.
    let it = of(vec![
        (group("stable", &[("a", 1), ("b", 1)], Policy::LeastConnections), 9),
        (group("canary", &[("b", 1), ("c", 1)], Policy::LeastConnections), 1),
    ]);
    assert_eq!((shares(&it), it.groups.len()), (None, 0), "{it:?}");
}

#[test]
fn the_host_is_a_key_that_no_check_varies() {
    let it = expected("hash $http_host; server 127.0.0.1:9001; server 127.0.0.1:9002;", &[9001, 9002]);
    assert_eq!((it.algorithm, shares(&it), it.key_header.as_deref()), (None, None, None));
    assert_eq!(it.unknown, ["u: the host selects, and all requests of a URL have the same"]);
}

#[test]
fn a_method_that_is_not_understood_promises_nothing() {
    let it = expected("hash $host$arg_a consistent; server 127.0.0.1:9001; server 127.0.0.1:9002;", &[9001, 9002]);
    assert_eq!((it.algorithm, shares(&it)), (None, None));
    assert_eq!(it.unknown, ["nginx.conf, line 1: hash $host$arg_a consistent"]);
}

#[test]
fn draws_from_a_hash_ring_promise_no_shares() {
    for (draws_from_ring, expected) in [(false, Some("a=1,b=1")), (true, None)] {
        let server = |address| UpstreamServer::at(address, Endpoint::Other, "f");
        let upstream = Upstream {
            method: UpstreamMethod::Known(Policy::Random),
            servers: ["a", "b"].map(server).to_vec(),
            draws_from_ring,
            ..Upstream::named("app")
        };
        let it = Expected::of_named(&upstream, &|server| vec![server.address.clone()]);
        assert_eq!((it.algorithm, shares(&it).as_deref()), (Some(Algorithm::Random), expected));
        let split = Upstream::split(vec![(upstream, 1)]);
        assert_eq!(shares(&Expected::of_named(&split, &|server| vec![server.address.clone()])).as_deref(), expected);
    }
}

#[test]
fn a_header_that_may_have_the_clients_address_leaves_the_source_open() {
    let configuration = Configuration { client_headers: vec!["X-Real-IP".to_owned()], ..Configuration::default() };
    for (method, sent, is_judged) in
        [("ip_hash;", "x-real-ip", false), ("ip_hash;", "x-user", true), ("least_conn;", "x-real-ip", true)]
    {
        let it = expected(&format!("{method} server 127.0.0.1:9001; server 127.0.0.1:9002;"), &[9001, 9002]);
        let it = it.with_headers(&configuration, [sent]);
        assert_eq!((it.algorithm.is_some(), it.unknown.is_empty()), (is_judged, is_judged), "{method} {sent}");
    }
}
