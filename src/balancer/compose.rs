//! A compose file: the fleet in one container, NGINX in another, and a check in a third, over the network that compose makes.

use std::net::{IpAddr, SocketAddr};

use crate::balancer::containers::FleetToken;
use crate::balancer::limits::{VersionLimits, head};
use crate::balancer::lines::Lines;
use crate::balancer::nginx::NGINX;
use crate::balancer::options::{BalancerVersion, For, Listen, Options};
use crate::balancer::product::{Likelihood, Product, Program};
use crate::balancer::written::{File, Unsupported, WrittenConfig};
use crate::topology::{BackendHttp, Ports, Topology};

/// Compose files, with NGINX.
pub(crate) const COMPOSE: Product = Product {
    name: "compose",
    title: "Compose with NGINX",
    program: Program::Elsewhere,
    install: "it is no program",
    write,
    own: None,
    alone: None,
    several: None,
    read: None,
    recognises: |_| Likelihood::No,
    reports: None,
    // Of NGINX.
    ..NGINX
};

/// The service with all backends, as the others resolve it.
const FLEET: &str = "fleet";
const CONTROL: u16 = 9000;
/// Images of older ones run on no machine that has compose.
const OLDEST: BalancerVersion = BalancerVersion(1, 18, 0);
/// The usual value where every token is known: nothing outside of the network that compose makes can use it.
const TOKEN: &str = "a-token-for-this-network-alone";

fn write(topology: &Topology, options: &Options) -> Result<WrittenConfig, Unsupported> {
    let limits = VersionLimits::of(&COMPOSE, options);
    refuse(topology, options, limits)?;
    let ports = match options.containers.replicas {
        Some(count) => Ports::following(9001, count.get()),
        None => Ports::of(&topology.generators().collect::<Vec<_>>()),
    };
    let names: Vec<String> = ports.generators().0.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    limits.refuse_if(
        options.containers.faults.as_ref().is_some_and(|faults| faults.unknown(&names).is_some()),
        "give faults to a backend that it does not start (--fault)",
        "the number of a backend, such as 9001",
    )?;
    let port = options.listen().port;
    let nginx = {
        let mut topology = topology.clone();
        topology.host = FLEET.parse().expect("the name of a service is a host");
        if options.containers.replicas.is_some() {
            let (generators, _) = ports.generators();
            topology.backends = Topology::of(topology.host.clone(), generators).backends;
        }
        let all = IpAddr::from([0, 0, 0, 0]);
        let listen = Some(Listen { address: Some(all), port });
        let options = Options { listen, version: For::Asked(limits.version), ..options.clone() };
        (NGINX.write)(&topology, &options).map_err(|cannot| Unsupported { title: COMPOSE.title, ..cannot })?
    };
    let mut files: Vec<File> = nginx.files;
    files.insert(0, File { name: "compose.yaml", text: compose(topology, options, &ports, port) });
    Ok(WrittenConfig { files, run: None, overview: None })
}

fn refuse(topology: &Topology, options: &Options, limits: VersionLimits) -> Result<(), Unsupported> {
    limits.refuse_if_older_than(OLDEST)?;
    let containers = &options.containers;
    for (so, what, nearest) in [
        (
            options.snippet,
            "be included in another file (--snippet)",
            "several files: docker compose -f a.yaml -f b.yaml",
        ),
        (containers.namespace.is_some(), "have a namespace (--namespace)", "docker compose -p NAME"),
        (
            matches!(containers.token, Some(FleetToken::Secret(_))),
            "read a Secret of Kubernetes (--token-secret)",
            "the variable UUID_GENERATOR_TOKEN where compose runs",
        ),
        (topology.is_named(), "give backends addresses (--backends)", "--ports, or --replicas"),
        (topology.sockets.is_some(), "reach backends by unix sockets (--sockets)", "their ports"),
        (topology.tls, "give backends certificates (--tls)", "HTTP to the fleet"),
        (
            topology.http == BackendHttp::Grpc,
            "check gRPC (--backend-protocol grpc)",
            "--backend-protocol h2c: HTTP/2 to the fleet",
        ),
        (
            topology.backends.len() > 1 && containers.replicas.is_some() && topology.is_weighted(),
            "weigh replicas (--weights with --replicas)",
            "--weights with as many --ports",
        ),
    ] {
        limits.refuse_if(so, what, nearest)?;
    }
    Ok(())
}

fn compose(topology: &Topology, options: &Options, ports: &Ports, port: u16) -> String {
    let (image, version) = (options.containers.image(), VersionLimits::of(&NGINX, options).version);
    let mut fleet = vec![format!("--host=0.0.0.0 --ports={ports} --control=0.0.0.0:{CONTROL} --log=off")];
    if topology.proxy_protocol {
        fleet.push("--proxy-protocol".to_owned());
    }
    if let Some(faults) = &options.containers.faults {
        fleet.push(format!("--fault={faults}"));
    }
    let fleet = fleet.join(" ");
    let count = ports.generators().0.len();
    let published = options.listen.and_then(|listen| listen.address).unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let mut text = Lines::default();
    text.add(0, format!("# {}", head(&COMPOSE, options, topology)))
        .add(0, "# docker compose up --abort-on-container-exit --exit-code-from check")
        .add(0, "services:")
        .add(2, format!("{FLEET}:"));
    own(&image, &fleet, &mut text);
    text.add(4, "# Records take three quarters of the limit at most.")
        .add(4, "mem_limit: 64m")
        .add(2, "balancer:")
        .add(4, format!("image: docker.io/library/nginx:{version}"))
        .add(4, "# What NGINX writes, and its process id, in memory.")
        .add(4, "command: nginx -p /tmp/ -e stderr -c /etc/nginx/nginx.conf")
        .add(4, "volumes: [\"./nginx.conf:/etc/nginx/nginx.conf:ro\"]")
        .add(4, "read_only: true")
        .add(4, "tmpfs: [/tmp]")
        .add(4, format!("ports: [\"{}:{port}\"]", SocketAddr::new(published, port)))
        .add(4, "# It ends where a name does not resolve yet.")
        .add(4, "restart: on-failure")
        .add(4, format!("depends_on: [{FLEET}]"))
        .add(2, "check:");
    let path = topology.path.as_str();
    own(
        &image,
        &format!("check http://balancer:{port}{path} --fleet=http://{FLEET}:{CONTROL} --ready={count} --wait=1m"),
        &mut text,
    );
    text.add(4, "depends_on: [balancer]");
    text.0
}

/// A container of this program: it writes nothing and may do nothing.
fn own(image: &str, command: &str, text: &mut Lines) {
    text.add(4, format!("image: {image}"))
        .add(4, format!("command: {command}"))
        .add(4, format!("environment: {{ UUID_GENERATOR_TOKEN: \"${{UUID_GENERATOR_TOKEN:-{TOKEN}}}\" }}"))
        .add(4, "read_only: true")
        .add(4, "cap_drop: [ALL]")
        .add(4, "security_opt: [\"no-new-privileges:true\"]");
}
