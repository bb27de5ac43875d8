//! Writes RTCP compounds. See [`super`] for the layouts and their sources.
#![forbid(unsafe_code)]

use super::super::twcc::Feedback;
use super::{
    BLOCK_DELAY_SINCE_LAST, BYE, EXTENDED_REPORT, FIR_ENTRY_LEN, FORMAT_APPLICATION, FORMAT_FIR, FORMAT_NACK,
    FORMAT_PLI, FORMAT_TRANSPORT_CC, HEADER_LEN, PAYLOAD_SPECIFIC_FEEDBACK, RECEIVER_REPORT, REMB_NAME,
    REPORT_BLOCK_LEN, ReportBlock, SENDER_REPORT, SOURCE_DESCRIPTION, SenderInfo, TRANSPORT_LAYER_FEEDBACK,
    VERSION,
};
use crate::id::Ssrc;

/// Blocks or sources that the five bits of the header can count.
const COUNT_MAX: usize = 31;
/// Sources that the eight bits of a REMB can count.
const REMB_SSRCS_MAX: usize = 255;
const SDES_CNAME: u8 = 1;
const SDES_TEXT_LEN_MAX: usize = 255;
const SENDER_INFO_LEN: usize = 20;
const SSRC_LEN: usize = 4;
/// Sender and media SSRC of a feedback packet (RFC 4585, section 6.1).
const FEEDBACK_SSRCS_LEN: usize = 8;

/// Appends packets to a compound. Each method returns whether its packet fitted into the room and the
/// format; if not, the compound is as it was.
#[derive(Debug)]
pub struct RtcpWriter<'a> {
    out: &'a mut [u8],
    len: usize,
}

/// The body of one packet being written: its length is known beforehand, so each write fits.
struct Body<'a>(&'a mut [u8]);

impl Body<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (head, rest) = std::mem::take(&mut self.0)
            .split_at_mut_checked(bytes.len())
            .expect("a body is reserved with the length of all that is put into it");
        head.copy_from_slice(bytes);
        self.0 = rest;
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    fn put_block(&mut self, block: &ReportBlock) {
        self.put_u32(block.ssrc.0);
        let lost = block.cumulative_lost.clamp(-(1 << 23), (1 << 23) - 1);
        self.put_u32(u32::from(block.fraction_lost) << 24 | lost as u32 & 0x00ff_ffff);
        self.put_u32(block.highest_sequence);
        self.put_u32(block.jitter);
        self.put_u32(block.last_sr);
        self.put_u32(block.delay_since_last_sr);
    }
}

