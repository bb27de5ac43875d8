//! RTCP compounds (RFC 3550, section 6; feedback of RFC 4585, RFC 5104, REMB, transport-wide feedback).
//!
//! Everything is terminated here: what is read is never forwarded as it came, what is sent is written
//! anew by [`RtcpWriter`]. This module knows layouts, not what a report means for a stream.
//!
//! # Invariants
//!
//! - Reading accepts any order and reduced size (RFC 5506), names what it does not know
//!   [`RtcpPacket::Unknown`], and ends at the first length that does not hold.
//! - At most [`RTCP_PACKETS_PER_COMPOUND_MAX`] packets and [`NACK_ENTRIES_PER_PACKET_MAX`] entries of a
//!   NACK are read; a report has 31 blocks at most by its format, and the size of the datagram bounds
//!   the rest.
#![forbid(unsafe_code)]

mod write;

pub use write::RtcpWriter;

use super::reader::Reader;
use super::twcc::TransportFeedback;
use crate::counters::DropReason;
use crate::id::Ssrc;
use crate::limits::{NACK_ENTRIES_PER_PACKET_MAX, RTCP_PACKETS_PER_COMPOUND_MAX};
use crate::time::NtpTime;

const VERSION: u8 = 2;
const PADDING_BIT: u8 = 0x20;
const COUNT_MASK: u8 = 0x1f;
/// The first word of each packet: version, padding, count or format, type, length.
const HEADER_LEN: usize = 4;
const REPORT_BLOCK_LEN: usize = 24;
const FIR_ENTRY_LEN: usize = 8;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_LAYER_FEEDBACK: u8 = 205;
const PAYLOAD_SPECIFIC_FEEDBACK: u8 = 206;
const EXTENDED_REPORT: u8 = 207;

const FORMAT_NACK: u8 = 1;
const FORMAT_TRANSPORT_CC: u8 = 15;
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;
const FORMAT_APPLICATION: u8 = 15;
const REMB_NAME: [u8; 4] = *b"REMB";

const BLOCK_REFERENCE_TIME: u8 = 4;
const BLOCK_DELAY_SINCE_LAST: u8 = 5;

/// One packet of a compound.
#[derive(Clone, Debug)]
pub enum RtcpPacket<'a> {
    /// SR (RFC 3550, section 6.4.1).
    SenderReport {
        /// Who sends the stream that is described.
        ssrc: Ssrc,
        /// What was sent so far.
        info: SenderInfo,
        /// What that sender received from others.
        blocks: ReportBlocks<'a>,
    },
    /// RR (RFC 3550, section 6.4.2).
    ReceiverReport {
        /// Who reports.
        ssrc: Ssrc,
        /// What it received.
        blocks: ReportBlocks<'a>,
    },
    /// SDES (RFC 3550, section 6.5). Its items are not read: names come from signalling.
    SourceDescription,
    /// BYE: these sources end (RFC 3550, section 6.6).
    Bye(Ssrcs<'a>),
    /// Generic NACK (RFC 4585, section 6.2.1).
    Nack {
        /// The stream that lacks packets.
        media: Ssrc,
        /// The sequence numbers that are asked for.
        entries: NackEntries<'a>,
    },
    /// Transport-wide congestion control feedback.
    TransportFeedback(TransportFeedback<'a>),
    /// PLI (RFC 4585, section 6.3.1).
    Pli {
        /// The stream that needs a keyframe.
        media: Ssrc,
    },
    /// FIR (RFC 5104, section 4.3.1).
    Fir(FirEntries<'a>),
    /// REMB (draft-alvestrand-rmcat-remb-03, section 2.2).
    Remb {
        /// Estimated receive bandwidth, bits per second.
        bitrate_bps: u64,
        /// The streams that share it.
        ssrcs: Ssrcs<'a>,
    },
    /// XR with a receiver reference time (RFC 3611, section 4.4). Its other blocks are not read.
    ReferenceTime {
        /// The receiver that wants to know its round trip.
        ssrc: Ssrc,
        /// Its wall-clock time.
        ntp: NtpTime,
    },
    /// A type that is not read here, or a body that does not fit its type.
    Unknown,
}

/// What a sender says about its stream (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall-clock time of the report.
    pub ntp: NtpTime,
    /// The same instant in units of the media clock.
    pub rtp_timestamp: u32,
    /// Packets sent since the start, modulo 2^32.
    pub packet_count: u32,
    /// Payload bytes sent since the start, modulo 2^32.
    pub octet_count: u32,
}

/// What a receiver says about one stream (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: Ssrc,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start, 24 bits with sign; negative if there were duplicates.
    pub cumulative_lost: i32,
    /// Highest sequence number with its cycles in the upper 16 bits.
    pub highest_sequence: u32,
    /// Interarrival jitter, units of the media clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last SR; 0 if there was none.
    pub last_sr: u32,
    /// From that SR to this report, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn read(reader: &mut Reader) -> Option<Self> {
        Some(Self {
            ssrc: Ssrc(reader.u32()?),
            fraction_lost: reader.u8()?,
            cumulative_lost: sign_extended_24(reader.u24()?),
            highest_sequence: reader.u32()?,
            jitter: reader.u32()?,
            last_sr: reader.u32()?,
            delay_since_last_sr: reader.u32()?,
        })
    }
}

