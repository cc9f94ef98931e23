//! What manifests and compose files say of the containers that they run.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::topology::StartFaults;

/// What was asked for. Writers of anything else refuse it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Containers {
    pub(crate) image: Option<Image>,
    /// How many backends there are, instead of the fleet's ports.
    pub(crate) replicas: Option<NonZeroU16>,
    pub(crate) namespace: Option<DnsLabel>,
    /// None: a Secret of the usual name is there.
    pub(crate) token: Option<FleetToken>,
    /// Faults that backends have from their start.
    pub(crate) faults: Option<StartFaults>,
}

/// What the APIs of all fleets take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FleetToken {
    /// The file has a Secret with this token.
    New(String),
    /// A Secret has it, by its key `token`.
    Secret(DnsLabel),
}

impl Containers {
    /// What is written without any option for containers.
    pub(crate) const PLAIN: Containers =
        Containers { image: None, replicas: None, namespace: None, token: None, faults: None };

    /// The option that asks for more than what is written anyway.
    pub(crate) fn asked(&self) -> Option<&'static str> {
        let options = [
            (self.image.is_some(), "--image"),
            (self.replicas.is_some(), "--replicas"),
            (self.namespace.is_some(), "--namespace"),
            (matches!(self.token, Some(FleetToken::Secret(_))), "--token-secret"),
        ];
        options.into_iter().find_map(|(is_asked, option)| is_asked.then_some(option))
    }

    /// The one that was asked for, else this version by the name that `packaging/image` gives it.
    pub(crate) fn image(&self) -> String {
        const OWN: &str = concat!("uuid-generator:", env!("CARGO_PKG_VERSION"));
        self.image.as_ref().map_or_else(|| OWN.to_owned(), Image::to_string)
    }
}

/// A reference such as `registry.example:5000/uuid-generator:0.2.0`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Image(String);

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Image, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:@".contains(&byte);
        let begins = text.starts_with(|it: char| it.is_ascii_alphanumeric());
        let name = text.rsplit('/').next().unwrap_or_default();
        if !(begins && text.bytes().all(plain)) {
            return Err(format!("expected an image such as registry.example/uuid-generator:0.2.0, found {text:?}"));
        }
        // `latest` is what no tag means, and is pulled again each time: who loads an image into a node would not get it.
        if !name.contains([':', '@']) || name.ends_with(":latest") {
            return Err(format!("expected an image with a tag other than latest, such as {text}:0.2.0")
                .replace(":latest:", ":"));
        }
        Ok(Image(text.to_owned()))
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name in Kubernetes (RFC 1123): of a namespace, of a Secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DnsLabel(String);

impl FromStr for DnsLabel {
    type Err = String;

    fn from_str(text: &str) -> Result<DnsLabel, String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_label =
            (1..=63).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-') && !text.ends_with('-');
        if is_label {
            Ok(DnsLabel(text.to_owned()))
        } else {
            Err(format!(
                "expected at most 63 lower-case letters, digits and -, the first and the last no -, found {text:?}"
            ))
        }
    }
}

impl fmt::Display for DnsLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_tag_that_stays_what_it_is() {
        for text in ["uuid-generator:0.2.0", "registry.example:5000/a/b:1", "a@sha256:00ff"] {
            assert_eq!(text.parse::<Image>().unwrap().to_string(), text);
        }
        for text in ["", "a b:1", "a:1\n", "-a:1", "a", "registry.example:5000/a", "a:latest"] {
            assert!(text.parse::<Image>().is_err(), "{text}");
        }
        assert!("a:latest".parse::<Image>().unwrap_err().ends_with("such as a:0.2.0"));
    }

    #[test]
    fn names_are_those_of_kubernetes() {
        assert!("uuid-2".parse::<DnsLabel>().is_ok());
        for text in ["", "A", "a_b", "-a", "a-", "a.b", &"a".repeat(64)] {
            assert!(text.parse::<DnsLabel>().is_err(), "{text}");
        }
    }
}
