//! The floor: a bare epoll loop that answers constant bytes. It parses nothing, checks nothing, records nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

/// What it has to know of the load, since it does not look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One request a read.
    One,
    /// Several requests a read: it counts the empty lines.
    Several,
    /// It closes after the answer.
    Close,
}

const WORD: &str = "--floor";
const MODES: [(Mode, &str); 3] = [(Mode::One, "one"), (Mode::Several, "several"), (Mode::Close, "close")];

impl Mode {
    /// What makes this program the floor instead of the bench.
    pub fn arguments(self, answer: &str) -> [&str; 3] {
        let (_, name) = MODES.into_iter().find(|(mode, _)| *mode == self).expect("all modes are listed");
        [WORD, name, answer]
    }

    pub fn from_arguments() -> Option<Mode> {
        let mut arguments = std::env::args().skip(1);
        (arguments.next()? == WORD).then_some(())?;
        let name = arguments.next()?;
        MODES.into_iter().find(|(_, known)| *known == name).map(|(mode, _)| mode)
    }
}

/// Prints its port, then serves until it is killed.
pub fn serve(mode: Mode) -> ! {
    let answer = std::fs::read(std::env::args().nth(3).expect("the answer's file is named")).expect("it is there");
    let several: Vec<u8> = answer.repeat(256);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    listener.set_nonblocking(true).expect("a listener can be non-blocking");
    println!("{}", listener.local_addr().expect("it is bound").port());
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll is there");
    let watch = |socket: &dyn AsFd, token: usize| {
        epoll::add(&poll, socket.as_fd(), epoll::EventData::new_u64(token as u64), epoll::EventFlags::IN)
            .expect("room");
    };
    watch(&listener, 0);
    let mut connections: Vec<Option<TcpStream>> = vec![None];
    let mut free = Vec::new();
    let mut events: Vec<epoll::Event> = Vec::with_capacity(1024);
    let mut input = vec![0; 16 * 1024];
    loop {
        epoll::wait(&poll, spare_capacity(&mut events), None).expect("it waits");
        for event in events.drain(..) {
            let token = event.data.u64() as usize;
            if token == 0 {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).expect("a stream can be non-blocking");
                    stream.set_nodelay(true).expect("a stream can be hasty");
                    let token = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    watch(&stream, token);
                    connections[token] = Some(stream);
                }
                continue;
            }
            let Some(stream) = &mut connections[token] else { continue };
            let goes_on = match stream.read(&mut input) {
                Ok(length @ 1..) => {
                    let answers = match mode {
                        Mode::One | Mode::Close => &answer[..],
                        Mode::Several => {
                            let requests = input[..length].windows(4).filter(|bytes| bytes == b"\r\n\r\n").count();
                            &several[..requests * answer.len()]
                        }
                    };
                    stream.write_all(answers).is_ok() && mode != Mode::Close
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => true,
                Ok(0) | Err(_) => false,
            };
            if !goes_on {
                connections[token] = None;
                free.push(token);
            }
        }
    }
}
