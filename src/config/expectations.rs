//! The words of `--expect`, `--tolerance` and `--allow`.

use std::time::Duration;

use super::nearest::nearest;
use crate::error::Problem;
use crate::wire::Time;
use verdict::algorithm::{Algorithm, UnknownAlgorithm};
use verdict::outcome::Outcome;
use verdict::report::SharesSource;
use verdict::rules::{Expectations, ExpectedWeights, RequiredUnit, Requirement, TlsRequirement};

/// Expectations that are one word, and the forms of the others; the names of algorithms come from their crate.
const WORDS: [&str; 21] = [
    "even",
    "lossless",
    "intact",
    "client-address",
    "path:preserved",
    "host:preserved",
    "header:NAME:preserved",
    "backup:9003",
    "mirrored:20%",
    "status:2xx",
    "back:5s",
    "ejected:5",
    "errors-end:1s",
    "slow-start:10s",
    "tls:verified",
    "tls:revocation",
    "tls:sni",
    "tls:client-certificate",
    "per:request",
    "per:call",
    "per:connection",
];

/// Those that only a check of streams can judge.
const STREAM_WORDS: [&str; 3] = ["unbuffered:100ms", "alive:even", "uncut"];

fn known_words() -> impl Iterator<Item = &'static str> {
    WORDS.into_iter().chain(STREAM_WORDS)
}

/// Expectations that are one word, for completions.
pub(super) fn words() -> Vec<&'static str> {
    let plain = known_words().filter(|word| !word.contains("NAME"));
    plain.chain(Algorithm::ALL.map(Algorithm::name)).collect()
}

/// What is required, from the words of a user.
pub(super) fn resolve(expect: &[String], tolerance: Option<&str>, allow: &[String]) -> Result<Expectations, Problem> {
    let mut expectations = Expectations::default();
    for text in expect.iter().flat_map(|list| of_list(list)) {
        let text = text.as_str();
        match read(text)? {
            Expectation::Lossless => expectations.lossless = Some(true),
            Expectation::Backup(name) => expectations.expect_backup(name),
            Expectation::Shares(weights) => {
                refuse_a_second(text, expectations.shares.as_ref().filter(|first| **first != weights))?;
                expectations.shares = Some(weights);
                expectations.shares_by = SharesSource::User;
            }
            Expectation::Algorithm(algorithm) => {
                refuse_a_second(text, expectations.algorithm.as_ref().filter(|first| **first != algorithm))?;
                expectations.algorithm = Some(algorithm);
            }
            Expectation::Required(required) => {
                let same = |known: &&Requirement| std::mem::discriminant(*known) == std::mem::discriminant(&required);
                let other = expectations.required.iter().find(same).filter(|known| **known != required);
                // Each header is an expectation of its own, and each of TLS.
                if !matches!(required, Requirement::HeaderPreserved(_) | Requirement::Tls(_)) {
                    refuse_a_second(text, other)?;
                }
                expectations.required.push(required);
            }
        }
    }
    if let Some(text) = tolerance {
        let percent = percentage(text).filter(|percent| (0.01..=50.0).contains(percent)).ok_or_else(|| {
            Problem::new("expected percentage points from 0.01% to 50%, such as 2%").on(format!("--tolerance {text}"))
        })?;
        expectations.tolerance = percent / 100.0;
        expectations.margin = percent / 200.0;
    }
    for text in allow {
        let known = Outcome::ALL.into_iter().find(|outcome| outcome.name() == text);
        expectations.allowed.push(known.ok_or_else(|| {
            let names = Outcome::ALL.map(Outcome::name);
            let problem = Problem::new(format!("expected one of {}", names.join(", "))).on(format!("--allow {text}"));
            match nearest(text, names) {
                Some(name) => problem.hint(format!("did you mean {name}?")),
                None => problem,
            }
        })?);
    }
    Ok(expectations)
}

/// `even,round-robin` are two; `9001=5,9002=1` is one: weights by name.
fn of_list(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim) {
        match parts.last_mut() {
            Some(last) if last.contains('=') && part.contains('=') => *last += &format!(",{part}"),
            Some(_) | None => parts.push(part.to_owned()),
        }
    }
    parts
}

/// A word that is none, with the one that may have been meant.
fn unknown(text: &str) -> Problem {
    let algorithms = Algorithm::ALL.map(Algorithm::name);
    let problem = Problem::new("no such expectation").on(format!("--expect {text}"));
    if statuses(text).is_some() {
        return problem.hint("status: takes one class, status or range: for several statuses, such as status:200-429");
    }
    let form = |word: &&str| word.split(':').next() == text.split(':').next();
    let meant = known_words().find(form).or_else(|| nearest(text, known_words().chain(algorithms)));
    problem.hint(match meant {
        Some(word) => format!("did you mean {word}?"),
        None => format!(
            "expected weights such as 5:1:1 or 9001=5,9002=1, an algorithm ({}), {}, or of streams {}",
            algorithms.join(", "),
            WORDS.join(", "),
            STREAM_WORDS.join(", ")
        ),
    })
}

