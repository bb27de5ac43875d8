//! One encoding of a track, as it arrives from the publisher.
#![forbid(unsafe_code)]

use std::time::Instant;

use super::arrival::{Arrival, Arrivals, SenderReport};
use super::carried::Remembered;
use super::crossing::Crossing;
use super::demand::Demand;
use super::format::Format;
use super::keyframe::KeyframeRequests;
use super::loss::MissingPackets;
use super::meter::BitrateMeter;
use super::picture::PictureReader;
use crate::id::{Rid, Ssrc};
use crate::limits::ENCODING_SILENCE_MAX;
use crate::wire::layers_allocation::LayersAllocation;

/// The state of one encoding. It outlives its SSRC: a new one begins a new run.
#[derive(Debug)]
pub struct Encoding {
    /// Its RID, in simulcast.
    pub rid: Option<Rid>,
    /// The wishes for a keyframe.
    pub keyframes: KeyframeRequests,
    /// Width and height of the last keyframe, pixels.
    pub size: Option<(u16, u16)>,
    /// What its publisher last said of the layers that it sends.
    pub allocation: Option<LayersAllocation>,
    /// Whether anybody wants it.
    pub demand: Demand,
    /// What is arriving, once it does.
    pub run: Option<Run>,
}

/// One uninterrupted run of numbers of an encoding.
#[derive(Debug)]
pub struct Run {
    /// Unique within the track.
    pub epoch: u32,
    /// The SSRC of the media.
    pub ssrc: Ssrc,
    /// The format of its packets.
    pub format: Format,
    /// What arrived.
    pub arrivals: Arrivals,
    /// What did not.
    pub missing: MissingPackets,
    /// The publisher's newest sender report.
    pub sender_report: Option<SenderReport>,
    /// Follows picture ids.
    pub pictures: PictureReader,
    /// What is said now and then.
    pub remembered: Remembered,
    /// The timestamp of the newest packet.
    pub newest_timestamp: Option<u32>,
    /// How often a keyframe was wanted only to learn the size.
    pub size_requests: u8,
    meter: BitrateMeter,
    last_at: Instant,
}

impl Encoding {
    /// An encoding that nothing arrived for yet.
    pub fn new(rid: Option<Rid>) -> Self {
        Self {
            rid,
            keyframes: KeyframeRequests::default(),
            size: None,
            allocation: None,
            demand: Demand::default(),
            run: None,
        }
    }

    /// Takes over what the shard that feeds the encoding knows of it and of a packet that crossed with this
    /// dependency descriptor.
    pub fn follow(&mut self, crossing: &Crossing, dependency: &[u8], now: Instant) {
        let packet = &crossing.packet;
        let epoch = packet.source.epoch;
        self.size = crossing.size;
        if packet.picture.is_entry {
            // The wish that was told is granted; the next is told at once.
            self.keyframes = KeyframeRequests::default();
        }
        let run = match &mut self.run {
            Some(run) if run.epoch == epoch => {
                if !packet.is_recovered {
                    run.note(packet.index, usize::from(packet.payload_len), false, now);
                }
                run
            }
            run => run.insert(Run::new(epoch, crossing.ssrc, crossing.format, packet.index, now)),
        };
        run.arrivals.advance_to(crossing.highest);
        run.sender_report = crossing.sender_report;
        run.remembered = crossing.remembered;
        if let Some(seen) = &packet.picture.dependency {
            run.pictures.follow(seen, dependency, crossing.structure_from);
        }
    }

    /// Whether packets came lately.
    pub fn is_flowing(&self, now: Instant) -> bool {
        self.run.as_ref().is_some_and(|run| now < run.silent_at())
    }

    /// Orders encodings by what they show: pixels, then bits. 0: nothing flows.
    pub fn rank(&mut self, now: Instant) -> (u32, u64) {
        if !self.is_flowing(now) {
            return (0, 0);
        }
        let pixels = self.size.map_or(0, |(width, height)| u32::from(width) * u32::from(height));
        (pixels, self.bitrate_bps(now).max(1))
    }

    /// Bits per second of payload over the last second.
    pub fn bitrate_bps(&mut self, now: Instant) -> u64 {
        self.run.as_mut().map_or(0, |run| run.meter.bitrate_bps(now))
    }
}

impl Run {
    /// Begins with the packet `index`, which is thereby received.
    pub fn new(epoch: u32, ssrc: Ssrc, format: Format, index: u64, now: Instant) -> Self {
        Self {
            epoch,
            ssrc,
            format,
            arrivals: Arrivals::new(index),
            missing: MissingPackets::default(),
            sender_report: None,
            pictures: PictureReader::default(),
            remembered: Remembered::default(),
            newest_timestamp: None,
            size_requests: 0,
            meter: BitrateMeter::new(now),
            last_at: now,
        }
    }

    /// Counts a packet and notes what is missing before it. `asks_for_loss` is whether NACK was negotiated.
    pub fn note(&mut self, index: u64, payload_len: usize, asks_for_loss: bool, now: Instant) -> Arrival {
        let highest = self.arrivals.highest();
        let arrival = self.arrivals.note(index);
        match arrival {
            Arrival::Newest { gap } if gap > 0 && asks_for_loss => self.missing.note_gap(highest, index, now),
            Arrival::Late => self.missing.note_arrival(index),
            Arrival::Newest { .. } => {}
            Arrival::Duplicate => return arrival,
        }
        self.meter.add(payload_len, now);
        self.last_at = now;
        arrival
    }

    /// Takes the packet `index` for arrived, because its content was found elsewhere. False if it came itself.
    pub fn fill(&mut self, index: u64) -> bool {
        self.missing.note_arrival(index);
        self.arrivals.fill(index)
    }

    /// When it counts as silent, if nothing comes before.
    pub fn silent_at(&self) -> Instant {
        self.last_at + ENCODING_SILENCE_MAX
    }

    /// Puts a 16-bit sequence number on the line of this run, nearest to its newest packet.
    pub fn unwrap(&self, sequence_number: u16) -> u64 {
        let highest = self.arrivals.highest();
        let step = sequence_number.wrapping_sub(highest as u16) as i16;
        highest.saturating_add_signed(i64::from(step))
    }
}
