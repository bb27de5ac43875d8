//! The publisher: sends on plan, whatever happens.

use std::time::{Duration, Instant};

use super::client::Client;
use super::session::Told;
use super::socket::{self, Receiver};
use super::{Stage, wall_ns};
use crate::failure::{Failure, OrFail};
use crate::traffic::{PAYLOAD_LEN_MAX, Planned, Recipe, Record, Source};

/// A packet that leaves later than this after its plan is late.
const LATE_NS: u64 = 2_000_000;
/// RTP sequence number of the first packet. Not 0, so that nobody can mistake one count for the other.
const FIRST_INDEX: u64 = 1000;
/// A publisher that is not connected by then will not be.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Time between two looks at a connection that is being made.
const ATTEND_INTERVAL: Duration = Duration::from_millis(5);

/// What the publisher did.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// When each packet was sent, by its number.
    sent_ns: Vec<u64>,
    /// How late the packets of the window were.
    late: u64,
    /// Keyframes that the server asked for.
    pub(crate) keyframe_requests: u64,
    /// Packets that the server asked for again. They are not sent again: a loss must stay a loss.
    pub(crate) packet_requests: u64,
}

impl Sent {
    /// The numbers of the packets that were sent in the window.
    pub(crate) fn measured(&self, stage: &Stage) -> std::ops::Range<u64> {
        let mut numbers =
            (0..).zip(&self.sent_ns).filter(|(_, sent)| stage.is_measured(**sent)).map(|(n, _)| n);
        match numbers.next() {
            Some(first) => first..numbers.last().unwrap_or(first) + 1,
            None => 0..0,
        }
    }

    /// Packets of the window that left late.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }
}

/// Attends until ICE and DTLS are done.
pub(crate) fn connect(client: &mut Client) -> Result<(), Failure> {
    let (mut receiver, give_up_at) = (Receiver::new(), Instant::now() + CONNECT_TIMEOUT);
    while !client.is_connected() {
        if Instant::now() > give_up_at {
            return Err(Failure::new(
                "the publisher did not connect",
                "see the server's log; check that its UDP ports are reachable from here",
            ));
        }
        attend(client, &mut receiver, Instant::now() + ATTEND_INTERVAL)?;
    }
    Ok(())
}

/// Sends until the stage ends.
pub(crate) fn publish(mut client: Client, stage: &Stage) -> Result<Sent, Failure> {
    socket::make_sleeps_exact();
    let mut source = Source::new(&Recipe::steady(), 0);
    let mut receiver = Receiver::new();
    let mut payload = [0; PAYLOAD_LEN_MAX];
    let mut sent = Sent::default();
    let (start, start_ns) = (Instant::now(), wall_ns());

    loop {
        let wishes = attend(&mut client, &mut receiver, start + source.next_at())?;
        sent.keyframe_requests += wishes.keyframes;
        sent.packet_requests += wishes.packets;
        if wishes.keyframes > 0 {
            source.want_keyframe(0);
        }
        if stage.is_over() {
            break;
        }
        let planned = source.next();
        let Planned { sequence, frame, encoding, .. } = planned;
        let sent_ns = wall_ns();
        let late_ns = sent_ns.saturating_sub(start_ns + planned.at.as_nanos() as u64);
        let record = Record { source: 0, encoding, sequence, sent_ns, late_ns, frame };
        let len = source.write(&planned, record, &mut payload);
        client.send(FIRST_INDEX + sequence, planned.timestamp, planned.is_marked, &payload[..len]);
        sent.late += u64::from(late_ns > LATE_NS && stage.is_measured(sent_ns));
        sent.sent_ns.push(sent_ns);
    }
    Ok(sent)
}

/// What the server wanted of the publisher.
#[derive(Debug, Default)]
struct Wishes {
    keyframes: u64,
    packets: u64,
}

/// Serves the connection until `until`.
fn attend(client: &mut Client, receiver: &mut Receiver, until: Instant) -> Result<Wishes, Failure> {
    let mut wishes = Wishes::default();
    let mut tell = |told: Told<'_>| match told {
        Told::KeyframeWanted => wishes.keyframes += 1,
        Told::PacketsWanted(count) => wishes.packets += count as u64,
        Told::Payload { .. } | Told::Refused => {}
    };
    loop {
        let now = Instant::now();
        if client.deadline() <= now {
            client.expire(now);
        }
        let wake = until.min(client.deadline());
        let patience = wake.saturating_duration_since(now);
        if until <= now {
            return Ok(wishes);
        }
        socket::wait_readable(client.socket(), patience).or_fail("waiting for the server", "")?;
        client.receive(receiver, Instant::now(), &mut tell)?;
    }
}
