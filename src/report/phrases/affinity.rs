//! The phrases of affinity: who stayed with a backend, who left it, and what a hash does to the others.

use verdict::facts::stickiness;
use verdict::finding::Level;
use verdict::numbers::{count_of, grouped, percent, time};

use super::phrase::{Phrase, listed};
use crate::balancer::Balancer;
use crate::report::hints;

pub(super) fn stickiness(facts: &stickiness::StickinessFacts, level: Level, product: Option<Balancer>) -> Phrase {
    let later = count_of(facts.later, "later request");
    if facts.no_session {
        let phrase =
            Phrase::of("no response opens a session where --session says, so nothing ties a client to a backend");
        return match facts.other_cookies.as_slice() {
            [] => phrase.try_this("look at a response: does it have the header, the cookie or the JSON field?"),
            [name] => phrase.try_this(format!("responses set the cookie {name}: --session cookie:{name}")),
            names => phrase.try_this(format!("responses set the cookies {}: --session cookie:NAME", listed(names))),
        };
    }
    if facts.left > 0 {
        return left(facts, &later, product);
    }
    let before = match facts.stayed_before {
        0 => String::new(),
        stayed => format!(", as in {} of the experiments", count_of(stayed, "request")),
    };
    let clients = count_of(facts.clients, "client");
    // A session that ends after more uses, or later, ends unseen.
    let each = match facts.longest {
        0 => String::new(),
        longest => format!(", at most {} each within {}", grouped(longest), time(facts.lasted)),
    };
    if facts.lapsed_left > 0 {
        return lapsed(facts, level);
    }
    let phrase = Phrase::of(format!("{clients} stayed with their backends in {later}{each}{before}"));
    if level < Level::Inconclusive {
        return phrase;
    }
    phrase.try_this(format!(
        "too few: {} later requests detect one move in {:.0} with a probability of 99 %: a larger -n, a longer --duration, or a \
         coarser --tolerance",
        grouped(facts.needed),
        1.0 / facts.detects
    ))
}

/// Who came as somebody new, and was given another backend.
fn lapsed(facts: &stickiness::StickinessFacts, level: Level) -> Phrase {
    let how = match (&facts.lapsed_cookie, &facts.lapsed_line) {
        (Some(cookie), _) => format!("when the cookie {cookie} expires"),
        (None, Some(line)) => format!("after a time ({line})"),
        (None, None) => "after a time".to_owned(),
    };
    let phrase = Phrase::of(format!(
        "clients lose their sessions {how}: {} of {} then went to another backend",
        grouped(facts.lapsed_left),
        count_of(facts.lapsed, "request")
    ))
    .because(vec![format!("each stayed as long as its session lasted, in {}", count_of(facts.later, "later request"))]);
    let longer = match facts.lapsed_cookie {
        Some(_) => "give it a longer Max-Age, or none, or have responses renew it",
        None => "give them more time there",
    };
    phrase.try_this(if level == Level::Fail {
        format!("sessions last no longer than their cookie: {longer}")
    } else {
        format!("if sessions are to last longer, {longer}: --expect sticky requires that")
    })
}

/// Who left, and whether their backend was there.
fn left(facts: &stickiness::StickinessFacts, later: &str, product: Option<Balancer>) -> Phrase {
    let share = facts.left as f64 / facts.later.max(1) as f64;
    let gone =
        if facts.is_backend_away { "only when it was gone" } else { "when it got no other request soon afterwards" };
    let when = match (facts.clients_alive, facts.clients_gone) {
        (0, _) if facts.left_gone == facts.left => format!(", each {gone}"),
        (0, _) => String::new(),
        (_, 0) => ", each while it was up and got other requests".to_owned(),
        (alive, left) => format!(", {} while it was up, {} {gone}", grouped(alive), grouped(left)),
    };
    let phrase = Phrase::of(format!(
        "{} of {} left their backend{when} ({} of {later}, {})",
        grouped(facts.clients_alive + facts.clients_gone),
        count_of(facts.clients, "client"),
        grouped(facts.left),
        percent(share)
    ));
    if facts.stayed_at_each_url {
        return phrase
            .because(vec![
                "at each URL each client stayed with one backend, which is another one at another URL".to_owned(),
            ])
            .try_this(hints::of_sessions_by_url(product));
    }
    if facts.of_several_urls {
        return phrase
            .because(vec!["affinity was found with the first URL; others may be balanced in another way".to_owned()])
            .try_this(
                "check the URLs one by one (cookies of the same name and path replace each other), or --expect the algorithm by name where it is \
                 meant for all of them",
            );
    }
    if let Some((strayed, sent)) = facts.bound {
        return phrase
            .because(vec![format!("{strayed} of {sent} requests of the same key at once went elsewhere, one by one none")])
            .try_this(
                "a bound on the load of a backend does so (HAProxy hash-balance-factor, Envoy hash_balance_factor), or a limit of requests at a \
                 time: -c 1 shows whether clients stay without load",
            );
    }
    left_for_another_fleet(facts, phrase, product)
}

/// What became of clients of the backends that others were taken away from, or put beside.
fn left_for_another_fleet(facts: &stickiness::StickinessFacts, phrase: Phrase, product: Option<Balancer>) -> Phrase {
    if facts.no_affinity {
        return phrase.try_this(hints::of_no_affinity(product));
    }
    if !facts.left_from.is_empty() && facts.disruption.is_none() && !facts.is_backend_away {
        let from = listed(&facts.left_from);
        return phrase
            .because(vec![format!("all who left began at {from}; clients of the others stayed")])
            .try_this(hints::of_left_servers());
    }
    match &facts.disruption {
        Some(disruption) => {
            let phrase = Phrase { summary: format!("{}; {}", phrase.summary, of_disruption(disruption)), ..phrase };
            if disruption.is_of_all() { phrase.try_this(hints::of_hashes(product)) } else { phrase }
        }
        None if facts.is_backend_away && facts.clients_alive == 0 => phrase,
        None if !facts.joined.is_empty() && facts.left_untouched == 0 => {
            let joined = format!(
                "{}; {} joined, and a hash gives it clients of the others",
                phrase.summary,
                listed(&facts.joined)
            );
            Phrase { summary: joined, ..phrase }.try_this(
                "where clients must stay though a backend joins, use a cookie that names the backend; a consistent hash moves the fewest",
            )
        }
        None if (facts.is_backend_away || !facts.joined.is_empty()) && facts.left_untouched > 0 => phrase
            .because(vec![format!(
                "{} left backends to which nothing was done",
                count_of(facts.left_untouched, "client")
            )])
            .try_this(format!(
                "check again without the steps that take others away or put them in; {}",
                hints::of_lost_sessions(product)
            )),
        None => phrase.try_this(hints::of_lost_sessions(product)),
    }
}

/// How many clients moved when a backend left, compared with the fewest that must.
fn of_disruption(disruption: &stickiness::Disruption) -> String {
    let of_all =
        (disruption.moved + disruption.of_removed) as f64 / (disruption.clients + disruption.of_removed) as f64;
    let ideal = disruption.removed.len() as f64 / disruption.backends as f64;
    let like = if disruption.is_of_all() {
        ", as a hash modulo the number of backends does"
    } else if disruption.moved * 20 <= disruption.clients {
        ", as a consistent hash does"
    } else {
        ""
    };
    format!(
        "without {}, {} of all clients moved, ideally {}: {} of {} whose backend stayed did{like}",
        listed(&disruption.removed),
        percent(of_all),
        percent(ideal),
        grouped(disruption.moved),
        grouped(disruption.clients)
    )
}
