//! The way of a packet from the wire into its track: parse, open, bind, count, keep, route.
#![forbid(unsafe_code)]

use std::time::Instant;

use super::binding::Extensions;
use super::streams::{EncodingPlace, StreamRole};
use super::{Engine, PeerIndex};
use crate::command::Event;
use crate::counters::DropReason;
use crate::id::Ssrc;
use crate::media::arrival::Arrival;
use crate::media::carried::Carried;
use crate::media::format::{Codec, Format};
use crate::media::packet::{Packet, Source};
use crate::media::packet_cache::CacheKey;
use crate::media::picture::{Head, Picture};
use crate::media::track::Track;
use crate::transport::path::Datagram;
use crate::wire::layers_allocation::LayersAllocation;
use crate::wire::rtp::{RtpHeader, padding_len};
use crate::wire::{opus, red};

/// An opened packet whose payload is in the vacant slot of its track's cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived<'a> {
    ssrc: Ssrc,
    pub(super) format: Format,
    /// It holds a redundant payload.
    is_red: bool,
    pub(super) index: u64,
    pub(super) timestamp: u32,
    marker: bool,
    pub(super) payload_len: usize,
    carried: Carried,
    /// The dependency descriptor as it came.
    dependency: Option<&'a [u8]>,
    /// What the publisher says of its layers, as it came.
    allocation: Option<&'a [u8]>,
    /// `None` for a retransmission.
    received_at: Option<Instant>,
}

impl Engine {
    pub(super) fn receive_rtp(
        &mut self,
        index: PeerIndex,
        datagram: Datagram<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let header = RtpHeader::parse(datagram.bytes)?;
        let peer = &mut self.peers[index.0];
        if !peer.is_live {
            return Err(DropReason::NotConnected);
        }
        let role = peer.streams.role(header.ssrc);
        let space = match role {
            Some(StreamRole::Media(place)) => {
                let track = peer.feeds[usize::from(place.feed)].track;
                self.tracks[track].track.cache.vacant_payload()
            }
            _ => &mut self.scratch[..],
        };
        let opened = peer.transport.open_rtp(datagram.bytes, &header, space, now)?;
        let padding = if header.has_padding { padding_len(&space[..opened.payload_len])? } else { 0 };
        let payload_len = opened.payload_len - padding;

        peer.stats.packets_received += 1;
        let extensions = Extensions::read(datagram.bytes, &header, &peer.ingress_extensions);
        if let Some(sequence_number) = extensions.transport_sequence {
            peer.twcc_log.note(sequence_number, header.ssrc, datagram.received_at);
        }
        self.mark_dirty(index);

        let role = match role {
            Some(role) => role,
            None => self.bind_stream(index, &header, &extensions, now)?,
        };
        match role {
            StreamRole::Media(place) => {
                let format = self.format_of(index, place, |section| section.format(header.payload_type))?;
                if self.peers[index.0].streams.role(header.ssrc) != Some(role) {
                    return Err(DropReason::TooManySsrcs);
                }
                let arrived = Arrived {
                    ssrc: header.ssrc,
                    format,
                    is_red: format.is_red(header.payload_type),
                    index: opened.index,
                    timestamp: header.timestamp,
                    marker: header.marker,
                    payload_len,
                    carried: extensions.carried,
                    dependency: extensions.dependency,
                    allocation: extensions.allocation,
                    received_at: Some(datagram.received_at),
                };
                self.take(index, place, &arrived, now)
            }
            StreamRole::Rtx(place) => self.receive_rtx(index, place, &header, payload_len, &extensions, now),
        }
    }

    /// Binds an SSRC that was not seen before, and moves its first payload to where those of a bound one
    /// are opened.
    fn bind_stream(
        &mut self,
        index: PeerIndex,
        header: &RtpHeader,
        extensions: &Extensions<'_>,
        now: Instant,
    ) -> Result<StreamRole, DropReason> {
        let peer = &mut self.peers[index.0];
        if peer.streams.is_retired(header.ssrc, now) {
            return Err(DropReason::TooLate);
        }
        let role =
            peer.resolve(header.ssrc, header.payload_type, extensions).ok_or(DropReason::UnboundSsrc)?;
        peer.streams.bind(header.ssrc, role, now);
        if let StreamRole::Media(place) = role {
            let track = peer.feeds[usize::from(place.feed)].track;
            self.tracks[track].track.cache.vacant_payload().copy_from_slice(&self.scratch[..]);
        }
        Ok(role)
    }

