//! A call from its head to its end: messages in; messages, and how it ends, out.

use std::borrow::Cow;
use std::time::Duration;

use http::grpc::{self, GrpcStatus, MessageReader};
use http::{HttpVersion, RequestHead};
use verdict::Call;

use crate::backend::grpc::coding::MessageCoding;
use crate::backend::grpc::facts::{CallEnd, CallFacts};
use crate::backend::grpc::method::CallMethod;
use crate::backend::grpc::work::Work;
use crate::wire::{Moment, ResponseId};

/// The largest message that is read, compressed or not, as other implementations have it by default.
const MAX_MESSAGE: u32 = 4 * 1024 * 1024;
/// A client that sends and does not read is not kept in memory beyond this.
const MAX_UNSENT: usize = 8 * 1024 * 1024;

/// A call, from its head to its end.
pub(crate) struct GrpcCall {
    pub(crate) response: ResponseId,
    method: Option<CallMethod>,
    work: Work,
    coding: MessageCoding,
    reader: MessageReader,
    deadline: Option<Moment>,
    /// Messages that are written, and how much of them is out.
    output: Vec<u8>,
    sent: usize,
    end: Option<CallEnd>,
    pub(crate) record: Call,
}

impl GrpcCall {
    /// Of a request that is a call: by its Content-Type, and over HTTP/2.
    pub(crate) fn of(head: &RequestHead, now: Moment, mint: impl FnOnce() -> ResponseId) -> Option<Box<GrpcCall>> {
        if head.version != HttpVersion::Http2 || !head.fields.first("content-type").is_some_and(grpc::is_content_type) {
            return None;
        }
        let method = CallMethod::of(head.path());
        let mut call = Box::new(GrpcCall::new(method, mint()));
        if method.is_none() {
            call.fail(GrpcStatus::UNIMPLEMENTED, format!("no method {}", head.path()));
        }
        call.coding = head.fields.first(grpc::ENCODING_FIELD).map_or(MessageCoding::Identity, MessageCoding::of);
        match head.fields.first(grpc::TIMEOUT_FIELD).map(grpc::parse_timeout) {
            Some(Some(timeout)) => {
                call.record.timeout = Some(timeout);
                call.deadline = Some(now.after(timeout));
            }
            Some(None) => call.fail(GrpcStatus::INTERNAL, "grpc-timeout cannot be read"),
            None => {}
        }
        Some(call)
    }

    fn new(method: Option<CallMethod>, response: ResponseId) -> GrpcCall {
        GrpcCall {
            response,
            method,
            work: method.map_or(Work::Nothing, |method| Work::of(method, response)),
            coding: MessageCoding::Identity,
            reader: MessageReader::new(MAX_MESSAGE),
            deadline: None,
            output: Vec::new(),
            sent: 0,
            end: None,
            record: Call::default(),
        }
    }

    /// Whether it asks for a backend's health or services: no UUID is minted for it, and no fault touches it.
    pub(crate) fn is_about_itself(&self) -> bool {
        matches!(self.method, Some(CallMethod::Health(_) | CallMethod::Reflection))
    }

    /// What is held back before the response, because the call asks for it.
    pub(crate) fn delay(&self) -> Duration {
        self.work.delay()
    }

    /// Content of the request has come.
    pub(crate) fn receive(&mut self, mut data: &[u8], facts: &CallFacts) {
        while self.end.is_none() {
            let (is_compressed, content) = match self.reader.next(&mut data) {
                Ok(None) => return,
                Ok(Some(message)) => (message.is_compressed, message.content),
                Err(why @ grpc::BadMessage::TooLarge { .. }) => {
                    return self.fail(GrpcStatus::RESOURCE_EXHAUSTED, why.to_string());
                }
                Err(why @ grpc::BadMessage::Flag(_)) => return self.fail(GrpcStatus::INTERNAL, why.to_string()),
            };
            let content = if is_compressed {
                match self.coding.decompress(content, MAX_MESSAGE) {
                    Ok(message) => Cow::Owned(message),
                    Err(end) => return self.fail(end.status, end.message),
                }
            } else {
                Cow::Borrowed(content)
            };
            if self.record.received > 0 && self.method.is_some_and(CallMethod::takes_one) {
                return self.fail(GrpcStatus::INTERNAL, "the request has more than one message");
            }
            match self.work.take(&content, facts, &mut self.output, &mut self.record) {
                Ok(number) => self.record.see_message(number),
                Err(end) => {
                    self.record.see_message(None);
                    self.end = Some(end);
                }
            }
            if self.output.len() - self.sent > MAX_UNSENT {
                self.fail(GrpcStatus::RESOURCE_EXHAUSTED, "the client does not read what is sent");
            }
        }
    }

