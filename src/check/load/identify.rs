//! Who answered: by our headers, our page, or where the user says that a backend's name is; and the list of backends
//! that were seen.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use uuid::Uuid;

use crate::check::load::cookies::name_and_value;
use crate::check::load::page::{Named, UUID_BYTES};
use crate::check::load::request::ID_BYTES;
use verdict::Instance;
use verdict::observation::{Backend, Echo};

/// A body with a backend's name is kept up to here.
const KEPT_LIMIT: usize = 1024 * 1024;

/// Where the name of the backend is found in a response.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// In our headers; without those, on our page. The responses are verified.
    Fleet,
    /// The value of this response header.
    Header(String),
    /// The value of this cookie, where a response sets it.
    Cookie(String),
    /// In a body of JSON, at this pointer (RFC 6901).
    Json(String),
    /// What the first group of this expression matches in the body, or all of it if it has no group.
    Regex(regex_lite::Regex),
}

impl Identity {
    /// Whether responses are verified to be those of our backends.
    pub(crate) fn is_fleet(&self) -> bool {
        matches!(self, Identity::Fleet)
    }

    /// Whether the name stands in the body.
    fn is_in_body(&self) -> bool {
        matches!(self, Identity::Json(_) | Identity::Regex(_))
    }

    /// The name in a body.
    pub(crate) fn find(&self, body: &[u8]) -> Option<String> {
        match self {
            Identity::Fleet | Identity::Header(_) | Identity::Cookie(_) => None,
            Identity::Json(pointer) => {
                let document: serde_json::Value = serde_json::from_slice(body).ok()?;
                match document.pointer(pointer)? {
                    serde_json::Value::Null => None,
                    serde_json::Value::String(text) => Some(text.clone()),
                    other => Some(other.to_string()),
                }
            }
            Identity::Regex(expression) => {
                let body = String::from_utf8_lossy(body);
                let groups = expression.captures(&body)?;
                groups.get(1).or_else(|| groups.get(0)).map(|name| name.as_str().to_owned())
            }
        }
    }
}

/// What a response says of who gave it and to what.
#[derive(Debug)]
pub(super) struct Identify {
    asked: [u8; ID_BYTES],
    pub(super) backend: Backend,
    pub(super) echo: Echo,
    pub(super) named: Option<Named<String>>,
    /// What stands in the field that the user named.
    user_named: Option<String>,
    pub(super) instance: Option<Instance>,
    /// The response id that a header carries.
    pub(super) response: Option<[u8; UUID_BYTES]>,
    pub(super) response_id: Uuid,
    /// The head names two, or none that can be one.
    pub(super) contradicts: bool,
    /// Of a body that has the backend's name.
    kept: Vec<u8>,
}

impl Identify {
    /// Nothing is known of a response to the request with that id.
    pub(super) fn new(asked: [u8; ID_BYTES]) -> Identify {
        Identify {
            asked,
            backend: Backend::UNKNOWN,
            echo: Echo::None,
            named: None,
            user_named: None,
            instance: None,
            response: None,
            response_id: Uuid::nil(),
            contradicts: false,
            kept: Vec::new(),
        }
    }

    /// The id of the response, once more if it says so twice.
    pub(super) fn see_response(&mut self, value: &[u8]) {
        let text: Option<[u8; UUID_BYTES]> = value.try_into().ok();
        let id = text.and_then(|text| Uuid::try_parse_ascii(&text).ok()).filter(|id| !id.is_nil());
        self.contradicts |= id.is_none() || self.response.is_some_and(|earlier| text != Some(earlier));
        if let (Some(id), None) = (id, self.response) {
            self.response = text;
            self.response_id = id;
        }
    }

    /// A field where the user says that the backend's name stands.
    pub(super) fn see_field(&mut self, identity: &Identity, name: &str, value: &[u8]) {
        match identity {
            Identity::Header(wanted) if name.eq_ignore_ascii_case(wanted) => self.see_name(value),
            Identity::Cookie(wanted) if name.eq_ignore_ascii_case("set-cookie") => {
                let set = name_and_value(&String::from_utf8_lossy(value)).filter(|(name, _)| name == wanted);
                set.iter().for_each(|(_, value)| self.see_name(value.as_bytes()));
            }
            Identity::Fleet | Identity::Header(_) | Identity::Cookie(_) | Identity::Json(_) | Identity::Regex(_) => {}
        }
    }

    pub(super) fn see_generator(&mut self, value: &[u8]) {
        self.see_named(Named::read_number(value));
    }