impl<'a> RtcpWriter<'a> {
    /// Starts an empty compound in `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no packet was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the header of the next packet and returns its zeroed body of `len` bytes.
    fn reserve(&mut self, count: usize, kind: u8, len: usize) -> Option<Body<'_>> {
        let words = u16::try_from(len / 4).ok().filter(|_| len.is_multiple_of(4) && count <= COUNT_MAX)?;
        let packet = self.out.get_mut(self.len..)?.get_mut(..HEADER_LEN + len)?;
        self.len += packet.len();
        let (header, body) = packet.split_at_mut(HEADER_LEN);
        header[..2].copy_from_slice(&[VERSION << 6 | count as u8, kind]);
        header[2..].copy_from_slice(&words.to_be_bytes());
        body.fill(0);
        Some(Body(body))
    }

    fn reserve_feedback(
        &mut self,
        format: u8,
        kind: u8,
        sender: Ssrc,
        media: Ssrc,
        len: usize,
    ) -> Option<Body<'_>> {
        let mut body = self.reserve(usize::from(format), kind, FEEDBACK_SSRCS_LEN + len)?;
        body.put_u32(sender.0);
        body.put_u32(media.0);
        Some(body)
    }

    /// Appends an XR that answers a receiver reference time (RFC 3611, section 4.5): `last` are the middle
    /// 32 bits of it, `delay` is how long ago it came, in 1/65536 s.
    pub fn delay_since_reference_time(
        &mut self,
        sender: Ssrc,
        receiver: Ssrc,
        last: u32,
        delay: u32,
    ) -> bool {
        const BLOCK_HEADER_LEN: usize = 4;
        const ENTRY_LEN: usize = 12;
        let Some(mut body) = self.reserve(0, EXTENDED_REPORT, SSRC_LEN + BLOCK_HEADER_LEN + ENTRY_LEN) else {
            return false;
        };
        body.put_u32(sender.0);
        body.put(&[BLOCK_DELAY_SINCE_LAST, 0, 0, (ENTRY_LEN / 4) as u8]);
        body.put_u32(receiver.0);
        body.put_u32(last);
        body.put_u32(delay);
        true
    }

    /// Appends an SR with at most 31 blocks (RFC 3550, section 6.4.1).
    pub fn sender_report(&mut self, ssrc: Ssrc, info: &SenderInfo, blocks: &[ReportBlock]) -> bool {
        let len = SSRC_LEN + SENDER_INFO_LEN + REPORT_BLOCK_LEN * blocks.len();
        let Some(mut body) = self.reserve(blocks.len(), SENDER_REPORT, len) else {
            return false;
        };
        body.put_u32(ssrc.0);
        body.put(&info.ntp.0.to_be_bytes());
        body.put_u32(info.rtp_timestamp);
        body.put_u32(info.packet_count);
        body.put_u32(info.octet_count);
        blocks.iter().for_each(|block| body.put_block(block));
        true
    }

    /// Appends an RR with at most 31 blocks (RFC 3550, section 6.4.2).
    pub fn receiver_report(&mut self, ssrc: Ssrc, blocks: &[ReportBlock]) -> bool {
        let len = SSRC_LEN + REPORT_BLOCK_LEN * blocks.len();
        let Some(mut body) = self.reserve(blocks.len(), RECEIVER_REPORT, len) else {
            return false;
        };
        body.put_u32(ssrc.0);
        blocks.iter().for_each(|block| body.put_block(block));
        true
    }

    /// Appends an SDES with one CNAME of at most 255 bytes (RFC 3550, section 6.5.1).
    pub fn sdes_cname(&mut self, ssrc: Ssrc, cname: &str) -> bool {
        if cname.len() > SDES_TEXT_LEN_MAX {
            return false;
        }
        // At least one zero byte ends the list of items.
        let len = (SSRC_LEN + 2 + cname.len() + 1).next_multiple_of(4);
        let Some(mut body) = self.reserve(1, SOURCE_DESCRIPTION, len) else {
            return false;
        };
        body.put_u32(ssrc.0);
        body.put(&[SDES_CNAME, cname.len() as u8]);
        body.put(cname.as_bytes());
        true
    }

    /// Appends a BYE for at most 31 sources (RFC 3550, section 6.6).
    pub fn bye(&mut self, ssrcs: &[Ssrc]) -> bool {
        let Some(mut body) = self.reserve(ssrcs.len(), BYE, SSRC_LEN * ssrcs.len()) else {
            return false;
        };
        ssrcs.iter().for_each(|ssrc| body.put_u32(ssrc.0));
        true
    }

    /// Appends a generic NACK (RFC 4585, section 6.2.1) for the sequence numbers `lost`, in ascending
    /// order modulo 2^16. If there are none, nothing is written, and that fits.
    pub fn nack(&mut self, sender: Ssrc, media: Ssrc, lost: &[u16]) -> bool {
        let entries = nack_entries(lost);
        let count = entries.clone().count();
        if count == 0 {
            return true;
        }
        let body = self.reserve_feedback(FORMAT_NACK, TRANSPORT_LAYER_FEEDBACK, sender, media, 4 * count);
        let Some(mut body) = body else {
            return false;
        };
        entries.for_each(|(first, mask)| body.put_u32(u32::from(first) << 16 | u32::from(mask)));
        true
    }

    /// Appends a PLI (RFC 4585, section 6.3.1).
    pub fn pli(&mut self, sender: Ssrc, media: Ssrc) -> bool {
        self.reserve_feedback(FORMAT_PLI, PAYLOAD_SPECIFIC_FEEDBACK, sender, media, 0).is_some()
    }

    /// Appends a FIR for one stream (RFC 5104, section 4.3.1). `number` grows by one with each new
    /// request and stays with a repeat.
    pub fn fir(&mut self, sender: Ssrc, media: Ssrc, number: u8) -> bool {
        let body =
            self.reserve_feedback(FORMAT_FIR, PAYLOAD_SPECIFIC_FEEDBACK, sender, Ssrc(0), FIR_ENTRY_LEN);
        let Some(mut body) = body else {
            return false;
        };
        body.put_u32(media.0);
        body.put(&[number]);
        true
    }

    /// Appends a REMB for at most 255 streams (draft-alvestrand-rmcat-remb-03, section 2.2). The
    /// bitrate, bits per second, is rounded down to 18 significant bits.
    pub fn remb(&mut self, sender: Ssrc, bitrate_bps: u64, ssrcs: &[Ssrc]) -> bool {
        if ssrcs.len() > REMB_SSRCS_MAX {
            return false;
        }
        let len = REMB_NAME.len() + 4 + SSRC_LEN * ssrcs.len();
        let body = self.reserve_feedback(FORMAT_APPLICATION, PAYLOAD_SPECIFIC_FEEDBACK, sender, Ssrc(0), len);
        let Some(mut body) = body else {
            return false;
        };
        let exponent = (u64::BITS - bitrate_bps.leading_zeros()).saturating_sub(18);
        let mantissa = (bitrate_bps >> exponent) as u32;
        body.put(&REMB_NAME);
        body.put_u32((ssrcs.len() as u32) << 24 | exponent << 18 | mantissa);
        ssrcs.iter().for_each(|ssrc| body.put_u32(ssrc.0));
        true
    }

    /// Appends transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01,
    /// section 3.1). `media` must be a stream that the peer sends.
    pub fn transport_feedback(&mut self, sender: Ssrc, media: Ssrc, feedback: &Feedback) -> bool {
        let len = feedback.body_len();
        let body = self.reserve_feedback(FORMAT_TRANSPORT_CC, TRANSPORT_LAYER_FEEDBACK, sender, media, len);
        let Some(mut body) = body else {
            return false;
        };
        feedback.write(|bytes| body.put(bytes));
        true
    }
}

/// Groups ascending sequence numbers into `(first, mask of the 16 behind it)`.
fn nack_entries(lost: &[u16]) -> impl Iterator<Item = (u16, u16)> + Clone {
    let mut rest = lost;
    std::iter::from_fn(move || {
        let (&first, behind) = rest.split_first()?;
        rest = behind;
        let mut mask = 0;
        while let Some((&number, behind)) = rest.split_first() {
            match number.wrapping_sub(first) {
                0 => {}
                distance @ 1..=16 => mask |= 1 << (distance - 1),
                _ => break,
            }
            rest = behind;
        }
        Some((first, mask))
    })
}
