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
use crate::media::format::Format;
use crate::media::packet::{Carried, Packet, Source};
use crate::media::packet_cache::CacheKey;
use crate::media::picture::Picture;
use crate::media::track::Track;
use crate::transport::path::Datagram;
use crate::wire::rtp::{RtpHeader, padding_len};

/// An opened packet whose payload is in the vacant slot of its track's cache.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    ssrc: Ssrc,
    format: Format,
    index: u64,
    timestamp: u32,
    marker: bool,
    payload_len: usize,
    carried: Carried,
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
                    index: opened.index,
                    timestamp: header.timestamp,
                    marker: header.marker,
                    payload_len,
                    carried: extensions.carried,
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
        extensions: &Extensions,
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
        extensions: &Extensions,
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
            index: original,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_len: payload.len(),
            carried: extensions.carried,
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
        arrived: &Arrived,
        now: Instant,
    ) -> Result<(), DropReason> {
        let track_index = self.peers[index.0].feeds[usize::from(place.feed)].track;
        let node = &mut self.tracks[track_index];
        let key = keep(&mut node.track, place.encoding, arrived, now)?;
        if node.track.codec != Some(arrived.format.codec) {
            node.track.codec = Some(arrived.format.codec);
            let event = Event::TrackStarted { track: node.id, codec: arrived.format.codec };
            self.push_event(event);
        }
        self.tracks[track_index].track.reconsider(now);
        self.route(track_index, key, now);
        Ok(())
    }
}

/// Counts a packet and keeps it in the cache, unless the track has it already.
fn keep(track: &mut Track, encoding: u8, arrived: &Arrived, now: Instant) -> Result<CacheKey, DropReason> {
    let arrival = note(track, encoding, arrived, now)?;
    let Track { encodings, cache, .. } = track;
    let state = encodings.get_mut(usize::from(encoding)).ok_or(DropReason::UnboundSsrc)?;
    let run = state.run.as_mut().ok_or(DropReason::UnboundSsrc)?;
    if let (Arrival::Newest { .. }, Some(received_at)) = (arrival, arrived.received_at) {
        run.arrivals.measure_jitter(arrived.timestamp, received_at, arrived.format.clock_rate_hz);
    }
    let picture = if arrived.payload_len == 0 {
        Picture::default()
    } else {
        run.pictures.read(arrived.format.codec, &cache.vacant_payload()[..arrived.payload_len])
    };
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
        carried: arrived.carried,
        received_at: arrived.received_at,
    }))
}

/// Counts a packet in its run of numbers. A new SSRC or payload type begins a new run.
fn note(track: &mut Track, encoding: u8, arrived: &Arrived, now: Instant) -> Result<Arrival, DropReason> {
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