    pub(super) fn see_backend_name(&mut self, value: &[u8]) {
        self.see_named(
            str::from_utf8(value).ok().filter(|name| !name.is_empty()).map(|name| Named::Name(name.to_owned())),
        );
    }

    fn see_named(&mut self, named: Option<Named<String>>) {
        self.contradicts |= named.is_none() || self.named.is_some() && self.named != named;
        if self.named.is_none() {
            self.named = named;
        }
    }

    pub(super) fn see_instance(&mut self, value: &[u8]) {
        let instance = Instance::from_bytes(value);
        self.contradicts |= instance.is_none() || self.instance.is_some() && self.instance != instance;
        self.instance = self.instance.or(instance);
    }

    pub(super) fn see_echo(&mut self, value: &[u8]) {
        let own = *value == self.asked && self.echo != Echo::Other;
        self.echo = if own { Echo::Own } else { Echo::Other };
    }

    /// A field that the user named; all of that name are one list (RFC 9110 §5.3).
    pub(super) fn see_name(&mut self, value: &[u8]) {
        let value = String::from_utf8_lossy(value);
        match &mut self.user_named {
            Some(name) => {
                name.push_str(", ");
                name.push_str(&value);
            }
            None => self.user_named = Some(value.into_owned()),
        }
    }

    /// The head is complete.
    pub(super) fn end_head(&mut self, identity: &Identity, backends: &mut BackendNames) {
        if let (Identity::Fleet, Some(named)) = (identity, &self.named) {
            self.backend = backends.of(named, self.instance);
        }
        if let Some(name) = &self.user_named {
            self.backend = backends.of_name(responding(name));
        }
    }

    /// Whether the head names one of our backends.
    pub(super) fn is_ours(&self) -> bool {
        self.named.is_some() || self.response.is_some()
    }

    /// A piece of the body.
    pub(super) fn see_data(&mut self, data: &[u8], identity: &Identity) {
        if identity.is_in_body() {
            let room = KEPT_LIMIT - self.kept.len();
            self.kept.extend_from_slice(&data[..data.len().min(room)]);
        }
    }

    /// Whether the head names another backend than the page.
    pub(super) fn says_another(&self, page: Named<&str>) -> bool {
        match (&self.named, page) {
            (None, _) => false,
            (Some(Named::Number(said)), Named::Number(number)) => *said != number,
            (Some(Named::Name(said)), Named::Name(name)) => said != name,
            (Some(Named::Number(_)), Named::Name(_)) | (Some(Named::Name(_)), Named::Number(_)) => true,
        }
    }

    /// Our page says who wrote it, where the head does not.
    pub(super) fn see_page(&mut self, named: Named<&str>, uuid: &[u8; UUID_BYTES], backends: &mut BackendNames) {
        if self.named.is_none() {
            self.backend = backends.of(&named, self.instance);
        }
        if self.response.is_none() {
            self.response_id = Uuid::try_parse_ascii(uuid).unwrap_or_default();
        }
    }

    /// The body has ended.
    pub(super) fn end_body(&mut self, identity: &Identity, backends: &mut BackendNames) {
        if identity.is_in_body()
            && let Some(name) = identity.find(&self.kept)
        {
            self.backend = backends.of_name(&name);
        }
    }
}

/// Of a list of addresses the last: NGINX writes all that it tried into `$upstream_addr`, with commas, and colons where it began anew.
fn responding(name: &str) -> &str {
    let addresses = || name.split(", ").flat_map(|part| part.split(" : ")).map(str::trim);
    let are_addresses = addresses().all(|address| address.parse::<SocketAddr>().is_ok());
    addresses().last().filter(|_| are_addresses).unwrap_or(name)
}

/// The backends of a run, by number. Names beyond 4096 stay unknown: they are no names of backends.
#[derive(Clone, Debug)]
pub(crate) struct BackendNames {
    names: Vec<String>,
    /// The index of each name.
    by_name: HashMap<String, Backend>,
    by_instance: HashMap<Instance, Backend>,
    /// Names of which each is several backends': what tells those apart is the process.
    shared: HashSet<String>,
    /// Places of generator numbers.
    generators: Vec<Backend>,
}

const MOST: usize = 4096;

