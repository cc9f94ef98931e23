//! The phrases of what differs from production in a rehearsal.

use verdict::surroundings::{FileChange, StandInResponse, Surrounding};

pub(crate) fn describe(what: &Surrounding) -> String {
    match what {
        Surrounding::Backends { upstreams, backends } => {
            let groups: Vec<String> = upstreams.iter().map(|(name, place)| format!("{name} ({place})")).collect();
            let of = if groups.is_empty() { String::new() } else { format!(" of upstream {}", groups.join(", then ")) };
            format!("backends{of}: {}", backends.join(", "))
        }
        Surrounding::HealthAddress { address, backend } => {
            format!("{address}: the health of {backend} is checked there")
        }
        Surrounding::InventedAddress { name, addresses } => {
            format!("name {name}: invented address {}", addresses.join(", "))
        }
        Surrounding::OneAddress { name, addresses, place, instead } => {
            let instead = if instead.is_empty() { String::new() } else { format!("; {instead} uses all") };
            format!("name {name}: one of its {addresses} addresses is used at a time ({place}){instead}")
        }
        Surrounding::SimilarName { name, upstream, place } => {
            format!("name {name}: no upstream is called so; upstream {upstream} ({place}) is: a typing error?")
        }
        Surrounding::RepeatedServer { server, times } => {
            format!("{server}: its address is listed {times} times, so it gets the share of {times}: a typing error?")
        }
        Surrounding::NotAsked { option } => format!("{option}: the balancer has not asked for that: a typing error?"),
        Surrounding::DeadName { name } => format!("name {name}: it leads nowhere in the private copy"),
        Surrounding::AddedAddress { address } => {
            format!("address {address}: listened on, and this machine lacks it")
        }
        Surrounding::Clients { network, too_small: false } => format!("clients: addresses of {network}"),
        Surrounding::Clients { network, too_small: true } => format!(
            "clients: addresses of {network}, too few to vary the source: give at least 32 networks of 256 addresses, such \
             as --client 203.0.96.0/19 (some balancers hash the first three octets alone)"
        ),
        Surrounding::File { path, change } => format!("{path}: {}", describe_change(*change)),
        Surrounding::Placed { file, at } => format!("{file}: used as {at}"),
        Surrounding::Certificate { names, resolver } => {
            let by = resolver.as_ref().map_or_else(String::new, |resolver| format!(" ({resolver})"));
            let names = names.join(", ");
            format!("certificate of {names}{by}: by a public authority; a certificate of our own stands in")
        }
        Surrounding::Account { name } => format!("account {name}: this machine lacks it; made"),
        Surrounding::Group { name } => format!("group {name}: this machine lacks it; made"),
        Surrounding::Datagrams { address, count } => {
            format!("{address}: {count} datagrams sent there; nobody receives them")
        }
        Surrounding::OtherServer { address, name, response } => {
            let name = name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
            let responds = match response {
                StandInResponse::Status(status) => format!("it responds {status}"),
                StandInResponse::None { protocol } => format!("it does not respond ({protocol})"),
            };
            format!("{address}{name}: asked too, and no backend; {responds}")
        }
    }
}

fn describe_change(change: FileChange) -> &'static str {
    match change {
        FileChange::Certificate => "cannot be used here; a certificate of our own stands in",
        FileChange::WantedCertificate => "a certificate of our own stands in, as --certificate stand-in says",
        FileChange::Revocations => "cannot be used here; an empty list of revoked certificates stands in",
        FileChange::DiffieHellman => "cannot be used here; the group ffdhe2048 stands in",
        FileChange::MoreAuthorities => "an authority of ours is trusted too",
        FileChange::Made => "this machine lacks that folder; made",
        FileChange::Copied => "written in the private copy only",
    }
}
