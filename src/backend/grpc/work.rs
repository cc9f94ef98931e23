//! What each method does with its messages.

use std::time::Duration;

use api::generator::{
    CollectResponse, Event, EventsRequest, GenerateRequest, GenerateResponse, GeneratorMethod, NumberedMessage,
};
use http::grpc::{GrpcStatus, write_message};
use prost::Message;
use verdict::Call;

use crate::backend::grpc::facts::{CallEnd, CallFacts};
use crate::backend::grpc::health::{self, HealthCheckRequest, ServingStatus};
use crate::backend::grpc::method::{CallMethod, HealthMethod};
use crate::backend::grpc::reflection::ServerReflectionRequest;
use crate::backend::paced::{COUNT, MAX_COUNT, MAX_EVERY, Schedule, TURN_BYTES};
use crate::wire::{MOST_EVENT_BYTES, Moment, ResponseId};

const MAX_DELAY_MS: u32 = 60_000;
const MAX_PADDING: u32 = 1024 * 1024;
const LAST_STATUS: u32 = 16;
const USUAL_BYTES: usize = 128;

/// A method at work.
pub(super) enum Work {
    Nothing,
    Generate {
        response: ResponseId,
        asked: GenerateRequest,
    },
    Events {
        response: ResponseId,
        /// Once they have been asked for.
        source: Option<EventSource>,
    },
    Collect {
        response: ResponseId,
        /// Length of the messages that came.
        bytes: u64,
    },
    Echo,
    Check {
        service: String,
    },
    List,
    Watch {
        /// Once one has been named: it, and what was said of it last.
        watched: Option<(String, Option<ServingStatus>)>,
    },
    Reflect,
}

pub(super) struct EventSource {
    schedule: Schedule,
    padding: usize,
}

impl Work {
    pub(super) fn of(method: CallMethod, response: ResponseId) -> Work {
        match method {
            CallMethod::Generator(GeneratorMethod::Generate) => {
                Work::Generate { response, asked: GenerateRequest::default() }
            }
            CallMethod::Generator(GeneratorMethod::Events) => Work::Events { response, source: None },
            CallMethod::Generator(GeneratorMethod::Collect) => Work::Collect { response, bytes: 0 },
            CallMethod::Generator(GeneratorMethod::Echo) => Work::Echo,
            CallMethod::Health(HealthMethod::Check) => Work::Check { service: String::new() },
            CallMethod::Health(HealthMethod::List) => Work::List,
            CallMethod::Health(HealthMethod::Watch) => Work::Watch { watched: None },
            CallMethod::Reflection => Work::Reflect,
        }
    }

    /// Takes a message; yields its number if it is a check's.
    pub(super) fn take(
        &mut self,
        content: &[u8],
        facts: &CallFacts,
        output: &mut Vec<u8>,
        record: &mut Call,
    ) -> Result<Option<u32>, CallEnd> {
        match self {
            Work::Nothing => {}
            Work::Generate { asked, .. } => {
                let request: GenerateRequest = decode(content)?;
                within("delay_ms", request.delay_ms, MAX_DELAY_MS)?;
                within("bytes", request.bytes, MAX_PADDING)?;
                within("status", request.status, LAST_STATUS)?;
                // What is refused is not held back.
                *asked = request;
            }
            Work::Events { source, .. } => {
                let EventsRequest { count, every_ms, bytes, first } = decode(content)?;
                within("count", count, MAX_COUNT)?;
                within("every_ms", every_ms, u32::try_from(MAX_EVERY.as_millis()).unwrap_or(u32::MAX))?;
                within("bytes", bytes, MOST_EVENT_BYTES as u32)?;
                let every = Duration::from_millis(u64::from(every_ms));
                let last = if count == 0 { COUNT } else { count };
                let schedule = Schedule::new(every, first.max(1), last, facts.now);
                *source = Some(EventSource { schedule, padding: bytes as usize });
            }
            Work::Collect { bytes, .. } => {
                *bytes += content.len() as u64;
                return Ok(number(decode(content)?));
            }
            Work::Echo => {
                write_message(output, |out| out.extend_from_slice(content));
                record.written = record.written.saturating_add(1);
                return Ok(number(decode(content)?));
            }
            Work::Check { service } => *service = decode::<HealthCheckRequest>(content)?.service,
            // Its request says nothing.
            Work::List => {}
            Work::Watch { watched } => *watched = Some((decode::<HealthCheckRequest>(content)?.service, None)),
            Work::Reflect => write(&decode::<ServerReflectionRequest>(content)?.answer(), output, record),
        }
        Ok(None)
    }

