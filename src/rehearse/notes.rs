//! In what a rehearsal differs from production, for its report.

use std::net::{IpAddr, SocketAddr};

use verdict::surroundings::{StandInResponse, Surrounding};

use crate::rehearse::Surroundings;
use crate::rehearse::group::{self, Group};
use crate::rehearse::naming::{Listens, RehearsedBackend};
use crate::rehearse::order::{self, RehearsalPlan};
use crate::rehearse::responder::Responder;

impl Surroundings {
    pub(super) fn notes(
        &self,
        order: &RehearsalPlan,
        groups: &[&Group],
        backends: &[RehearsedBackend],
        others: &[Responder],
        lacking: &[IpAddr],
    ) -> Vec<Surrounding> {
        let names = backends.iter().map(|backend| backend.name.clone()).collect();
        let upstreams = groups.iter().filter_map(|group| group.name.clone()).collect();
        let mut notes = vec![Surrounding::Backends { upstreams, backends: names }];
        notes.extend(groups.iter().flat_map(|group| group.repeated()));
        notes.extend(groups.iter().flat_map(|group| group.one_address(order, &self.names)));
        // The servers of other groups are asked for those.
        let of_file = group::all_of(order, &self.names);
        for backend in backends {
            let of = |address: &Listens| Surrounding::HealthAddress {
                address: address.to_string(),
                backend: backend.name.clone(),
            };
            notes.extend(backend.health.iter().filter(|it| !of_file.contains(it)).map(of));
        }
        for asked in self.names.asked() {
            if !asked.addresses.iter().any(IpAddr::is_loopback) {
                let addresses = asked.addresses.iter().map(ToString::to_string).collect();
                notes.push(Surrounding::InventedAddress { name: asked.name, addresses });
            }
        }
        notes.extend(lacking.iter().map(|ip| Surrounding::AddedAddress { address: ip.to_string() }));
        notes.extend(self.remedied.notes.iter().cloned());
        // Such as syslog or a resolver of another kind: nobody answers.
        let seen = self.scout.seen();
        let is_unheard = |it: &SocketAddr| it.port() != 53 && !seen.questions.contains(it) && !order::is_here(it.ip());
        for (address, count) in seen.datagrams.iter().filter(|(it, _)| is_unheard(it)) {
            notes.push(Surrounding::Datagrams { address: address.to_string(), count: *count });
        }
        notes.extend(others.iter().filter_map(|other| self.note_other(other)));
        notes
    }

    /// A server that is no backend, if the balancer spoke to it.
    fn note_other(&self, other: &Responder) -> Option<Surrounding> {
        let response = match (other.requests(), other.foreign()) {
            (0, None) => return None,
            (0, Some(what)) => StandInResponse::None { protocol: what.to_string() },
            (_, _) => StandInResponse::Status(other.status),
        };
        let address = other.listens.address();
        let name = address.and_then(|it| Some(format!("{}:{}", self.names.name_of(it.ip())?.0, it.port())));
        Some(Surrounding::OtherServer { address: other.listens.to_string(), name, response })
    }
}
