//! The oracle of both worlds. It sees what crosses the network and what clients say and hear, keeps its own
//! books, and holds the shard to its promises after every step. It believes nothing that the shard counts.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dataplane::command::Event;
use dataplane::engine::Occupancy;
use dataplane::id::TrackId;
use dataplane::limits::{
    CONSENT_TIMEOUT, ENCODINGS_PER_TRACK_MAX, EVENTS_LEN_MAX, INGRESS_SSRCS_PER_TRANSPORT_MAX,
    NACK_LIST_LEN_MAX, PATHS_PER_TRANSPORT_MAX, REPLAY_WINDOW_LEN, TWCC_PENDING_LEN_MAX, VIDEO_CACHE_LEN,
};
use dataplane::wire::rtp::RtpHeader;

use crate::frames::{self, Piece};
use crate::lines::{Closable, Delivered, Line, Place};
use crate::trace::digest;

/// How late a timer may be noticed.
const TIMER_SLACK: Duration = Duration::from_millis(50);

/// Turns in a row after which a deadline may have passed already: a turn asks for 64 lost packets, and there
/// may be more of them.
const PASSED_DEADLINES_MAX: u32 = 16;

/// A promise of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// What a viewer gets, a publisher of that track has sent.
    Conservation,
    /// Numbers go on, and none is used twice.
    Numbers,
    /// Nothing is sent to whom no consent is known.
    Consent,
    /// Queues and tables stay within their bounds.
    Bounds,
    /// Who has left leaves nothing behind.
    Leak,
    /// The picture comes back when the link heals.
    Picture,
    /// No turn panics.
    Panic,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub rule: Rule,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)
    }
}

/// What a subscriber was promised: its SSRCs and the track behind them.
#[derive(Clone, Copy, Debug)]
pub struct Watching {
    /// The SSRC of the media.
    pub ssrc: u32,
    /// The SSRC of retransmissions.
    pub rtx: Option<u32>,
    /// What it shows.
    pub track: TrackId,
}

/// One client, as the oracle knows it.
#[derive(Debug, Default)]
struct Member {
    watches: Vec<Watching>,
    lines: HashMap<u32, Line>,
    /// Binding requests that reached the shard, and answers that left, by address.
    stun: HashMap<SocketAddr, (u64, u64)>,
    heard_at: Option<Instant>,
    /// Something encrypted by its handshake reached the shard.
    has_finished: bool,
    has_ended: bool,
    rtcp_index: Option<u32>,
    highest_in: HashMap<u32, u64>,
}

/// A packet that a client published, by its content.
#[derive(Clone, Copy, Debug)]
struct Made {
    track: TrackId,
    place: Place,
    piece: Piece,
}

/// The books.
#[derive(Debug)]
pub struct Checker {
    /// Whether nothing is encrypted, so that the wire can be read.
    is_clear: bool,
    members: Vec<Member>,
    addresses: HashMap<SocketAddr, usize>,
    made: HashMap<u64, Made>,
    delivered: Delivered,
    /// Packets with nothing to show, and those of upper layers: their numbers may be closed.
    closable: Closable,
    passed_deadlines: u32,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
}

impl Checker {
    /// Empty books. `is_clear`: nothing is encrypted.
    pub fn new(is_clear: bool) -> Self {
        Self {
            is_clear,
            members: Vec::new(),
            addresses: HashMap::new(),
            made: HashMap::new(),
            delivered: Delivered::new(),
            closable: Closable::new(),
            passed_deadlines: 0,
            violation: None,
        }
    }

    /// A client joins, at this address.
    pub fn note_join(&mut self, address: SocketAddr, watches: Vec<Watching>) {
        self.addresses.insert(address, self.members.len());
        self.members.push(Member { watches, ..Member::default() });
    }

    /// A client has another address from now on; datagrams to the old one may still be under way.
    pub fn note_rebind(&mut self, member: usize, address: SocketAddr) {
        self.addresses.insert(address, member);
    }

    /// A client publishes a packet.
    pub fn note_published(&mut self, member: usize, track: TrackId, ssrc: u32, index: u64, payload: &[u8]) {
        let place = Place { member, ssrc, index };
        let Some(piece) = frames::piece(payload) else {
            self.closable.insert(place);
            return;
        };
        if piece.temporal > 0 {
            self.closable.insert(place);
        }
        self.made.insert(digest(frames::content(payload)), Made { track, place, piece });
    }