    /// A retransmission (RFC 4588): its payload is the original sequence number and the original payload.
    fn receive_rtx(
        &mut self,
        index: PeerIndex,
        place: EncodingPlace,
        header: &RtpHeader,
        payload_len: usize,
        extensions: &Extensions<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let format = self.format_of(index, place, |section| section.format_of_rtx(header.payload_type))?;
        let track = self.peers[index.0].feeds[usize::from(place.feed)].track;
        let track = &mut self.tracks[track].track;
        // A sender probes with retransmissions that hold nothing but padding.
        let (original, payload) =
            self.scratch[..payload_len].split_first_chunk::<2>().ok_or(DropReason::PaddingOnly)?;
        if payload.is_empty() {
            return Err(DropReason::PaddingOnly);
        }
        let encoding = track.encodings.get(usize::from(place.encoding));
        let run = encoding.and_then(|encoding| encoding.run.as_ref()).ok_or(DropReason::UnboundSsrc)?;
        let original = run.unwrap(u16::from_be_bytes(*original));
        // Only what is missing: anything else is a probe, or of a stream that this run has replaced.
        if !run.missing.contains(original) {
            return Err(DropReason::Duplicate);
        }
        let arrived = Arrived {
            ssrc: run.ssrc,
            format,
            is_red: false,
            index: original,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_len: payload.len(),
            carried: extensions.carried,
            dependency: extensions.dependency,
            allocation: extensions.allocation,
            received_at: None,
        };
        track.cache.vacant_payload()[..payload.len()].copy_from_slice(payload);
        self.take(index, place, &arrived, now)
    }

    fn format_of(
        &self,
        index: PeerIndex,
        place: EncodingPlace,
        find: impl Fn(&crate::transport::description::Section) -> Option<&Format>,
    ) -> Result<Format, DropReason> {
        let peer = &self.peers[index.0];
        let section = peer.feeds[usize::from(place.feed)].section;
        find(&peer.transport.description().sections[section]).copied().ok_or(DropReason::UnknownPayloadType)
    }

    /// Takes a packet into its track and offers it to everyone who watches.
    fn take(
        &mut self,
        index: PeerIndex,
        place: EncodingPlace,
        arrived: &Arrived<'_>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let track_index = self.peers[index.0].feeds[usize::from(place.feed)].track;
        let node = &mut self.tracks[track_index];
        let head = audio_head(arrived, &node.track.cache.vacant_payload()[..arrived.payload_len])?;
        let arrival = note(&mut node.track, place.encoding, arrived, now)?;
        if let (Arrival::Newest { gap }, Head::Red(red)) = (arrival, head) {
            self.recover(track_index, place.encoding, arrived, red, gap, now);
        }
        let node = &mut self.tracks[track_index];
        let key = keep(&mut node.track, place.encoding, arrived, arrival, head)?;
        if node.track.codec != Some(arrived.format.codec) {
            node.track.codec = Some(arrived.format.codec);
            let event = Event::TrackStarted { track: node.id, codec: arrived.format.codec };
            self.push_event(event);
        }
        if self.tracks[track_index].track.reconsider(now) {
            self.note_demand(track_index, now);
        }
        self.route(track_index, key, now);
        Ok(())
    }
}

