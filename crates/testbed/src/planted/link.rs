//! What a request holds of a backend: a connection, and its place in the count of requests in flight.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::net::TcpStream;

use crate::planted::choice::Worker;

/// A connection to a backend, and its place.
pub(super) struct PlantedLink {
    pub(super) stream: TcpStream,
    pub(super) place: usize,
}

/// A backend has a request in flight as long as this lives.
pub(super) struct PlantedInFlight {
    pub(super) worker: Rc<RefCell<Worker>>,
    pub(super) place: usize,
}

impl PlantedInFlight {
    pub(super) fn begin(worker: &Rc<RefCell<Worker>>, place: usize) -> PlantedInFlight {
        worker.borrow_mut().peers[place].in_flight += 1;
        PlantedInFlight { worker: Rc::clone(worker), place }
    }
}

impl Drop for PlantedInFlight {
    fn drop(&mut self) {
        self.worker.borrow_mut().peers[self.place].in_flight -= 1;
    }
}