    /// A datagram reached the shard.
    pub fn note_received(&mut self, source: SocketAddr, bytes: &[u8], now: Instant) {
        let Some(at) = self.addresses.get(&source).copied() else { return };
        let member = &mut self.members[at];
        if member.has_ended {
            return;
        }
        let is_vouched = member.stun.contains_key(&source);
        match bytes {
            [0..=3, ..] => {
                member.stun.entry(source).or_default().0 += 1;
                member.heard_at = Some(now);
            }
            [20..=63, ..] => member.has_finished |= is_vouched && has_encrypted_record(bytes),
            [128..=191, 192..=223, ..] if is_vouched => member.heard_at = Some(now),
            [128..=191, ..] if is_vouched => {
                member.heard_at = Some(now);
                if let Ok(header) = RtpHeader::parse(bytes) {
                    let highest = member.highest_in.get(&header.ssrc.0).copied();
                    let index = crate::lines::extend(highest, header.sequence_number);
                    member.highest_in.insert(header.ssrc.0, index.max(highest.unwrap_or(0)));
                    // What is older than the replay window is refused, as it should be.
                    if highest.is_some_and(|highest| index + REPLAY_WINDOW_LEN as u64 <= highest + 32) {
                        return;
                    }
                    self.delivered.entry((at, header.ssrc.0, header.sequence_number)).or_insert(now);
                }
            }
            _ => {}
        }
    }

    /// The shard sent a datagram.
    pub fn note_sent(&mut self, destination: SocketAddr, bytes: &[u8], now: Instant) {
        let Some(at) = self.addresses.get(&destination).copied() else {
            return self.break_rule(Rule::Consent, format!("{destination} is nobody's address"));
        };
        if let Err(violation) = self.check_sent(at, destination, bytes, now) {
            self.violation.get_or_insert(violation);
        }
    }

    fn check_sent(
        &mut self,
        at: usize,
        destination: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), Violation> {
        let refuse = |text: &str| {
            Err(Violation { rule: Rule::Consent, text: format!("client {at} at {destination}: {text}") })
        };
        let member = &mut self.members[at];
        if member.has_ended {
            return refuse("a datagram after its end");
        }
        let Some((requests, answers)) = member.stun.get_mut(&destination) else {
            return refuse("a datagram before any binding request from there");
        };
        if matches!(bytes, [0..=3, ..]) {
            *answers += 1;
            if *answers > *requests {
                return refuse("more answers than requests");
            }
        }
        if member.heard_at.is_none_or(|heard| now > heard + CONSENT_TIMEOUT + TIMER_SLACK) {
            return refuse("a datagram without consent");
        }
        if !matches!(bytes, [128..=191, ..]) {
            return Ok(());
        }
        if !self.is_clear && !member.has_finished {
            return refuse("media before the handshake was done");
        }
        match bytes {
            [_, 192..=223, ..] => self.check_rtcp(at, bytes),
            _ => self.check_rtp(at, bytes, now),
        }
    }

    /// An SRTCP index is a nonce too (RFC 7714, section 9.2).
    fn check_rtcp(&mut self, at: usize, bytes: &[u8]) -> Result<(), Violation> {
        let Some(tail) = bytes.last_chunk::<4>().filter(|_| !self.is_clear) else { return Ok(()) };
        let index = u32::from_be_bytes(*tail) & 0x7fff_ffff;
        let last = self.members[at].rtcp_index.replace(index);
        match last {
            Some(last) if last >= index => Err(numbers(at, format!("SRTCP index {index} after {last}"))),
            _ => Ok(()),
        }
    }

    fn check_rtp(&mut self, at: usize, bytes: &[u8], now: Instant) -> Result<(), Violation> {
        let header = RtpHeader::parse(bytes).map_err(|reason| numbers(at, format!("{reason:?}")))?;
        let ssrc = header.ssrc.0;
        let member = &mut self.members[at];
        let watch = member.watches.iter().find(|watch| watch.ssrc == ssrc || watch.rtx == Some(ssrc));
        let Some(watch) = watch.copied() else {
            let text = format!("client {at} was not promised SSRC {ssrc:08x}");
            return Err(Violation { rule: Rule::Conservation, text });
        };
        let line = member.lines.entry(ssrc).or_default();
        let index = line.note_sent(header.sequence_number, digest(bytes), now);
        let index = index.map_err(|text| numbers(at, text))?;
        if !self.is_clear {
            return Ok(());
        }
        let payload = &bytes[header.len..];
        if watch.ssrc == ssrc {
            return if header.has_padding { Ok(()) } else { self.check_content(at, ssrc, index, payload) };
        }
        let Some((original, payload)) = payload.split_first_chunk::<2>() else { return Ok(()) };
        let number = member.lines.entry(watch.ssrc).or_default().near(u16::from_be_bytes(*original));
        self.check_content(at, watch.ssrc, number, payload)
    }

    /// A client heard a packet, opened: it came as media or as a retransmission.
    pub fn note_heard(&mut self, member: usize, ssrc: u32, number: u64, payload: &[u8]) {
        if self.is_clear || payload.len() < 2 {
            return;
        }
        if let Err(violation) = self.check_content(member, ssrc, number, payload) {
            self.violation.get_or_insert(violation);
        }
    }

