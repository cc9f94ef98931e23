//! The virtual clients of a load: in what their requests differ, which one sends the next, and what each has been given.

use std::time::SystemTime;

use crate::check::load::affinity::SessionPlace;
use crate::check::load::cookies::{CookieOrigin, Jar};
use crate::check::load::request::{Parts, Payload, Template};
use crate::check::load::samples::Samples;
use crate::check::load::{Load, LoadTarget, Reuse};

/// In what the requests of virtual clients differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Vary {
    /// There is one client.
    Nothing,
    /// Their addresses, in 127.0.0.0/16; each connection belongs to a client.
    Source { clients: u32 },
    /// Each client requests a path of its own.
    Path {
        /// In which `{}` stands for the client's number.
        template: String,
        clients: u32,
    },
    /// A header whose value is `client-N`.
    Header { name: String, clients: u32 },
    /// A cookie whose value is `client-N`.
    Cookie { name: String, clients: u32 },
    /// Each sends the cookies that it was given.
    Jar { clients: u32 },
    /// Each brings the id of the session that a backend opened for it.
    Session {
        /// Where a response carries the session's id, and where requests bring it back.
        place: SessionPlace,
        clients: u32,
    },
}

impl Vary {
    /// How many virtual clients there are.
    pub(crate) fn clients(&self) -> u32 {
        match self {
            Vary::Nothing => 1,
            Vary::Source { clients }
            | Vary::Path { clients, .. }
            | Vary::Header { clients, .. }
            | Vary::Cookie { clients, .. }
            | Vary::Jar { clients }
            | Vary::Session { clients, .. } => (*clients).max(1),
        }
    }

    /// Whether the requests of two clients are the same.
    fn is_of_the_connection(&self) -> bool {
        matches!(self, Vary::Nothing | Vary::Source { .. })
    }
}

/// Requests of one client on a connection before the next client's turn, where connections are fewer.
const ROUND: u64 = 8;

/// Where clients have sessions, every fourth request is one of these few: a session that ends after some uses is used often enough to end.
const REGULARS: u32 = 8;
const REGULAR_TURNS: u64 = 4;

pub(super) struct Clients<'a> {
    load: &'a Load,
    count: u32,
    /// The client that sends next.
    next: u32,
    /// Requests that were given to clients with sessions.
    turns: u64,
    first: Vec<First>,
    jars: Vec<Jar>,
    /// The id of each client's session, where backends open them.
    sessions: Vec<Option<String>>,
    origins: Vec<CookieOrigin>,
    /// By client, target and body; one for all clients whose requests are the same.
    templates: Vec<Option<Template>>,
    round: u64,
}

/// What became of a client's first request: what a balancer remembers of a client it may learn from the first response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum First {
    Unsent,
    InFlight,
    Answered,
}

