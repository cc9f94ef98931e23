//! How backends are selected, in a few words.

use verdict::algorithm::{Algorithm, CookieGiver, Key, LoadSelection, RoundOrder, Selection};

/// Fits after a colon, and after "the algorithm is".
#[expect(clippy::too_many_lines, reason = "a phrase for each way to select")]
pub(crate) fn selection(selection: &Selection) -> String {
    match selection {
        Selection::Named { algorithm } => algorithm_name(*algorithm).to_owned(),
        Selection::OfConnections { each } => {
            format!("{}, of connections (layer 4, or kept to one backend)", self::selection(each))
        }
        Selection::NoneKnown => "none that is known here".to_owned(),
        Selection::NotExamined => "not known without experiments".to_owned(),
        Selection::TooFewResponses => "too few responses to say".to_owned(),
        Selection::NoBackendReached => "no backend was reached by the experiments".to_owned(),
        Selection::BehindALimit => "not known: a limit refused requests of the experiments".to_owned(),
        Selection::Changed => "changed between the experiments and the sample".to_owned(),
        Selection::OnlyBackend => "all to the only active backend".to_owned(),
        Selection::AllToOne => "all to one, whatever was varied".to_owned(),
        Selection::AllToOneUntried { backend } => format!("not known: all to {backend}, and not all was tried"),
        Selection::AllToOneUntilVaried { backend } => {
            format!("not known: all to {backend}, until what was varied reaches several")
        }
        Selection::AllToOneUntilLoad => "not known: all to one in sequence, and several backends under load".to_owned(),
        Selection::Rotation { weights, order } => rotation(weights, *order),
        Selection::RotationWithFailures => "a rotation; while requests fail, its weights are not known".to_owned(),
        Selection::SeveralRotations { algorithm } => format!("{}, with several rotations", algorithm_name(*algorithm)),
        Selection::RotationBesides { turns, others, share } => {
            let requests = if *share < 0.01 {
                "a few requests".to_owned()
            } else {
                format!("{:.0} % of the requests", share * 100.0)
            };
            format!("a rotation of {}, and {requests} to {}", turns.join(" "), others.join(" "))
        }
        Selection::RotationAtFirst { turns, others } => {
            format!("a rotation of {} at first; {} got requests later", turns.join(" "), others.join(" "))
        }
        Selection::RotationOfSome { kept, of, backends } => {
            format!(
                "a rotation, which {kept} of {of} connections do not follow: these keep to {}",
                backends.join(" or ")
            )
        }
        Selection::ByPlaceOnConnection { round } => {
            format!("each connection by itself, from the same backend on: {} …", round.join(" "))
        }
        Selection::RotationsByConnection { new, kept } => {
            format!(
                "a rotation of {} for new connections, and of {} on one connection",
                by_colons(new),
                by_colons(kept)
            )
        }
        Selection::FixedOrder { length, rotations: Some(rotations) } => {
            format!("a fixed order of {length}, as {rotations} rotations in turn give")
        }
        Selection::FixedOrder { length, rotations: None } => format!("a fixed order of {length} that is no rotation"),
        Selection::ByNetwork => {
            "by source address, of which the last number does not count (ip_hash does so)".to_owned()
        }
        Selection::ByKey { key, others_spread: false } => format!("by {}", one(key)),
        Selection::ByKey { key, others_spread: true } => format!("by {}; requests without it are spread", one(key)),
        Selection::ByGivenCookie { cookies } => {
            format!("by the value of the balancer's {}; requests without it are spread", cookies.join(" and "))
        }
        Selection::Sticky { cookies, given_by } => {
            let whose = match given_by {
                CookieGiver::Balancer => "balancer's",
                CookieGiver::Backends => "backends'",
            };
            format!("sticky by the {whose} {}", cookies.join(" and "))
        }
        Selection::ByLoad { how } => by_load(*how).to_owned(),
        Selection::ByLoadOfEachWorker { algorithm: Algorithm::LeastTime } => {
            "least time, each worker for itself".to_owned()
        }
        Selection::ByLoadOfEachWorker { algorithm } => {
            format!("{}, each worker for itself", algorithm_name(*algorithm))
        }
        Selection::LikeChanceButEvenOnTheWhole => "like chance, and more even on the whole".to_owned(),
        Selection::LikeChanceButEvenSideBySide => "like chance one by one, and more even side by side".to_owned(),
        Selection::LikeChanceWithCopies => "like chance; copies of requests may take turns of a rotation".to_owned(),
        Selection::MoreEvenThanChance => "more even than chance: round robin, or by load".to_owned(),
        Selection::Bursts => "in bursts: the same backend again more often than by chance".to_owned(),
        Selection::NoOrder => "not known: no order, and not surely chance".to_owned(),
    }
}

