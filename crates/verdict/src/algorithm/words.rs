//! Parts of the name that an algorithm gets in a sentence.

use super::evidence::Key;
use super::inference::Inference;
use crate::observation::Backend;

/// What is known of its turns.
pub(super) fn pattern(inference: &Inference) -> &'static str {
    match &inference.turns {
        Some(turns) if is_smooth(turns, &inference.weights) => ", smooth (in the order of NGINX)",
        Some(_) | None => "",
    }
}

/// Whether turns are those of smooth weighted round robin, wherever they begin: each round every backend gains its weight, and the one that has
/// most is picked and pays the sum (nginx, `ngx_http_upstream_get_peer`). Equal ones may stand in any order.
fn is_smooth(turns: &[Backend], weights: &[(Backend, u32)]) -> bool {
    let sum: i64 = weights.iter().map(|(_, weight)| i64::from(*weight)).sum();
    let from = |start: usize| {
        let mut credit: Vec<i64> = vec![0; weights.len()];
        turns.iter().cycle().skip(start).take(turns.len()).all(|turn| {
            credit.iter_mut().zip(weights).for_each(|(credit, (_, weight))| *credit += i64::from(*weight));
            let most = credit.iter().max().copied();
            let Some(place) = weights.iter().position(|(backend, _)| backend == turn) else { return false };
            let picked = Some(credit[place]) == most;
            credit[place] -= sum;
            picked
        })
    };
    (0..turns.len()).any(from)
}

pub(super) fn singular(key: &Key) -> String {
    match key {
        Key::Network | Key::Host => "source address".to_owned(),
        Key::Path => "URI".to_owned(),
        Key::Query => "a parameter of the query".to_owned(),
        Key::Body => "the request's body".to_owned(),
        Key::Header(name) => format!("the header {name}"),
        Key::Cookie(name) => format!("the client's cookie {name}"),
    }
}
