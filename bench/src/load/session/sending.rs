//! One encoding that a client sends: its numbers, its reports, and what it can send again.
#![forbid(unsafe_code)]

use dataplane::id::{PayloadType, Ssrc};
use dataplane::time::NtpTime;
use dataplane::wire::extension::{ExtensionWriter, Form};
use dataplane::wire::rtcp::SenderInfo;
use dataplane::wire::rtp;

use super::{DATAGRAM_SIZE_BYTES_MAX, Extensions};

/// What was negotiated for it.
#[derive(Clone, Debug)]
pub(crate) struct EncodingTerms {
    /// Of the media.
    pub(crate) payload_type: PayloadType,
    /// Of what is sent again, if negotiated (RFC 4588).
    pub(crate) rtx_payload_type: Option<PayloadType>,
    /// Ours.
    pub(crate) ssrc: Ssrc,
    /// Of what is sent again.
    pub(crate) rtx_ssrc: Option<Ssrc>,
    /// The media identification of its section.
    pub(crate) mid: String,
    /// Its own, if it is one of several (RFC 8852).
    pub(crate) rid: Option<String>,
}

/// One packet before it is sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Media<'a> {
    /// The sequence number, extended. One number is sealed once, or with the same bytes again.
    pub(crate) index: u64,
    /// RTP timestamp.
    pub(crate) timestamp: u32,
    /// The last of its frame.
    pub(crate) is_marked: bool,
    /// Loudness (RFC 6464), -dBov, where it is speech.
    pub(crate) audio_level: Option<u8>,
    /// What it carries.
    pub(crate) payload: &'a [u8],
}

/// Which way a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    First,
    /// Again: by RTX where it was negotiated, or under its own number.
    Again,
}

#[derive(Debug)]
pub(super) struct Sending {
    pub(super) terms: EncodingTerms,
    packets: u32,
    bytes: u32,
    timestamp: u32,
    rtx_index: u64,
}

/// Where a header ends and what it is sealed under.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) header_len: usize,
    pub(super) ssrc: Ssrc,
    pub(super) index: u64,
    /// The number of what is sent again stands before the payload.
    pub(super) original: Option<u16>,
}

impl Sending {
    pub(super) fn new(terms: EncodingTerms) -> Self {
        Self { terms, packets: 0, bytes: 0, timestamp: 0, rtx_index: 1 }
    }

    /// Writes header and extensions.
    pub(super) fn write_header(
        &mut self,
        out: &mut [u8; DATAGRAM_SIZE_BYTES_MAX],
        extensions: &Extensions,
        transport_number: u16,
        media: &Media<'_>,
        way: Way,
    ) -> Written {
        let rtx = self.terms.rtx_ssrc.zip(self.terms.rtx_payload_type).filter(|_| way == Way::Again);
        let (ssrc, payload_type, index, original) = match rtx {
            Some((ssrc, payload_type)) => {
                self.rtx_index += 1;
                (ssrc, payload_type, self.rtx_index, Some(media.index as u16))
            }
            None => (self.terms.ssrc, self.terms.payload_type, media.index, None),
        };
        let mut header_len =
            rtp::write_header(out, media.is_marked, payload_type, index as u16, media.timestamp, ssrc);
        let mut writer = ExtensionWriter::new(&mut out[header_len..], Form::OneByte);
        if let Some(id) = extensions.mid {
            writer.push(id, self.terms.mid.as_bytes());
        }
        let rid_id = if original.is_some() { extensions.repaired_rid } else { extensions.rid };
        if let Some((id, rid)) = rid_id.zip(self.terms.rid.as_deref()) {
            writer.push(id, rid.as_bytes());
        }
        if let Some(id) = extensions.transport_cc {
            writer.push(id, &transport_number.to_be_bytes());
        }
        if let Some((id, level)) = extensions.audio_level.zip(media.audio_level) {
            // The highest bit says that it is speech.
            writer.push(id, &[0x80 | level]);
        }
        let extensions_len = writer.finish();
        if extensions_len > 0 {
            rtp::set_extension_bit(out);
            header_len += extensions_len;
        }
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(media.payload.len() as u32);
        self.timestamp = media.timestamp;
        Written { header_len, ssrc, index, original }
    }

    /// Of a sender report (RFC 3550, section 6.4.1); `None` before the first packet.
    pub(super) fn sender_info(&self, ntp: NtpTime) -> Option<SenderInfo> {
        (self.packets > 0).then_some(SenderInfo {
            ntp,
            rtp_timestamp: self.timestamp,
            packet_count: self.packets,
            octet_count: self.bytes,
        })
    }
}
