//! Frontends of a `haproxy.cfg` that divide requests between backends by chance: `use_backend canary if { rand(100) lt 10 }`.

use std::collections::BTreeMap;

use crate::balancer::read::configuration::Upstream;

/// Which backends the sections of a file lead to, and on what condition.
#[derive(Default)]
pub(super) struct Frontends {
    all: Vec<Frontend>,
}

#[derive(Default)]
struct Frontend {
    default: Option<String>,
    /// Each `use_backend` line, in order.
    rules: Vec<BackendRule>,
    /// The tests of an ACL, by its name.
    lists: BTreeMap<String, Vec<Vec<String>>>,
}

struct BackendRule {
    backend: String,
    condition: Vec<String>,
}

/// The part of the requests that a rule takes by chance: `part` in `of`.
#[derive(Clone, Copy)]
struct DrawnPart {
    part: u32,
    of: u32,
}

impl Frontends {
    /// Another section begins.
    pub(super) fn open(&mut self) {
        self.all.push(Frontend::default());
    }

    /// Notes a line of the section that was opened last.
    pub(super) fn note(&mut self, words: &[String]) {
        let Some(frontend) = self.all.last_mut() else { return };
        match words {
            [keyword, name] if keyword == "default_backend" => frontend.default = Some(name.clone()),
            [keyword, name, condition @ ..] if keyword == "use_backend" => {
                frontend.rules.push(BackendRule { backend: name.clone(), condition: condition.to_vec() });
            }
            [keyword, name, test @ ..] if keyword == "acl" => {
                frontend.lists.entry(name.clone()).or_default().push(test.to_vec());
            }
            _ => {}
        }
    }

    /// Makes one group of the backends between which a frontend divides its requests. Where something else leads to one of them too, who
    /// was asked does not say by which way.
    pub(super) fn join(&self, upstreams: &mut Vec<Upstream>) {
        // The name of a backend may be computed.
        if self.targets().any(|name| name.contains("%[")) {
            return;
        }
        for parts in self.all.iter().filter_map(Frontend::split) {
            let is_alone = |name: &str| self.targets().filter(|it| *it == name).count() == 1;
            let find = |(name, weight): &(&str, u32)| {
                let backend = upstreams.iter().find(|it| it.name == *name && is_alone(name))?;
                Some((backend.clone(), *weight))
            };
            let Some(split) = parts.iter().map(find).collect::<Option<Vec<_>>>() else { continue };
            upstreams.retain(|it| parts.iter().all(|(name, _)| *name != it.name));
            upstreams.push(Upstream::split(split));
        }
    }

    fn targets(&self) -> impl Iterator<Item = &str> {
        self.all.iter().flat_map(|frontend| {
            frontend.rules.iter().map(|rule| rule.backend.as_str()).chain(frontend.default.as_deref())
        })
    }
}

impl Frontend {
    /// Its default backend and those that rules take a part for, with their weights: each rule draws anew, of what those before it left.
    fn split(&self) -> Option<Vec<(&str, u32)>> {
        let drawn: Vec<(&str, DrawnPart)> =
            self.rules.iter().filter_map(|rule| Some((rule.backend.as_str(), self.chance(&rule.condition)?))).collect();
        let whole = drawn.iter().try_fold(1u32, |all, (_, chance)| all.checked_mul(chance.of))?;
        let mut left = whole;
        // Each divisor of the whole is still one of what is left.
        let parts: Vec<(&str, u32)> = drawn
            .into_iter()
            .map(|(name, chance)| {
                let part = left / chance.of * chance.part;
                left -= part;
                (name, part)
            })
            .collect();
        let rest = (self.default.as_deref().filter(|_| !parts.is_empty())?, left);
        Some([&[rest], parts.as_slice()].concat())
    }

    fn chance(&self, condition: &[String]) -> Option<DrawnPart> {
        match condition {
            [word, open, test @ .., close] if word == "if" && open == "{" && close == "}" => chance(test),
            [word, list] if word == "if" => match self.lists.get(list)?.as_slice() {
                [test] => chance(test),
                _ => None,
            },
            _ => None,
        }
    }
}