/// The name of an algorithm as a sentence has it.
fn algorithm_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RoundRobin => "round robin",
        Algorithm::WeightedRoundRobin => "weighted round robin",
        Algorithm::Random => "random",
        Algorithm::TwoChoices => "the less loaded of two random choices",
        Algorithm::LeastConnections => "least connections",
        Algorithm::LeastTime => "least time (the backend that responded fastest lately)",
        Algorithm::Source => "by source address",
        Algorithm::Uri => "by URI",
        Algorithm::Header => "by a header",
        Algorithm::Cookie => "by a cookie of the client's",
        Algorithm::Body => "by the request's body",
        Algorithm::Sticky => "sticky by the balancer's cookie",
        Algorithm::One => "all to one",
    }
}

fn by_colons(weights: &[u32]) -> String {
    weights.iter().map(u32::to_string).collect::<Vec<String>>().join(":")
}

fn rotation(weights: &[u32], order: RoundOrder) -> String {
    let name = if weights.is_empty() {
        "round robin".to_owned()
    } else {
        format!("weighted round robin {}", by_colons(weights))
    };
    match order {
        RoundOrder::Fixed => name,
        RoundOrder::Smooth => format!("{name}, smooth (in the order of NGINX)"),
        RoundOrder::Changing => format!("{name}, in an order that changes from round to round"),
    }
}

fn by_load(how: LoadSelection) -> &'static str {
    match how {
        LoadSelection::FirstAmongEquals => "least connections, the first among equals",
        LoadSelection::TurnsAmongEquals => "least connections, round robin among equals",
        LoadSelection::WeightedTurnsAmongEquals => "least connections, with weights, round robin among equals",
        LoadSelection::ChanceAmongEquals => "least connections, by chance among equals",
        LoadSelection::LeastConnectionsOrOther => "least connections, or another that looks at load",
        LoadSelection::LeastConnectionsOrTwoChoices => "least connections, or the less loaded of two random choices",
        LoadSelection::LeastConnectionsOrSeveralChoices => {
            "least connections, or the least loaded of several random choices"
        }
        LoadSelection::SeveralChoices => "the least loaded of two or more random choices",
        LoadSelection::LeavesOutIdle => "by load, though an idle backend was left out for busy ones",
        LoadSelection::ChangedByOthers => "by load, which others change too",
        LoadSelection::InPart => "by load, which some requests ignore",
    }
}

fn one(key: &Key) -> String {
    match key {
        Key::Network | Key::Host => "source address".to_owned(),
        Key::Path => "URI".to_owned(),
        Key::PathFront => "the first part of the path".to_owned(),
        Key::Query => "a parameter of the query".to_owned(),
        Key::Body => "the request's body".to_owned(),
        Key::Header(name) => format!("the header {name}"),
        Key::Cookie(name) => format!("the client's cookie {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_worded_with_all_that_is_known_of_it() {
        let weighted = Selection::Rotation { weights: vec![5, 1, 1], order: RoundOrder::Smooth };
        assert_eq!(selection(&weighted), "weighted round robin 5:1:1, smooth (in the order of NGINX)");
        let each = Box::new(Selection::Rotation { weights: Vec::new(), order: RoundOrder::Changing });
        assert_eq!(
            selection(&Selection::OfConnections { each }),
            "round robin, in an order that changes from round to round, of connections (layer 4, or kept to one backend)"
        );
        let by_key = |others_spread| Selection::ByKey { key: Key::Header("X-User".to_owned()), others_spread };
        assert_eq!(selection(&by_key(false)), "by the header X-User");
        assert_eq!(selection(&by_key(true)), "by the header X-User; requests without it are spread");
        let sticky = Selection::Sticky { cookies: vec!["cookie route".to_owned()], given_by: CookieGiver::Balancer };
        assert_eq!(selection(&sticky), "sticky by the balancer's cookie route");
    }
}
