//! What backends serve with TLS: certificates of the fleet's own authority, or the user's. Their keys never touch a disk, nor does the authority's,
//! unless the user wants the same one from one start to the next; its
//! certificate and its revocation list are written for those who are to trust it, and a client's certificate with its key where it is asked for.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::Problem;
use crate::fleet::start_error::StartError;
use crate::io::authority::{Authority, OF_A_FLEET};
use crate::io::tls_server;
use crate::platform::machine_name;
use crate::runfile;
use crate::topology::{Address, Host, TlsFile, Topology};
use crate::wire::{BadCertificate, Credentials, TlsAssignment};

/// What a fleet's TLS is to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TlsPlan {
    /// The user's certificate and key, in files; none for one of the fleet's own authority.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
    /// Clients must show a certificate of one of these authorities.
    pub(crate) client_ca: Option<TlsFile>,
    /// The file with the authority's key, which is made if it is missing; none for one that lives in memory alone.
    pub(crate) authority_key: Option<PathBuf>,
    /// Where the authority's certificate is written; none for the folder of run files.
    pub(crate) ca_out: Option<PathBuf>,
    /// Further names of the certificate.
    pub(crate) names: Vec<String>,
}

/// The certificates that were made or read.
pub(crate) struct Prepared {
    pub(crate) assignment: TlsAssignment,
    pub(crate) authority: Option<AuthorityFiles>,
    /// Written once nothing else keeps the fleet from starting: another one that runs may have files of these names.
    unwritten: Vec<UnwrittenFile>,
}

struct UnwrittenFile {
    path: PathBuf,
    text: String,
    readers: Readers,
}

impl Prepared {
    /// Writes the files of the fleet's authority. Of those that cannot all be written, none that was not there stays.
    pub(crate) fn write(&mut self) -> Result<(), Problem> {
        let mut created: Vec<&Path> = Vec::new();
        for file in &self.unwritten {
            let is_new = !file.path.exists();
            if let Err(problem) = write(file) {
                created.iter().for_each(|path| _ = fs::remove_file(path));
                return Err(problem);
            }
            created.extend(is_new.then_some(file.path.as_path()));
        }
        if let Some(authority) = &mut self.authority {
            let client = client_certificate_of(&authority.certificate);
            let is_written = self.unwritten.iter().any(|file| file.path == client);
            authority.client = is_written.then_some(ClientCredentials(client));
        }
        self.unwritten.clear();
        Ok(())
    }
}

/// Where those find it who trust the fleet's own authority.
pub(crate) struct AuthorityFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) revocations: PathBuf,
    /// A certificate of a client with its key, where clients must show one of this authority; once it is written.
    pub(crate) client: Option<ClientCredentials>,
}

/// A file with a client's certificate and key. It goes with the fleet: a key that nobody needs is kept nowhere.
pub(crate) struct ClientCredentials(PathBuf);

impl ClientCredentials {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ClientCredentials {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes and reads what the plan says, or adds what is wrong with it.
pub(crate) fn prepare(plan: &TlsPlan, topology: &Topology, error: &mut StartError) -> Option<Prepared> {
    let mut add = |problem: Problem| {
        error.add(problem.to_string(), problem.hint_text().unwrap_or("see the message of the operating system"));
        None
    };
    let clients_file = match &plan.client_ca {
        Some(TlsFile::File(file)) => Some(file),
        Some(TlsFile::Fleet) | None => None,
    };
    let clients = match clients_file.map(|file| read("--client-ca", file)).transpose() {
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
    if let Some(file) = clients_file
        && let Err(why) = tls_server::examine(&prepared.assignment.good, clients.as_deref())
    {
        let problem =
            Problem::new(format!("no authority of clients: {why:#}")).on(format!("--client-ca {}", file.display()));
        return add(problem.hint("the file holds certificates of authorities in PEM"));
    }
    prepared.assignment.clients = prepared.assignment.clients.or(clients);
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
    Ok(Prepared { assignment, authority: None, unwritten: Vec::new() })
}

fn of_authority(plan: &TlsPlan, topology: &Topology) -> Result<Prepared, Problem> {
    let failed = |why: rcgen::Error| {
        let hint = "names of a certificate are host names and addresses, such as --tls-names api.internal";
        Problem::new(format!("failed to make a certificate: {why}")).on("--tls").hint(hint)
    };
    let names = names(plan, topology);
    let (authority, key) = match &plan.authority_key {
        Some(file) => kept_authority(file)?,
        None => (Authority::new(OF_A_FLEET).map_err(failed)?, None),
    };
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
    let file_of = |path: &Path, text: String, readers| UnwrittenFile { path: path.to_owned(), text, readers };
    let mut unwritten = Vec::from_iter(key);
    unwritten.push(file_of(&file, authority.pem(), Readers::All));
    unwritten.push(file_of(&list, revocations, Readers::All));
    let mut clients = None;
    if plan.client_ca == Some(TlsFile::Fleet) {
        let Credentials { chain, key } = authority.certify_client("uuid-generator client").map_err(failed)?;
        unwritten.push(file_of(&client_certificate_of(&file), [chain, key].concat(), Readers::Owner));
        clients = Some(authority.pem());
    }
    let assignment = TlsAssignment { good, bad, clients };
    let files = AuthorityFiles { certificate: file, revocations: list, client: None };
    Ok(Prepared { assignment, authority: Some(files), unwritten })
}

/// The authority whose key is in that file, or a new one with its key, which is to be there.
fn kept_authority(file: &Path) -> Result<(Authority, Option<UnwrittenFile>), Problem> {
    let unusable = |why: rcgen::Error| {
        let problem = Problem::new(format!("no key of an authority: {why}"));
        problem
            .on(format!("--authority-key {}", file.display()))
            .hint("give a private key in PEM (PKCS #8), or a file that is to be made")
    };
    if file.exists() {
        let authority = Authority::with_key(OF_A_FLEET, &read("--authority-key", file)?).map_err(unusable)?;
        return Ok((authority, None));
    }
    let authority = Authority::new(OF_A_FLEET).map_err(unusable)?;
    let key = UnwrittenFile { path: file.to_owned(), text: authority.key(), readers: Readers::Owner };
    Ok((authority, Some(key)))
}

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Readers {
    All,
    Owner,
}

fn write(file: &UnwrittenFile) -> Result<(), Problem> {
    let UnwrittenFile { path, text, readers } = file;
    let mode = match readers {
        Readers::All => 0o666,
        Readers::Owner => 0o600,
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let written = options.open(path).and_then(|mut file| {
        if *readers == Readers::Owner {
            // One that was there keeps its mode otherwise.
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.write_all(text.as_bytes())
    });
    written.map_err(|why| {
        let problem = Problem::new(format!("failed to write a file of the fleet's authority: {why}"));
        problem.on(path.display().to_string()).hint("name another file with --ca-out or --authority-key")
    })
}

/// Where the certificate of a fleet's authority is, unless somebody says otherwise: the same path from one start to the next, as
/// configurations name it.
pub(crate) fn authority_file(topology: &Topology) -> Option<PathBuf> {
    let name = topology.backends.first().map_or("fleet", |backend| &backend.name);
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    runfile::folder().map(|folder| folder.join(format!("ca-{name}.pem")))
}

/// The file with the list of revoked certificates, next to the authority's.
pub(crate) fn revocation_list_of(authority: &Path) -> PathBuf {
    authority.with_extension("crl.pem")
}

/// The file with a client's certificate and key, next to the authority's.
pub(crate) fn client_certificate_of(authority: &Path) -> PathBuf {
    authority.with_extension("client.pem")
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