/// How often `rand(100) lt 10` is true: of 100 numbers from 0 on, 10 are.
fn chance(test: &[String]) -> Option<DrawnPart> {
    let [draw, test @ ..] = test else { return None };
    let of: u32 = draw.strip_prefix("rand(")?.strip_suffix(')')?.parse().ok()?;
    let test = match test {
        [option, matching, test @ ..] if option == "-m" && matching == "int" => test,
        test => test,
    };
    let [relation, number] = test else { return None };
    let number: u32 = number.parse().ok()?;
    let part = match relation.as_str() {
        "lt" => number,
        "le" => number.checked_add(1)?,
        "ge" => of.checked_sub(number)?,
        "gt" => of.checked_sub(number)?.checked_sub(1)?,
        _ => return None,
    };
    (part <= of && of > 0).then_some(DrawnPart { part, of })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::read::configuration::UpstreamMethod;

    fn joined(frontends: &str) -> Vec<Upstream> {
        let mut all = Frontends::default();
        for line in frontends.lines() {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            if words.first().is_some_and(|it| it == "frontend") { all.open() } else { all.note(&words) }
        }
        let mut upstreams: Vec<Upstream> = ["app", "canary", "static"].map(Upstream::named).into();
        all.join(&mut upstreams);
        upstreams
    }

    fn weights(frontends: &str) -> Option<(u32, u32)> {
        joined(frontends).iter().find_map(|it| match &it.method {
            UpstreamMethod::Split(parts) => Some((parts[0].weight, parts[1].weight)),
            UpstreamMethod::Known(_) | UpstreamMethod::Unknown(_) => None,
        })
    }

    #[test]
    fn a_backend_that_chance_chooses_takes_its_part_from_the_default() {
        for (condition, part) in [
            ("if { rand(100) lt 10 }", 10),
            ("if { rand(100) le 10 }", 11),
            ("if { rand(100) -m int ge 95 }", 5),
            ("if { rand(100) gt 94 }", 5),
            ("if some", 20),
        ] {
            let text =
                format!("frontend a\nacl some rand(100) lt 20\nuse_backend canary {condition}\ndefault_backend app");
            assert_eq!(weights(&text), Some((100 - part, part)), "{condition}");
        }
        let names: Vec<String> = joined("frontend a\nuse_backend static if { path_beg /s }\nuse_backend canary if { rand(9) lt 1 }\ndefault_backend app")
            .into_iter()
            .map(|it| it.name)
            .collect();
        assert_eq!(names, ["static", "app+canary"]);
    }

    #[test]
    fn each_rule_draws_of_what_those_before_it_left() {
        let parts = |rules: &str| {
            let all = joined(&format!("frontend a\n{rules}\ndefault_backend app"));
            let UpstreamMethod::Split(parts) = &all.last().unwrap().method else { panic!("{all:?}") };
            parts.iter().map(|it| (it.name.clone(), it.weight)).collect::<Vec<_>>()
        };
        let of =
            |app, canary, fixed| [("app", app), ("canary", canary), ("static", fixed)].map(|(a, b)| (a.to_owned(), b));
        let thirds = "use_backend canary if { rand(3) lt 1 }\nuse_backend static if { rand(2) lt 1 }";
        assert_eq!(parts(thirds), of(2, 2, 2));
        let few = "use_backend canary if { rand(100) lt 5 }\nuse_backend static if { rand(100) lt 10 }";
        assert_eq!(parts(few), of(8_550, 500, 950));
        let too_large =
            format!("frontend a\n{}default_backend app", "use_backend canary if { rand(100000) lt 5 }\n".repeat(3));
        assert_eq!(joined(&too_large).len(), 3);
    }

    #[test]
    fn what_else_may_lead_to_a_backend_leaves_its_part_open() {
        const DRAWN: &str = "frontend a\nuse_backend canary if { rand(100) lt 10 }\ndefault_backend app\n";
        assert_eq!(weights(DRAWN), Some((90, 10)));
        for more in [
            "use_backend app if { path_beg /api }",
            "use_backend canary if { hdr(x-canary) 1 }",
            "use_backend canary if { rand(100) lt 5 }",
            "frontend b\ndefault_backend app",
            "frontend b\nuse_backend %[req.hdr(host)]",
        ] {
            assert_eq!(weights(&format!("{DRAWN}{more}")), None, "{more}");
        }
        for condition in ["unless { rand(100) lt 10 }", "if { rand(100) lt 10 } { path / }", "if { rand(100) 5 }", ""] {
            let text = format!("frontend a\nuse_backend canary {condition}\ndefault_backend app");
            assert_eq!(weights(&text), None, "{condition}");
        }
        assert_eq!(weights("frontend a\nuse_backend canary if { rand(100) lt 10 }"), None);
    }
}