impl<'a> Clients<'a> {
    pub(super) fn new(load: &'a Load) -> Clients<'a> {
        let count = load.vary.clients();
        let own = if load.vary.is_of_the_connection() { 1 } else { count as usize };
        let jars = match load.vary {
            Vary::Jar { .. } => vec![Jar::default(); count as usize],
            Vary::Nothing
            | Vary::Source { .. }
            | Vary::Path { .. }
            | Vary::Header { .. }
            | Vary::Cookie { .. }
            | Vary::Session { .. } => Vec::new(),
        };
        let sessions = match load.vary {
            Vary::Session { .. } => vec![None; count as usize],
            Vary::Nothing
            | Vary::Source { .. }
            | Vary::Path { .. }
            | Vary::Header { .. }
            | Vary::Cookie { .. }
            | Vary::Jar { .. } => Vec::new(),
        };
        let origin = |target: &LoadTarget| CookieOrigin::new(load.host_of(target), &target.path, target.tls.is_some());
        let each = load.requests.map_or(ROUND, |requests| requests / u64::from(count) / 3);
        Clients {
            load,
            count,
            next: 0,
            turns: 0,
            first: vec![First::Unsent; count as usize],
            jars,
            sessions,
            origins: load.targets.iter().map(origin).collect(),
            templates: (0..own * load.targets.len() * load.request.payloads.len().max(1)).map(|_| None).collect(),
            round: each.clamp(1, ROUND),
        }
    }

    /// Whether each connection belongs to a client.
    pub(super) fn have_connections(&self) -> bool {
        matches!(self.load.vary, Vary::Source { .. })
    }

    fn keep_connections(&self) -> bool {
        self.have_connections() && self.load.reuse == Reuse::Kept
    }

    /// The client that a slot begins with.
    pub(super) fn of_slot(&self, slot: usize) -> u32 {
        (slot % self.count as usize) as u32
    }

    /// Who sends the next request, on a slot that has sent that many in a row for a client of its own. None while each waits for
    /// its first response.
    pub(super) fn take(&mut self, slot: SlotClient, slots: usize) -> Option<u32> {
        if self.count == 1 {
            return Some(0);
        }
        if self.keep_connections() {
            let moves_on = self.count as usize > slots && slot.in_a_row >= self.round;
            return Some(if moves_on {
                ((slot.client as usize + slots) % self.count as usize) as u32
            } else {
                slot.client
            });
        }
        if let Some(regular) = self.regular() {
            return Some(regular);
        }
        for _ in 0..self.count {
            let client = self.next;
            self.next = (self.next + 1) % self.count;
            let first = &mut self.first[client as usize];
            if *first != First::InFlight {
                if *first == First::Unsent {
                    *first = First::InFlight;
                }
                return Some(client);
            }
        }
        None
    }

    /// A client that comes more often than others, if it is the turn of one that has had its first response.
    fn regular(&mut self) -> Option<u32> {
        if !matches!(self.load.vary, Vary::Jar { .. } | Vary::Session { .. }) || self.count < 2 * REGULARS {
            return None;
        }
        self.turns += 1;
        let client = (self.turns / REGULAR_TURNS % u64::from(REGULARS)) as u32;
        let is_regular = self.turns.is_multiple_of(REGULAR_TURNS);
        (is_regular && self.first[client as usize] == First::Answered).then_some(client)
    }

    /// A request of a client is over.
    pub(super) fn end(&mut self, client: u32, answered: bool) {
        let first = &mut self.first[client as usize];
        if *first == First::InFlight {
            *first = if answered { First::Answered } else { First::Unsent };
        }
    }

    /// Forgets a client's cookies whose time is over: with the next request it comes as somebody new. The name of one.
    pub(super) fn forget_cookies(&mut self, client: u32) -> Option<String> {
        let jar = self.jars.get_mut(client as usize).filter(|jar| jar.may_expire())?;
        let name = jar.forget(SystemTime::now())?;
        self.first[client as usize] = First::InFlight;
        self.renew(client);
        Some(name)
    }

    /// What a client sends has changed.
    fn renew(&mut self, client: u32) {
        let each = self.load.targets.len() * self.load.request.payloads.len().max(1);
        self.templates[client as usize * each..][..each].fill(None);
    }

    /// The request of a client to that target, with the body of that number.
    pub(super) fn template(&mut self, client: u32, target: usize, body: usize) -> &mut Template {
        let bodies = self.load.request.payloads.len().max(1);
        let own = if self.load.vary.is_of_the_connection() { 0 } else { client as usize };
        let place = (own * self.load.targets.len() + target) * bodies + body % bodies;
        let jar = self.jars.get(client as usize);
        self.templates[place].get_or_insert_with(|| {
            let cookies = jar.and_then(|jar| jar.header(&self.origins[target], SystemTime::now()));
            let session = self.sessions.get(client as usize).and_then(Option::as_deref);
            let brought = Brought { cookies, session };
            template(self.load, client, &self.load.targets[target], self.load.request.payload(body), brought)
        })
    }

    /// Keeps the id of a session: the latest counts, for a backend may give another.
    pub(super) fn keep_session(&mut self, client: u32, id: &str, samples: &mut Samples) {
        let Some(session) = self.sessions.get_mut(client as usize) else { return };
        if session.as_deref() == Some(id) {
            return;
        }
        samples.sessions += u64::from(session.is_none());
        *session = Some(id.to_owned());
        self.renew(client);
    }

    /// Obeys the cookies of a response; what is not kept is noted with the reason.
    pub(super) fn keep_cookies(
        &mut self,
        client: u32,
        target: usize,
        cookies: &[String],
        now: SystemTime,
        samples: &mut Samples,
    ) {
        let Some(jar) = self.jars.get_mut(client as usize) else { return };
        let mut changed = false;
        for value in cookies {
            match jar.set(value, &self.origins[target], now) {
                Ok(now_differs) => changed |= now_differs,
                Err(why) => samples.refuse_cookie(value, &why),
            }
        }
        if changed {
            self.renew(client);
        }
    }
}

/// What a slot's connection has carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SlotClient {
    pub(super) client: u32,
    pub(super) in_a_row: u64,
}

/// What a client was given, and brings back.
struct Brought<'a> {
    cookies: Option<String>,
    session: Option<&'a str>,
}

/// Sets a field in place of the user's own: one of that name decides.
fn set(headers: &mut Vec<(String, String)>, name: &str, value: String) {
    let is_named = |field: &(String, String)| field.0.eq_ignore_ascii_case(name);
    let Some(place) = headers.iter().position(is_named) else { return headers.push((name.to_owned(), value)) };
    headers[place].1 = value;
    let later = headers.split_off(place + 1);
    headers.extend(later.into_iter().filter(|field| !is_named(field)));
}

/// The request that a client sends each time.
fn template(load: &Load, client: u32, target: &LoadTarget, payload: Option<&Payload>, brought: Brought) -> Template {
    let mut path = target.path.clone();
    let mut headers = load.request.headers.clone();
    let own_cookie = headers.iter().position(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    let mut set_cookie = |pair: String| match own_cookie {
        Some(place) => headers[place].1 += &format!("; {pair}"),
        None => headers.push(("Cookie".to_owned(), pair)),
    };
    match &load.vary {
        Vary::Nothing | Vary::Source { .. } => {}
        Vary::Path { template, .. } => path = template.replace("{}", &client.to_string()),
        Vary::Header { name, .. } => {
            set(&mut headers, name, format!("client-{client}"));
        }
        Vary::Cookie { name, .. } => set_cookie(format!("{name}=client-{client}")),
        Vary::Jar { .. } => brought.cookies.into_iter().for_each(set_cookie),
        Vary::Session { place, .. } => {
            if let (Some(name), Some(id)) = (place.header(), brought.session) {
                set(&mut headers, name, id.to_owned());
            }
        }
    }
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let parts = Parts {
        method: &load.request.method,
        path: &path,
        host: &target.host,
        headers: &headers,
        payload,
        expect_continue: load.request.expect_continue,
        given_cookies: matches!(load.vary, Vary::Jar { .. } | Vary::Cookie { .. }),
        last: load.reuse == Reuse::New,
        secure: target.tls.is_some(),
    };
    Template::new(&parts, load.run)
}
