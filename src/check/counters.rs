//! Counters in responses of backends that are not ours: one that goes by several sequences under one name belongs to several processes.

use std::collections::BTreeMap;
use std::time::Duration;

use verdict::rules::SharedCounter;

use crate::check::identities::{self, TextResponse};
use crate::check::load::Identity;

/// As many steps of one hardly ever follow each other by chance.
const LEAST_LENGTH: usize = 3;
/// The most values that are shown.
const SHOWN: usize = 8;

/// Where one name goes with several counts at once. `responses` are to requests one after the other, which took `elapsed`.
pub(crate) fn shared(responses: &[TextResponse], identity: &Identity, elapsed: Duration) -> Vec<SharedCounter> {
    let mut by_name: BTreeMap<String, BTreeMap<String, Vec<u64>>> = BTreeMap::new();
    for response in responses {
        let Some(name) = identities::name_in(response, identity) else { continue };
        let places = by_name.entry(name).or_default();
        for (place, value) in identities::numbers(response) {
            places.entry(place).or_default().push(value);
        }
    }
    let found = by_name.into_iter().filter_map(|(name, places)| {
        let mut places = places.into_iter();
        places.find_map(|(place, mut values)| {
            let processes = sequences(&values, elapsed)? as u64;
            values.truncate(SHOWN);
            Some(SharedCounter { name: name.clone(), place, processes, values })
        })
    });
    found.collect()
}

/// How many sequences of steps of one the values are made of; none if they are one, or no counts.
fn sequences(values: &[u64], elapsed: Duration) -> Option<usize> {
    let range = values.iter().max()? - values.iter().min()?;
    // Seconds of a clock repeat too, yet rise no faster than time does.
    if range <= elapsed.as_secs() + 1 {
        return None;
    }
    let mut last: Vec<(u64, usize)> = Vec::new();
    for value in values {
        match last.iter_mut().find(|(last, _)| last.checked_add(1) == Some(*value)) {
            Some((last, length)) => (*last, *length) = (*value, *length + 1),
            None => last.push((*value, 1)),
        }
    }
    (last.len() > 1 && last.iter().all(|(_, length)| *length >= LEAST_LENGTH)).then_some(last.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::from_millis(20);

    fn responses(counts: &[(&str, u64)]) -> Vec<TextResponse> {
        let response = |(name, count): &(&str, u64)| TextResponse {
            head: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n".to_owned(),
            body: format!(r#"{{"name":"{name}","requests":{count},"port":8080}}"#),
        };
        counts.iter().map(response).collect()
    }

    fn seen(counts: &[(&str, u64)]) -> Vec<SharedCounter> {
        shared(&responses(counts), &Identity::Json("/name".to_owned()), AT_ONCE)
    }

    #[test]
    fn two_processes_of_one_name_count_each_for_itself() {
        let counts = [("a", 7), ("a", 7), ("b", 9), ("a", 8), ("a", 8), ("b", 10), ("a", 9), ("a", 9), ("b", 11)];
        let place = "json:/requests".to_owned();
        let expected = SharedCounter { name: "a".to_owned(), place, processes: 2, values: vec![7, 7, 8, 8, 9, 9] };
        assert_eq!(seen(&counts), [expected]);
    }

    #[test]
    fn one_process_for_each_name_and_a_count_of_all_are_left_in_peace() {
        let each: Vec<(&str, u64)> = (1..7).flat_map(|count| [("a", count), ("b", count)]).collect();
        assert_eq!(seen(&each), []);
        let of_all: Vec<(&str, u64)> = (1..7).map(|count| (["a", "b"][count as usize % 2], count)).collect();
        assert_eq!(seen(&of_all), []);
    }

    #[test]
    fn ports_clocks_and_what_jumps_are_no_counters() {
        let seconds = [100, 100, 100, 101, 101, 101, 102, 102, 102];
        assert_eq!(sequences(&seconds, Duration::from_secs(2)), None);
        assert_eq!(sequences(&seconds, AT_ONCE), Some(3));
        assert_eq!(sequences(&[8080; 12], AT_ONCE), None);
        assert_eq!(sequences(&[5, 900, 17, 6, 901, 3, 7, 902], AT_ONCE), None);
        assert_eq!(sequences(&[], AT_ONCE), None);
    }
}