/// A 24-bit number with sign.
fn sign_extended_24(value: u32) -> i32 {
    (value << 8) as i32 >> 8
}

/// The report blocks of one SR or RR.
#[derive(Clone, Debug)]
pub struct ReportBlocks<'a>(Reader<'a>);

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        ReportBlock::read(&mut self.0)
    }
}

/// The streams of a BYE or REMB.
#[derive(Clone, Debug)]
pub struct Ssrcs<'a>(Reader<'a>);

impl Iterator for Ssrcs<'_> {
    type Item = Ssrc;

    fn next(&mut self) -> Option<Ssrc> {
        self.0.u32().map(Ssrc)
    }
}

/// The sequence numbers of one NACK, in the order of its entries. At most 17 times
/// [`NACK_ENTRIES_PER_PACKET_MAX`] of them.
#[derive(Clone, Debug)]
pub struct NackEntries<'a> {
    entries: Reader<'a>,
    /// The first sequence number of the entry being read, and what is left of its bitmask.
    first: u16,
    mask: u16,
}

impl Iterator for NackEntries<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.mask == 0 {
            let mut next = self.entries;
            (self.first, self.mask) = (next.u16()?, next.u16()?);
            self.entries = next;
            return Some(self.first);
        }
        let bit = self.mask.trailing_zeros() as u16;
        self.mask &= self.mask - 1;
        Some(self.first.wrapping_add(bit + 1))
    }
}

/// The entries of one FIR: a stream, and the number of the request for it. The same number as before
/// is the same request again (RFC 5104, section 4.3.1.2).
#[derive(Clone, Debug)]
pub struct FirEntries<'a>(Reader<'a>);

impl Iterator for FirEntries<'_> {
    type Item = (Ssrc, u8);

    fn next(&mut self) -> Option<(Ssrc, u8)> {
        let mut entry = Reader::new(self.0.bytes(FIR_ENTRY_LEN)?);
        Some((Ssrc(entry.u32()?), entry.u8()?))
    }
}

/// The packets of one opened compound, see [`packets`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: Reader<'a>,
    left: usize,
}

/// Reads a compound, or one packet of reduced size (RFC 5506), that was opened.
///
/// # Errors
/// [`DropReason::MalformedRtcp`] if not even the first packet holds.
pub fn packets(compound: &[u8]) -> Result<Packets<'_>, DropReason> {
    let rest = Reader::new(compound);
    match Frame::read(&mut rest.clone()) {
        Some(_) => Ok(Packets { rest, left: RTCP_PACKETS_PER_COMPOUND_MAX }),
        None => Err(DropReason::MalformedRtcp),
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = RtcpPacket<'a>;

    fn next(&mut self) -> Option<RtcpPacket<'a>> {
        self.left = self.left.checked_sub(1)?;
        let Some(frame) = Frame::read(&mut self.rest) else {
            self.left = 0;
            return None;
        };
        Some(frame.packet().unwrap_or(RtcpPacket::Unknown))
    }
}

/// One packet whose length holds, its body not read yet.
struct Frame<'a> {
    /// Count of blocks, or format of feedback: five bits of the header.
    count: u8,
    kind: u8,
    /// What stands behind the header, without padding.
    body: Reader<'a>,
}

impl<'a> Frame<'a> {
    fn read(rest: &mut Reader<'a>) -> Option<Self> {
        let first = rest.u8()?;
        let kind = rest.u8()?;
        let body = 4 * usize::from(rest.u16()?);
        let mut body = rest.bytes(body)?;
        if first >> 6 != VERSION {
            return None;
        }
        if first & PADDING_BIT != 0 {
            let padding = usize::from(*body.last()?);
            // RFC 3550 asks for a multiple of four; libwebrtc pads its feedback by single bytes.
            let is_sound = padding > 0;
            body = body.get(..body.len().checked_sub(padding)?).filter(|_| is_sound)?;
        }
        Some(Self { count: first & COUNT_MASK, kind, body: Reader::new(body) })
    }