/// One word of `--expect`.
#[derive(PartialEq, Debug)]
enum Expectation {
    Lossless,
    Backup(String),
    Shares(ExpectedWeights),
    Algorithm(Algorithm),
    Required(Requirement),
}

fn read(text: &str) -> Result<Expectation, Problem> {
    let wrong = |expected: &str| Problem::new(format!("expected {expected}")).on(format!("--expect {text}"));
    let required = |requirement| Ok(Expectation::Required(requirement));
    match text {
        "lossless" => return Ok(Expectation::Lossless),
        "intact" => return required(Requirement::Intact),
        "client-address" => return required(Requirement::ClientAddress),
        "path:preserved" => return required(Requirement::PathPreserved),
        "host:preserved" => return required(Requirement::HostPreserved),
        "uncut" => return required(Requirement::Uncut),
        "alive:even" => return required(Requirement::AliveEven),
        _ => {}
    }
    // A name of a backend may hold colons: weights by name are known by `=`.
    if text == "even" || text.contains('=') || text.split(':').all(is_number) && text.contains(':') {
        return text.parse().map(Expectation::Shares).map_err(|why: String| Problem::new(format!("--expect {why}")));
    }
    let Some((word, value)) = text.split_once(':') else {
        return text.parse().map(Expectation::Algorithm).map_err(|_: UnknownAlgorithm| unknown(text));
    };
    match word {
        "backup" if !value.is_empty() => Ok(Expectation::Backup(value.to_owned())),
        "header" => match value.strip_suffix(":preserved") {
            Some(name) if !name.is_empty() => required(Requirement::HeaderPreserved(name.to_owned())),
            Some(_) | None => Err(wrong("a name, such as header:Authorization:preserved")),
        },
        "mirrored" => match percentage(value).filter(|percent| *percent > 0.0 && *percent <= 100.0) {
            Some(percent) => required(Requirement::Mirrored(percent / 100.0)),
            None => Err(wrong("a share of requests above 0% and up to 100%, such as mirrored:20%")),
        },
        "status" => match statuses(value) {
            Some((low, high)) => required(Requirement::Status { low, high }),
            None => Err(wrong("a class, a status or a range: status:2xx, status:204 or status:200-399")),
        },
        "tls" => match TlsRequirement::ALL.into_iter().find(|known| known.to_string() == text) {
            Some(known) => required(Requirement::Tls(known)),
            None => Err(wrong("tls:verified, tls:revocation, tls:sni or tls:client-certificate")),
        },
        "per" => match RequiredUnit::ALL.into_iter().find(|unit| Requirement::Per(*unit).to_string() == text) {
            Some(unit) => required(Requirement::Per(unit)),
            None => Err(wrong("per:request, per:call or per:connection")),
        },
        "ejected" => match value.parse().ok().filter(|errors| *errors <= 1_000_000) {
            Some(errors) => required(Requirement::Ejected(errors)),
            None => Err(wrong("failed requests at most until a backend is out of rotation, such as ejected:5")),
        },
        "back" | "errors-end" | "slow-start" | "unbuffered" => {
            let Time(time): Time = value.parse().map_err(|_| wrong(&format!("a time, such as {word}:5s")))?;
            let meaning: fn(Duration) -> Requirement = match word {
                "back" => Requirement::Back,
                "errors-end" => Requirement::ErrorsEnd,
                "unbuffered" => Requirement::Unbuffered,
                _ => Requirement::SlowStart,
            };
            required(meaning(time))
        }
        _ if text.split(':').next().is_some_and(is_number) => {
            text.parse().map(Expectation::Shares).map_err(|why: String| Problem::new(format!("--expect {why}")))
        }
        _ => Err(unknown(text)),
    }
}

fn refuse_a_second(text: &str, first: Option<&impl ToString>) -> Result<(), Problem> {
    match first {
        None => Ok(()),
        Some(first) => Err(Problem::new(format!("{} is expected already", first.to_string()))
            .on(format!("--expect {text}"))
            .hint("leave one of the two out")),
    }
}

fn is_number(text: &str) -> bool {
    !text.trim().is_empty() && text.trim().bytes().all(|byte| byte.is_ascii_digit())
}

fn percentage(text: &str) -> Option<f64> {
    text.trim_end_matches('%').trim().parse::<f64>().ok().filter(|percent| percent.is_finite())
}