/// Keeps a packet that was counted in the cache.
fn keep(
    track: &mut Track,
    encoding: u8,
    arrived: &Arrived<'_>,
    arrival: Arrival,
    head: Head,
) -> Result<CacheKey, DropReason> {
    let Track { encodings, cache, .. } = track;
    let state = encodings.get_mut(usize::from(encoding)).ok_or(DropReason::UnboundSsrc)?;
    let run = state.run.as_mut().ok_or(DropReason::UnboundSsrc)?;
    if let (Arrival::Newest { .. }, Some(received_at)) = (arrival, arrived.received_at) {
        run.arrivals.measure_jitter(arrived.timestamp, received_at, arrived.format.clock_rate_hz);
    }
    if let Arrival::Newest { .. } = arrival {
        run.newest_timestamp = Some(arrived.timestamp);
    }
    let slot = cache.vacant_payload();
    let mut picture = if arrived.payload_len == 0 {
        Picture::default()
    } else {
        run.pictures.read(arrived.format.codec, &slot[..arrived.payload_len], arrived.dependency)
    };
    if let Head::Red(_) = head {
        picture.head = head;
    }
    let dependency_len = keep_dependency(&mut picture, arrived, slot);
    let mut carried = arrived.carried;
    run.remembered.note(&mut carried, arrived.timestamp, arrived.marker, picture.is_entry);
    if let Some(mut allocation) = arrived.allocation.and_then(LayersAllocation::parse) {
        if let Some(before) = &state.allocation {
            allocation.fill_sizes(before);
        }
        state.size = state.size.or(allocation.own_layers().last().and_then(|layer| layer.size));
        state.allocation = Some(allocation);
    }
    if picture.is_entry {
        state.keyframes.granted();
        state.size = picture.size.or(state.size);
    }
    Ok(cache.commit(Packet {
        source: Source { encoding, epoch: run.epoch },
        index: arrived.index,
        timestamp: arrived.timestamp,
        marker: arrived.marker,
        payload_len: arrived.payload_len as u16,
        picture,
        dependency_len,
        carried,
        is_recovered: false,
        received_at: arrived.received_at,
    }))
}

/// The head of an audio payload that will be unwrapped or numbered anew.
///
/// Audio that cannot be what it says is dropped before it changes anything: it could neither be unwrapped nor
/// be given another inner payload type.
fn audio_head(arrived: &Arrived<'_>, payload: &[u8]) -> Result<Head, DropReason> {
    if arrived.format.codec != Codec::Opus || payload.is_empty() {
        return Ok(Head::Fixed);
    }
    if arrived.is_red {
        return red::Header::parse(payload, arrived.format.payload_type).map(Head::Red);
    }
    if opus::is_sound(payload) { Ok(Head::Fixed) } else { Err(DropReason::MalformedPayload) }
}

/// Puts a sound dependency descriptor behind the payload, and returns its length. Both came in one datagram,
/// so there is room.
fn keep_dependency(picture: &mut Picture, arrived: &Arrived<'_>, slot: &mut [u8]) -> u8 {
    let Some(bytes) = arrived.dependency.filter(|_| picture.dependency.is_some()) else { return 0 };
    let room = slot.get_mut(arrived.payload_len..arrived.payload_len + bytes.len());
    match (room, u8::try_from(bytes.len())) {
        (Some(room), Ok(len)) => {
            room.copy_from_slice(bytes);
            len
        }
        _ => {
            picture.dependency = None;
            0
        }
    }
}

/// Counts a packet in its run of numbers. A new SSRC or payload type begins a new run.
fn note(track: &mut Track, encoding: u8, arrived: &Arrived<'_>, now: Instant) -> Result<Arrival, DropReason> {
    let state = track.encodings.get_mut(usize::from(encoding)).ok_or(DropReason::UnboundSsrc)?;
    match &mut state.run {
        Some(run) if run.ssrc == arrived.ssrc && run.format == arrived.format => {
            let asks = arrived.format.feedback.nack;
            match run.note(arrived.index, arrived.payload_len, asks, now) {
                Arrival::Duplicate => Err(DropReason::Duplicate),
                arrival => Ok(arrival),
            }
        }
        Some(run) if run.ssrc == arrived.ssrc && arrived.index <= run.arrivals.highest() => {
            Err(DropReason::TooLate)
        }
        _ => {
            track.begin_run(encoding, arrived.ssrc, arrived.format, arrived.index, now);
            Ok(Arrival::Newest { gap: 0 })
        }
    }
}