impl BackendNames {
    /// Those that will be seen, in this order: places in it are what observations say.
    pub(crate) fn new(names: Vec<String>) -> BackendNames {
        let mut generators = vec![Backend::UNKNOWN; usize::from(u16::MAX) + 1];
        let mut by_name = HashMap::new();
        for (name, place) in names.iter().zip(0..) {
            by_name.entry(name.clone()).or_insert(Backend(place));
            if let Ok(number) = name.parse::<u16>() {
                generators[usize::from(number)] = Backend(place);
            }
        }
        BackendNames { names, by_name, by_instance: HashMap::new(), shared: HashSet::new(), generators }
    }

    /// All of them, those that were seen and not expected at the end.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of one; none for [`Backend::UNKNOWN`].
    pub(crate) fn name(&self, backend: Backend) -> Option<&str> {
        self.names.get(usize::from(backend.0)).map(String::as_str)
    }

    /// Tells which processes are whose, and which names are not of one backend alone.
    pub(crate) fn know<'a>(
        &mut self,
        instances: impl IntoIterator<Item = (Instance, u16)>,
        shared: impl IntoIterator<Item = &'a str>,
    ) {
        self.by_instance.extend(instances.into_iter().map(|(instance, place)| (instance, Backend(place))));
        self.shared.extend(shared.into_iter().map(str::to_owned));
    }

    /// The backend of a response.
    pub(crate) fn of<T: AsRef<str>>(&mut self, named: &Named<T>, instance: Option<Instance>) -> Backend {
        if let Some(instance) = instance {
            if let Some(known) = self.by_instance.get(&instance) {
                return *known;
            }
            let name = match named {
                Named::Number(number) => number.to_string(),
                Named::Name(name) => name.as_ref().to_owned(),
            };
            if self.shared.contains(&name) {
                let backend = self.of_name(&format!("{name} ({instance})"));
                self.by_instance.insert(instance, backend);
                return backend;
            }
        }
        match named {
            Named::Number(number) => self.of_generator(*number),
            Named::Name(name) => self.of_name(name.as_ref()),
        }
    }

    /// The backend with that generator number.
    pub(crate) fn of_generator(&mut self, number: u16) -> Backend {
        let known = self.generators[usize::from(number)];
        if known.is_known() {
            return known;
        }
        let backend = self.of_name(&number.to_string());
        self.generators[usize::from(number)] = backend;
        backend
    }

    /// The backend with that name, which is new if no other has it.
    pub(crate) fn of_name(&mut self, name: &str) -> Backend {
        if let Some(known) = self.by_name.get(name) {
            return *known;
        }
        if self.names.len() >= MOST {
            return Backend::UNKNOWN;
        }
        self.names.push(name.to_owned());
        let backend = Backend((self.names.len() - 1) as u16);
        self.by_name.insert(name.to_owned(), backend);
        backend
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_keep_their_places_and_unexpected_ones_come_last() {
        let mut backends = BackendNames::new(vec!["9001".to_owned(), "9002".to_owned()]);
        assert_eq!(backends.of_generator(9002), Backend(1));
        assert_eq!(backends.of_generator(80), Backend(2));
        assert_eq!((backends.of_generator(80), backends.of_name("80")), (Backend(2), Backend(2)));
        assert_eq!(backends.of_name("web 2"), Backend(3));
        assert_eq!(backends.names(), ["9001", "9002", "80", "web 2"]);
        assert_eq!((backends.name(Backend(0)), backends.name(Backend::UNKNOWN)), (Some("9001"), None));
    }

    #[test]
    fn backends_that_share_a_name_are_told_apart_by_their_processes() {
        let mut backends = BackendNames::new(vec!["9001@a".to_owned(), "9001@b".to_owned(), "9002".to_owned()]);
        backends.know([(Instance(1), 0), (Instance(2), 1), (Instance(3), 2)], ["9001", "9001"]);
        let number = |number| Named::<&str>::Number(number);
        assert_eq!(backends.of(&number(9001), Some(Instance(2))), Backend(1));
        assert_eq!(backends.of(&number(9001), Some(Instance(1))), Backend(0));
        // A backend that was started again keeps its name, where it is its own.
        assert_eq!(backends.of(&number(9002), Some(Instance(4))), Backend(2));
        assert_eq!(backends.of(&number(9001), Some(Instance(5))), Backend(3));
        assert_eq!(backends.name(Backend(3)), Some("9001 (0000000000000005)"));
    }

    #[test]
    fn names_without_end_are_no_backends() {
        let mut backends = BackendNames::new(Vec::new());
        for number in 0..MOST {
            assert!(backends.of_name(&format!("request {number}")).is_known());
        }
        assert!(!backends.of_name("one more").is_known());
        assert!(backends.of_name("request 7").is_known());
    }
}