/// Reads `2xx`, `204` or `200-399`.
fn statuses(text: &str) -> Option<(u16, u16)> {
    let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status) && text.len() == 3);
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    Some((status(low)?, status(high)?)).filter(|(low, high)| low <= high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<Expectation, String> {
        read(text).map_err(|problem| problem.to_string())
    }

    #[test]
    fn each_word_means_one_expectation_and_is_written_as_it_is_read() {
        let others = ["header:Authorization:preserved", "mirrored:0.5%", "status:204", "status:200-399"];
        for text in known_words().filter(|word| !word.contains("NAME")).chain(others) {
            match one(text) {
                Ok(Expectation::Required(required)) => assert_eq!(required.to_string(), text),
                Ok(Expectation::Lossless) => assert_eq!(text, "lossless"),
                Ok(Expectation::Backup(name)) => assert_eq!(format!("backup:{name}"), text),
                Ok(Expectation::Shares(ExpectedWeights::Even)) => assert_eq!(text, "even"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(one("even"), Ok(Expectation::Shares(ExpectedWeights::Even)));
        assert_eq!(one("5:1:1"), Ok(Expectation::Shares(ExpectedWeights::ByPlace(vec![5, 1, 1]))));
        let by_name = ExpectedWeights::ByName(vec![("10.0.0.1:80".to_owned(), 5), ("b".to_owned(), 1)]);
        assert_eq!(one("10.0.0.1:80=5,b=1"), Ok(Expectation::Shares(by_name)));
        assert_eq!(one("backup:10.0.0.3:80"), Ok(Expectation::Backup("10.0.0.3:80".to_owned())));
        assert!(matches!(one("round-robin"), Ok(Expectation::Algorithm(_))));
    }

    #[test]
    fn a_word_that_is_not_understood_is_answered_with_what_was_expected() {
        for (text, part) in [
            ("5:x", "weights in the fleet's order"),
            ("0:0", "at least one weight"),
            ("nonsense", "no such expectation"),
            ("429", "no such expectation"),
            ("nonsense:5", "no such expectation"),
            ("status:6xx", "status:2xx"),
            ("status:300-200", "status:2xx"),
            ("status:20", "status:2xx"),
            ("mirrored:0%", "above 0%"),
            ("mirrored:101%", "up to 100%"),
            ("header::preserved", "a name"),
            ("header:X-A", "a name"),
            ("back:soon", "back:5s"),
            ("slow-start:0s", "slow-start:5s"),
            ("ejected:-1", "ejected:5"),
            ("tls:on", "tls:verified"),
            ("per:stream", "per:request"),
            ("backup:", "no such expectation"),
        ] {
            let error = one(text).unwrap_err();
            assert!(error.contains(part) && error.contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn a_list_is_read_as_its_parts_and_weights_by_name_are_one() {
        assert_eq!(of_list("even, round-robin"), ["even", "round-robin"]);
        assert_eq!(of_list("9001=5,9002=1,lossless"), ["9001=5,9002=1", "lossless"]);
        let both = resolve(&["even,round-robin".to_owned()], None, &[]).unwrap();
        assert_eq!((both.shares, both.algorithm), (Some(ExpectedWeights::Even), Some(Algorithm::RoundRobin)));
    }

    #[test]
    fn a_mistyped_word_gets_the_one_that_was_meant() {
        let hint = |text: &str| crate::error::describe_for_people(&unknown(text).into());
        assert!(hint("429").ends_with("such as status:200-429"), "{}", hint("429"));
        assert!(hint("evn").ends_with("did you mean even?"), "{}", hint("evn"));
        assert!(hint("round-robbin").ends_with("did you mean round-robin?"));
        assert!(hint("backup").ends_with("did you mean backup:9003?"));
        assert!(hint("qqq").contains("an algorithm (round-robin"));
        let allowed = resolve(&[], None, &["stael".to_owned()]).unwrap_err();
        assert!(crate::error::describe_for_people(&allowed.into()).ends_with("did you mean stale?"));
    }

    #[test]
    fn two_expectations_that_contradict_each_other_are_refused() {
        let of = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            resolve(&words, None, &[]).map_err(|problem| problem.to_string())
        };
        for words in
            [["even", "5:1:1"], ["round-robin", "random"], ["status:2xx", "status:200"], ["back:5s", "back:1s"]]
        {
            let error = of(&words).unwrap_err();
            assert!(error.contains("expected already"), "{error}");
        }
        let all = of(&["round-robin", "round-robin", "even", "header:A:preserved", "header:B:preserved", "backup:1"]);
        assert_eq!(all.unwrap().required.len(), 2);
    }
}
