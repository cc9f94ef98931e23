//! What backends serve with TLS: certificates of the fleet's own authority, or the user's. Keys of the fleet's own never touch a disk; the
//! authority's certificate and its revocation list are written for those who are to trust it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::error::Problem;
use crate::fleet::start_error::StartError;
use crate::io::authority::Authority;
use crate::io::tls_server;
use crate::platform::machine_name;
use crate::runfile;
use crate::topology::{Address, Host, Topology};
use crate::wire::{BadCertificate, Credentials, TlsAssignment};

/// What a fleet's TLS is to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TlsPlan {
    /// The user's certificate and key, in files; none for one of the fleet's own authority.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
    /// Clients must show a certificate of one of these authorities.
    pub(crate) client_ca: Option<PathBuf>,
    /// Where the authority's certificate is written; none for the folder of run files.
    pub(crate) ca_out: Option<PathBuf>,
    /// Further names of the certificate.
    pub(crate) names: Vec<String>,
}

/// The certificates that were made or read.
pub(crate) struct Prepared {
    pub(crate) assignment: TlsAssignment,
    /// Where the authority's certificate and its revocation list are.
    pub(crate) authority: Option<(PathBuf, PathBuf)>,
}

/// Makes and reads what the plan says, or adds what is wrong with it.
pub(crate) fn prepare(plan: &TlsPlan, topology: &Topology, error: &mut StartError) -> Option<Prepared> {
    let mut add = |problem: Problem| {
        error.add(problem.to_string(), problem.hint_text().unwrap_or("see the message of the operating system"));
        None
    };
    let clients = match plan.client_ca.as_deref().map(|file| read("--client-ca", file)).transpose() {
        Ok(clients) => clients,
        Err(problem) => return add(problem),
    };
    let prepared = match &plan.own {
        Some((certificate, key)) => of_user(certificate, key),
        None => of_authority(plan, topology),
    };
    let mut prepared = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => return add(problem),
    };
    if let Some((certificate, key)) = &plan.own
        && let Err(why) = tls_server::examine(&prepared.assignment.good, None)
    {
        let on = format!("--cert {} --key {}", certificate.display(), key.display());
        let hint = "the files hold a certificate with those between it and its authority, and its key, in PEM";
        return add(Problem::new(format!("they cannot be served: {why:#}")).on(on).hint(hint));
    }
    if let Some(file) = &plan.client_ca
        && let Err(why) = tls_server::examine(&prepared.assignment.good, clients.as_deref())
    {
        let problem =
            Problem::new(format!("no authority of clients: {why:#}")).on(format!("--client-ca {}", file.display()));
        return add(problem.hint("the file holds certificates of authorities in PEM"));
    }
    prepared.assignment.clients = clients;
    Some(prepared)
}

fn read(option: &str, file: &Path) -> Result<String, Problem> {
    let why = |why: std::io::Error| {
        let problem = Problem::new(why.to_string()).on(format!("{option} {}", file.display()));
        problem.hint("give a file in PEM that this user may read")
    };
    std::fs::read_to_string(file).map_err(why)
}

/// Of a user's authority nothing bad can be made but what needs no authority.
fn of_user(certificate: &Path, key: &Path) -> Result<Prepared, Problem> {
    let good = Credentials { chain: read("--cert", certificate)?, key: read("--key", key)? };
    let assignment = TlsAssignment { good, bad: Vec::new(), clients: None };
    Ok(Prepared { assignment, authority: None })
}

fn of_authority(plan: &TlsPlan, topology: &Topology) -> Result<Prepared, Problem> {
    let failed = |why: rcgen::Error| {
        let hint = "names of a certificate are host names and addresses, such as --tls-names api.internal";
        Problem::new(format!("failed to make a certificate: {why}")).on("--tls").hint(hint)
    };
    let names = names(plan, topology);
    let authority = Authority::new("uuid-generator fleet").map_err(failed)?;
    let good = authority.certify(&names).map_err(failed)?;
    let bad = BadCertificate::ALL.into_iter().map(|bad| Ok((bad, authority.certify_badly(&names, bad)?)));
    let bad = bad.collect::<Result<_, rcgen::Error>>().map_err(failed)?;
    let revocations = authority.revocations().map_err(failed)?;
    let file = plan.ca_out.clone().or_else(|| authority_file(topology)).ok_or_else(|| {
        Problem::new("no folder can be written for the authority's certificate")
            .on("--tls")
            .hint("name a file with --ca-out")
    })?;
    let list = revocation_list_of(&file);
    for (path, text) in [(&file, authority.pem()), (&list, revocations)] {
        std::fs::write(path, text).map_err(|why| {
            let problem = Problem::new(format!("failed to write the authority's certificate: {why}"));
            problem.on(path.display().to_string()).hint("name another file with --ca-out")
        })?;
    }
    let assignment = TlsAssignment { good, bad, clients: None };
    Ok(Prepared { assignment, authority: Some((file, list)) })
}

/// Where the certificate of a fleet's authority is, unless somebody says otherwise: the same path from one start to the next, as
/// configurations name it.
pub(crate) fn authority_file(topology: &Topology) -> Option<PathBuf> {
    let name = topology.backends.first().map_or("fleet", |backend| &backend.name);
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    runfile::folder().map(|folder| folder.join(format!("ca-{name}.pem")))
}

/// The list of revoked certificates that lies beside that of its authority.
pub(crate) fn revocation_list_of(authority: &Path) -> PathBuf {
    authority.with_extension("crl.pem")
}

/// All names by which a balancer may call a backend.
fn names(plan: &TlsPlan, topology: &Topology) -> Vec<String> {
    let machine = machine_name();
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1", &machine].map(str::to_owned).to_vec();
    for backend in &topology.backends {
        names.extend(topology.listens_on(backend.generator).into_iter().filter_map(|address| match address {
            Address::Tcp(host, _) => Some(bare(&host)),
            Address::Unix(_) => None,
        }));
        if topology.is_named() {
            names.push(backend.name.clone());
        }
    }
    names.extend(plan.names.iter().cloned());
    let is_name = |name: &String| {
        let is_host = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_*".contains(&byte));
        let unspecified = name.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        !name.is_empty() && !unspecified && (is_host(name) || name.parse::<IpAddr>().is_ok())
    };
    let mut known = Vec::new();
    names.into_iter().filter(is_name).for_each(|name| {
        if !known.contains(&name) {
            known.push(name);
        }
    });
    known
}

/// Without the brackets of an IPv6 address.
fn bare(host: &Host) -> String {
    host.as_str().trim_matches(['[', ']']).to_owned()
}
