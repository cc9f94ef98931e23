//! A balancer that gives up on a slow response may take its backend for dead: the experiments ask for none that is slower.

use std::time::Duration;

use testbed::simulated::{Picks, Simulated};
use verdict::algorithm::Algorithm;
use verdict::algorithm::experiments::{self, Pace, ProbeReply, ProbeRequest, Released, Setting, Subject};

/// Notes the longest delay that a backend was asked for.
struct Watched {
    balancer: Simulated,
    longest: Duration,
}

impl Watched {
    fn see(&mut self, delay: Option<Duration>) {
        self.longest = self.longest.max(delay.unwrap_or_default());
    }
}

impl Subject for Watched {
    fn send(&mut self, request: &ProbeRequest) -> ProbeReply {
        self.see(request.delay);
        self.balancer.send(request)
    }

    fn send_all(&mut self, requests: &[ProbeRequest], pace: &Pace) -> Vec<ProbeReply> {
        requests.iter().for_each(|request| self.see(request.delay));
        self.balancer.send_all(requests, pace)
    }

    fn hold(&mut self, delay: Duration) -> bool {
        self.see(Some(delay));
        self.balancer.hold(delay)
    }

    fn release(&mut self) -> Vec<Released> {
        self.balancer.release()
    }

    fn has_sources(&self) -> bool {
        self.balancer.has_sources()
    }

    fn elapsed(&self) -> Duration {
        self.balancer.elapsed()
    }
}

/// The longest delay, and whether round robin is certain all the same.
fn of(patience: Option<Duration>, rate: Option<f64>) -> (Duration, bool) {
    let mut subject = Watched { balancer: Simulated::new(3, Picks::Turns(vec![1; 3]), 1, 7), longest: Duration::ZERO };
    let budget = Duration::from_secs(20);
    let setting = Setting { backends: Some(3), can_hold: true, patience, rate, budget, ..Setting::default() };
    let inference = experiments::run(&mut subject, &setting).infer(&[]);
    (subject.longest, inference.certain() == Some(Algorithm::RoundRobin))
}

#[test]
fn no_backend_is_asked_to_wait_longer_than_the_balancer_does() {
    let patience = Duration::from_millis(250);
    for rate in [None, Some(200.0)] {
        let (longest, is_certain) = of(Some(patience), rate);
        assert!(longest > Duration::ZERO && longest <= patience / 2, "{rate:?}: {longest:?}");
        assert!(is_certain, "{rate:?}");
        assert!(of(None, rate).0 > patience / 2, "{rate:?}");
        // Too short to tell a delay from a busy machine.
        assert_eq!(of(Some(Duration::from_millis(60)), rate).0, Duration::ZERO, "{rate:?}");
    }
}