    fn check_content(&mut self, at: usize, ssrc: u32, number: u64, payload: &[u8]) -> Result<(), Violation> {
        let foreign = |text: &str| {
            let text = format!("client {at}, SSRC {ssrc:08x}, number {number}: {text}");
            Err(Violation { rule: Rule::Conservation, text })
        };
        let member = &mut self.members[at];
        let Some(watch) = member.watches.iter().find(|watch| watch.ssrc == ssrc) else {
            return foreign("an SSRC that it was not promised");
        };
        let Some(made) = self.made.get(&digest(frames::content(payload))) else {
            return foreign("a content that nobody published");
        };
        if made.track != watch.track {
            return foreign("a content of another track");
        }
        if made.place.member == at {
            return foreign("its own content");
        }
        let line = member.lines.entry(ssrc).or_default();
        line.note_carried(number, made.place, made.piece).map_err(|text| numbers(at, text))
    }

    /// The shard said something.
    pub fn note_event(&mut self, event: &Event) {
        if let Event::TransportClosed { id, .. } = event
            && let Some(member) = self.members.get_mut(id.0 as usize)
        {
            member.has_ended = true;
            // What reaches the shard from now on is not for it any more.
            self.check_member(id.0 as usize);
        }
    }

    /// A turn is over.
    pub fn check_turn(&mut self, seen: &Occupancy, next_deadline: Option<Instant>, now: Instant) {
        let bounds = [
            ("packets in an outbox after a turn", seen.outbox_max, 0),
            ("peers that were not flushed", seen.dirty, 0),
            ("packets that wait to cross after a turn", seen.leaving, 0),
            ("events", seen.events, EVENTS_LEN_MAX),
            ("paths of a transport", seen.paths_max, PATHS_PER_TRANSPORT_MAX),
            ("paths of all transports", seen.paths, PATHS_PER_TRANSPORT_MAX * seen.peers),
            ("username fragments", seen.ufrags, seen.peers),
            ("deadlines", seen.deadlines, seen.peers),
            ("SSRCs of a transport", seen.streams_max, INGRESS_SSRCS_PER_TRANSPORT_MAX),
            ("arrivals to be reported", seen.twcc_pending_max, TWCC_PENDING_LEN_MAX),
            ("missing packets", seen.missing_max, NACK_LIST_LEN_MAX),
            ("encodings of a track", seen.encodings_max, ENCODINGS_PER_TRACK_MAX),
            ("packets kept for a track", seen.cached_max, VIDEO_CACHE_LEN),
            ("subscriptions that only one side knows", seen.watches.abs_diff(seen.subscribers), 0),
        ];
        for (what, is, may_be) in bounds {
            if is > may_be {
                self.break_rule(Rule::Bounds, format!("{is} {what}, {may_be} allowed"));
            }
        }
        let has_passed = next_deadline.is_some_and(|deadline| deadline <= now);
        self.passed_deadlines = if has_passed { self.passed_deadlines + 1 } else { 0 };
        if self.passed_deadlines > PASSED_DEADLINES_MAX {
            self.break_rule(Rule::Bounds, "a deadline that has passed: the loop would spin".to_owned());
        }
    }

    /// Looks at every stream as a whole: what it lacks was lost before the shard.
    pub fn check_lines(&mut self) {
        for at in 0..self.members.len() {
            if !self.members[at].has_ended {
                self.check_member(at);
            }
        }
    }

    fn check_member(&mut self, at: usize) {
        let member = &self.members[at];
        let lines = member.watches.iter().filter_map(|watch| member.lines.get(&watch.ssrc));
        let mut checked = lines.map(|line| line.check(&self.delivered, &self.closable, self.is_clear));
        if let Some(text) = checked.find_map(Result::err) {
            self.violation.get_or_insert(numbers(at, text));
        }
    }

    /// Everyone has left: nothing may be left of them. `tracks` are still there.
    pub fn check_empty(&mut self, seen: &Occupancy, tracks: usize) {
        let cached_max = seen.cached_max * usize::from(tracks > 0);
        let encodings_max = 0;
        let base = Occupancy { tracks, cached_max, encodings_max, ..Occupancy::default() };
        if *seen != base {
            self.break_rule(Rule::Leak, format!("everyone has left, but there is {seen:?}"));
        }
    }

    /// A promise was broken; only the first counts.
    pub fn break_rule(&mut self, rule: Rule, text: String) {
        self.violation.get_or_insert(Violation { rule, text });
    }

    /// When a binding request from this address reached the shard first, if one did.
    pub fn is_vouched(&self, member: usize, address: SocketAddr) -> bool {
        self.members[member].stun.contains_key(&address)
    }
}

fn numbers(client: usize, text: String) -> Violation {
    Violation { rule: Rule::Numbers, text: format!("client {client}: {text}") }
}

/// Whether a datagram has a DTLS record of an epoch behind the first (RFC 6347, section 4.1).
fn has_encrypted_record(mut bytes: &[u8]) -> bool {
    while let Some(&[_, _, _, e1, e2, .., l1, l2]) = bytes.get(..13) {
        if (e1, e2) != (0, 0) {
            return true;
        }
        let len = 13 + usize::from(u16::from_be_bytes([l1, l2]));
        bytes = bytes.get(len..).unwrap_or_default();
    }
    false
}
