//! PURE. Where an answer says which backend gave it, and the list of backends that were seen.

use verdict::observation::Backend;

/// Where the name of the backend is found in an answer.
#[derive(Clone, Debug)]
pub enum Identity {
    /// In our headers; without those, on our page. The answers are verified.
    Fleet,
    /// In this header.
    Header(String),
    /// In a body of JSON, at this pointer (RFC 6901).
    Json(String),
    /// What the first group of this expression matches in the body, or all of it if it has no group.
    Regex(regex_lite::Regex),
}

impl Identity {
    /// Whether answers are verified to be those of our backends.
    pub fn is_fleet(&self) -> bool {
        matches!(self, Identity::Fleet)
    }

    /// The name in a body.
    pub fn find(&self, body: &[u8]) -> Option<String> {
        match self {
            Identity::Fleet | Identity::Header(_) => None,
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

/// The backends of a run, by number. Names beyond 4096 stay unknown: they are no names of backends.
#[derive(Clone, Debug)]
pub struct Backends {
    names: Vec<String>,
    /// Places of generator numbers.
    generators: Vec<Backend>,
}

const MOST: usize = 4096;

impl Backends {
    /// Those that will be seen, in this order: places in it are what observations say.
    pub fn new(names: Vec<String>) -> Backends {
        let mut generators = vec![Backend::UNKNOWN; usize::from(u16::MAX) + 1];
        for (name, place) in names.iter().zip(0..) {
            if let Ok(number) = name.parse::<u16>() {
                generators[usize::from(number)] = Backend(place);
            }
        }
        Backends { names, generators }
    }

    /// All of them, those that were seen and not expected at the end.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of one; none for [`Backend::UNKNOWN`].
    pub fn name(&self, backend: Backend) -> Option<&str> {
        self.names.get(usize::from(backend.0)).map(String::as_str)
    }

    /// The backend with that generator number.
    pub fn of_generator(&mut self, number: u16) -> Backend {
        let known = self.generators[usize::from(number)];
        if known.is_known() {
            return known;
        }
        let backend = self.of_name(&number.to_string());
        self.generators[usize::from(number)] = backend;
        backend
    }

    /// The backend with that name.
    pub fn of_name(&mut self, name: &str) -> Backend {
        if let Some(place) = self.names.iter().position(|known| known == name) {
            return Backend(place as u16);
        }
        if self.names.len() >= MOST {
            return Backend::UNKNOWN;
        }
        self.names.push(name.to_owned());
        Backend((self.names.len() - 1) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_keep_their_places_and_unexpected_ones_come_last() {
        let mut backends = Backends::new(vec!["9001".to_owned(), "9002".to_owned()]);
        assert_eq!(backends.of_generator(9002), Backend(1));
        assert_eq!(backends.of_generator(80), Backend(2));
        assert_eq!((backends.of_generator(80), backends.of_name("80")), (Backend(2), Backend(2)));
        assert_eq!(backends.of_name("web 2"), Backend(3));
        assert_eq!(backends.names(), ["9001", "9002", "80", "web 2"]);
        assert_eq!((backends.name(Backend(0)), backends.name(Backend::UNKNOWN)), (Some("9001"), None));
    }

    #[test]
    fn names_without_end_are_no_backends() {
        let mut backends = Backends::new(Vec::new());
        for number in 0..MOST {
            assert!(backends.of_name(&format!("request {number}")).is_known());
        }
        assert!(!backends.of_name("one more").is_known());
        assert!(backends.of_name("request 7").is_known());
    }
}