    fn packet(mut self) -> Option<RtcpPacket<'a>> {
        let count = usize::from(self.count);
        match self.kind {
            SENDER_REPORT => {
                let ssrc = Ssrc(self.body.u32()?);
                let info = SenderInfo {
                    ntp: NtpTime(self.body.u64()?),
                    rtp_timestamp: self.body.u32()?,
                    packet_count: self.body.u32()?,
                    octet_count: self.body.u32()?,
                };
                Some(RtcpPacket::SenderReport { ssrc, info, blocks: self.report_blocks()? })
            }
            RECEIVER_REPORT => {
                let ssrc = Ssrc(self.body.u32()?);
                Some(RtcpPacket::ReceiverReport { ssrc, blocks: self.report_blocks()? })
            }
            SOURCE_DESCRIPTION => Some(RtcpPacket::SourceDescription),
            BYE => Some(RtcpPacket::Bye(Ssrcs(Reader::new(self.body.bytes(4 * count)?)))),
            TRANSPORT_LAYER_FEEDBACK => self.transport_layer_feedback(),
            PAYLOAD_SPECIFIC_FEEDBACK => self.payload_specific_feedback(),
            EXTENDED_REPORT => self.extended_report(),
            _ => None,
        }
    }

    fn report_blocks(&mut self) -> Option<ReportBlocks<'a>> {
        let len = REPORT_BLOCK_LEN * usize::from(self.count);
        Some(ReportBlocks(Reader::new(self.body.bytes(len)?)))
    }

    fn transport_layer_feedback(&mut self) -> Option<RtcpPacket<'a>> {
        let sender = Ssrc(self.body.u32()?);
        let media = Ssrc(self.body.u32()?);
        match self.count {
            FORMAT_NACK => {
                let len = self.body.rest().len().min(4 * NACK_ENTRIES_PER_PACKET_MAX);
                let entries = Reader::new(self.body.bytes(len)?);
                Some(RtcpPacket::Nack { media, entries: NackEntries { entries, first: 0, mask: 0 } })
            }
            FORMAT_TRANSPORT_CC => {
                TransportFeedback::read(sender, media, self.body).map(RtcpPacket::TransportFeedback)
            }
            _ => None,
        }
    }

    fn extended_report(&mut self) -> Option<RtcpPacket<'a>> {
        let ssrc = Ssrc(self.body.u32()?);
        loop {
            let kind = self.body.u8()?;
            let _reserved = self.body.u8()?;
            let len = 4 * usize::from(self.body.u16()?);
            let mut block = Reader::new(self.body.bytes(len)?);
            if kind == BLOCK_REFERENCE_TIME {
                let ntp = NtpTime(u64::from(block.u32()?) << 32 | u64::from(block.u32()?));
                return Some(RtcpPacket::ReferenceTime { ssrc, ntp });
            }
        }
    }

    fn payload_specific_feedback(&mut self) -> Option<RtcpPacket<'a>> {
        let _sender = self.body.u32()?;
        let media = Ssrc(self.body.u32()?);
        match self.count {
            FORMAT_PLI => Some(RtcpPacket::Pli { media }),
            FORMAT_FIR => Some(RtcpPacket::Fir(FirEntries(self.body))),
            FORMAT_APPLICATION if self.body.bytes(4)? == REMB_NAME => {
                let count = usize::from(self.body.u8()?);
                let bitrate_bps = remb_bitrate(self.body.u24()?);
                let ssrcs = Ssrcs(Reader::new(self.body.bytes(4 * count)?));
                Some(RtcpPacket::Remb { bitrate_bps, ssrcs })
            }
            _ => None,
        }
    }
}

/// Six bits of exponent, eighteen of mantissa. What is larger than a `u64` is the largest `u64`.
fn remb_bitrate(field: u32) -> u64 {
    let (exponent, mantissa) = (field >> 18, u64::from(field & 0x3_ffff));
    let is_representable = mantissa.leading_zeros() >= exponent;
    if is_representable { mantissa.checked_shl(exponent).unwrap_or(0) } else { u64::MAX }
}

#[cfg(test)]
mod tests;
