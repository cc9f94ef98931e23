//! Whether a sample may end early, as the required shares are surely not met.

use std::collections::VecDeque;

use verdict::observation::Backend;
use verdict::rules::is_certain;
use verdict::statistics::ln_e_value;

/// Responses in the order in which their requests were sent: those of a slow backend come last, and are not missing for that.
#[derive(Debug)]
pub(super) struct SharesSoFar<'a> {
    required: &'a [f64],
    counts: Vec<u64>,
    counted: usize,
    /// From the first request that is in flight on: who responded to it.
    ended: VecDeque<Option<Backend>>,
}

impl<'a> SharesSoFar<'a> {
    pub(super) fn new(required: &'a [f64]) -> SharesSoFar<'a> {
        SharesSoFar { required, counts: vec![0; required.len()], counted: 0, ended: VecDeque::new() }
    }

    /// The request with that number in the sample has got its response: whether it is certain now that the shares are others.
    pub(super) fn see(&mut self, number: usize, backend: Backend) -> bool {
        let place = number - self.counted;
        if self.ended.len() <= place {
            self.ended.resize(place + 1, None);
        }
        self.ended[place] = Some(backend);
        while let Some(Some(backend)) = self.ended.front() {
            if let Some(count) = self.counts.get_mut(usize::from(backend.0)) {
                *count += 1;
            }
            self.ended.pop_front();
            self.counted += 1;
            let looks = self.counted < 1_000 || self.counted.is_multiple_of(64);
            if looks && is_certain(ln_e_value(&self.counts, self.required)) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_one_backend_alone_is_certain_soon() {
        let mut shares = SharesSoFar::new(&[1.0 / 3.0; 3]);
        let certain = (0..200).position(|number| shares.see(number, Backend(0))).unwrap();
        assert!(certain < 25, "{certain}");
    }

    #[test]
    fn responses_of_a_slow_backend_are_waited_for() {
        let mut shares = SharesSoFar::new(&[0.5; 2]);
        // In turns; 9002 responds to nothing until all of 9001 is here.
        assert!((0..200).all(|turn| !shares.see(2 * turn, Backend(0))));
        assert!((0..200).all(|turn| !shares.see(2 * turn + 1, Backend(1))));
        assert_eq!((shares.counts, shares.counted), (vec![200, 200], 400));
    }
}