    /// The request has ended.
    pub(crate) fn finish(&mut self, facts: &CallFacts) {
        if self.end.is_some() {
            return;
        }
        if !self.reader.is_between_messages() {
            return self.fail(GrpcStatus::INTERNAL, "the request ends within a message");
        }
        if self.record.received == 0 && self.method.is_some_and(CallMethod::takes_one) {
            return self.fail(GrpcStatus::INTERNAL, "the request has no message");
        }
        self.end = self.work.finish(facts, &mut self.output, &mut self.record);
    }

    /// Time has passed, or the backend's health has changed: writes what is due.
    pub(crate) fn advance(&mut self, facts: &CallFacts) {
        if self.end.is_some() {
            return;
        }
        self.expire(facts.now);
        if self.end.is_none() && self.unsent().is_empty() {
            self.end = self.work.advance(facts, &mut self.output, &mut self.record);
        }
    }

    /// Ends it if its client does not wait any more; also where it has ended, as long as nothing of that was sent.
    pub(crate) fn expire(&mut self, now: Moment) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.fail(GrpcStatus::DEADLINE_EXCEEDED, "the time that grpc-timeout allows has passed");
        }
    }

    /// The time until which its client waits.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.deadline
    }

    /// When something is to be done at the latest if nothing comes; [`Moment`] 0: as soon as there is room.
    pub(crate) fn due(&self) -> Option<Moment> {
        if self.end.is_some() {
            return None;
        }
        let work = self.work.due().filter(|_| self.unsent().is_empty());
        [work, self.deadline].into_iter().flatten().min()
    }

    /// Whether it ended because its time was over.
    pub(crate) fn is_overdue(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.status == GrpcStatus::DEADLINE_EXCEEDED)
    }

    /// Whether its response can begin.
    pub(crate) fn can_respond(&self) -> bool {
        self.end.is_some() || !self.output.is_empty() || self.method.is_some_and(CallMethod::converses)
    }

    /// Whether the one message of its request has not come.
    pub(crate) fn awaits_request(&self) -> bool {
        self.end.is_none() && self.record.received == 0 && self.method.is_some_and(CallMethod::takes_one)
    }

    /// Ends it with that status. Messages of which nothing has been sent are dropped.
    pub(crate) fn fail(&mut self, status: GrpcStatus, message: impl Into<String>) {
        if self.sent == 0 {
            self.record.written -= self.count_messages();
            self.output.clear();
        }
        self.end = Some(CallEnd::new(status, message));
    }

    /// Leaves of the messages that are written half of the first, if there is one, and ends the call with it as if all were well.
    pub(crate) fn halve(&mut self) -> bool {
        let Some(length) = self.first_message() else { return false };
        self.record.written = 1;
        self.output.truncate(length / 2);
        self.end = Some(CallEnd::OK);
        true
    }

    /// The length of the first of the messages that are written, with its prefix.
    fn first_message(&self) -> Option<usize> {
        let &[_, a, b, c, d] = self.output.first_chunk::<5>()?;
        Some(5 + u32::from_be_bytes([a, b, c, d]) as usize)
    }

    /// The messages in the output, while nothing of it has been sent.
    fn count_messages(&self) -> u32 {
        let (mut count, mut rest) = (0, &self.output[..]);
        while let Some(&[_, a, b, c, d]) = rest.first_chunk::<5>() {
            rest = &rest[5 + u32::from_be_bytes([a, b, c, d]) as usize..];
            count += 1;
        }
        count
    }

    pub(crate) fn unsent(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// That many bytes of the messages are out.
    pub(crate) fn note_sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.output.len() {
            // Nothing of it is dropped any more, so that the next one starts over.
            self.output.clear();
            self.sent = 0;
        }
    }

    /// How it ends, once it does.
    pub(crate) fn end(&self) -> Option<&CallEnd> {
        self.end.as_ref()
    }
}

#[cfg(test)]
mod tests;