    /// All of the request has come: how the call ends, unless it goes on.
    pub(super) fn finish(&mut self, facts: &CallFacts, output: &mut Vec<u8>, record: &mut Call) -> Option<CallEnd> {
        let (backend, number) = (&facts.identity.name, facts.identity.number.map_or(0, |number| u32::from(number.0)));
        match self {
            Work::Generate { asked, .. } if asked.status > 0 => {
                return Some(CallEnd::new(GrpcStatus(asked.status), "as asked"));
            }
            Work::Generate { response, asked } => {
                let (mut uuid, padding) = ([0; uuid::fmt::Hyphenated::LENGTH], asked.bytes as usize);
                let uuid = response.0.hyphenated().encode_lower(&mut uuid);
                // All but a large padding, without growing.
                output.reserve(USUAL_BYTES);
                write_message(output, |out| GenerateResponse::write(out, uuid, backend, number, padding));
                record.written = record.written.saturating_add(1);
            }
            Work::Collect { response, bytes } => {
                let response = CollectResponse {
                    uuid: response.to_string(),
                    backend: backend.clone(),
                    number,
                    messages: record.received,
                    bytes: *bytes,
                    last_number: record.last_received,
                    misplaced: u32::from(record.misplaced),
                };
                write(&response, output, record);
            }
            Work::Check { service } => match health::status(service, facts.health, facts.draining) {
                Some(status) => write(&status.response(), output, record),
                None => return Some(CallEnd::new(GrpcStatus::NOT_FOUND, format!("no service {service}"))),
            },
            Work::List => write(&health::list(facts.health, facts.draining), output, record),
            Work::Events { .. } | Work::Watch { .. } => return None,
            Work::Nothing | Work::Echo | Work::Reflect => {}
        }
        Some(CallEnd::OK)
    }

    /// Writes what is due, now that all before it is out: how the call ends, unless it goes on.
    pub(super) fn advance(&mut self, facts: &CallFacts, output: &mut Vec<u8>, record: &mut Call) -> Option<CallEnd> {
        match self {
            Work::Events { response, source: Some(source) } => {
                while output.len() < TURN_BYTES
                    && let Some(number) = source.schedule.take(facts.now)
                {
                    let padding = vec![0; source.padding];
                    let response_id = response.to_string();
                    write(&Event { number, written_ns: facts.now.0, response_id, padding }, output, record);
                }
                source.schedule.is_done().then_some(CallEnd::OK)
            }
            Work::Watch { watched: Some((service, last)) } => {
                let status =
                    health::status(service, facts.health, facts.draining).unwrap_or(ServingStatus::ServiceUnknown);
                if last.replace(status) != Some(status) {
                    write(&status.response(), output, record);
                }
                // Who watches learns it, and keeps no backend from ending.
                facts.draining.then(|| CallEnd::new(GrpcStatus::UNAVAILABLE, "the backend drains"))
            }
            Work::Nothing
            | Work::Generate { .. }
            | Work::Events { source: None, .. }
            | Work::Collect { .. }
            | Work::Echo
            | Work::Check { .. }
            | Work::List
            | Work::Watch { watched: None }
            | Work::Reflect => None,
        }
    }

    /// When the next event is due; `Moment` 0 where only the client paces.
    pub(super) fn due(&self) -> Option<Moment> {
        match self {
            Work::Events { source: Some(source), .. } => Some(source.schedule.due().unwrap_or(Moment(0))),
            _ => None,
        }
    }

    /// What its request asks to be held back.
    pub(super) fn delay(&self) -> Duration {
        match self {
            Work::Generate { asked, .. } => Duration::from_millis(u64::from(asked.delay_ms)),
            _ => Duration::ZERO,
        }
    }
}

/// The number of a message of a check: they count from 1.
fn number(message: NumberedMessage) -> Option<u32> {
    Some(message.number).filter(|number| *number > 0)
}

fn write(message: &impl Message, output: &mut Vec<u8>, record: &mut Call) {
    output.reserve(message.encoded_len());
    write_message(output, |out| {
        // Memory takes everything.
        let _ = message.encode(out);
    });
    record.written = record.written.saturating_add(1);
}

fn decode<M: Message + Default>(content: &[u8]) -> Result<M, CallEnd> {
    M::decode(content).map_err(|why| CallEnd::new(GrpcStatus::INTERNAL, format!("the message cannot be read: {why}")))
}

fn within(name: &str, value: u32, most: u32) -> Result<(), CallEnd> {
    if value <= most {
        return Ok(());
    }
    Err(CallEnd::new(GrpcStatus::INVALID_ARGUMENT, format!("{name}: expected at most {most}, not {value}")))
}
