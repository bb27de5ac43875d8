//! SRTP and SRTCP between two ends of one association, and what forgers do to it.

use std::collections::HashSet;

use arbitrary::{Arbitrary, Unstructured};
use dataplane::counters::DropReason;
use dataplane::id::Ssrc;
use dataplane::limits::{DATAGRAM_SIZE_BYTES_MAX, REPLAY_WINDOW_LEN};
use dataplane::transport::srtp::{Opener, Sealer, SrtpKeys, SrtpProfile};

const HEADER_LEN: usize = 12;
const RTCP_HEADER_LEN: usize = 8;
const PAYLOAD_LEN_MAX: usize = 256;
const STREAMS: usize = 3;

/// What happens next on the wire.
#[derive(Debug, Arbitrary)]
enum Step<'a> {
    /// A packet that is this far from the highest number that was opened.
    Rtp { stream: u8, distance: i16, csrcs: u8, payload: &'a [u8] },
    /// The packet that was sent last, once more.
    Again,
    /// The packet that was sent last, with one byte changed or its end cut off.
    Damaged { at: u16, change: u8, cut: u8 },
    /// RTCP of the peer.
    Rtcp { payload: &'a [u8] },
    /// Bytes of somebody who has no key, read as RTP and as RTCP.
    Strange { bytes: &'a [u8] },
}

/// Everything genuine is opened once, as a naive replay window says; nothing else is opened, or changes
/// anything.
pub fn srtp(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let choice = usize::from(u8::arbitrary(&mut input).unwrap_or_default());
    let profile = SrtpProfile::ALL[choice % SrtpProfile::ALL.len()];
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    let keys = |is_client| SrtpKeys::derive(profile, &material, is_client).expect("the length fits");
    let (SrtpKeys { sealer, .. }, SrtpKeys { opener, .. }) = (keys(true), keys(false));
    let mut ends = Ends { sealer, opener, streams: Default::default(), last: None };
    while let Ok(step) = Step::arbitrary(&mut input) {
        ends.step(&step);
        if input.is_empty() {
            break;
        }
    }
}

struct Ends {
    sealer: Sealer,
    opener: Opener,
    streams: [Stream; STREAMS],
    /// The packet that was opened last.
    last: Option<Sent>,
}

/// The numbers of one stream that were opened.
#[derive(Default)]
struct Stream {
    highest: Option<u64>,
    opened: HashSet<u64>,
}

enum Sent {
    Rtp { packet: Vec<u8>, header_len: usize, ssrc: Ssrc },
    Rtcp { packet: Vec<u8> },
}

impl Ends {
    fn step(&mut self, step: &Step<'_>) {
        match *step {
            Step::Rtp { stream, distance, csrcs, payload } => self.rtp(stream, distance, csrcs, payload),
            Step::Rtcp { payload } => self.rtcp(payload),
            Step::Again => {
                if let Some(sent) = &self.last {
                    assert_eq!(open(&mut self.opener, sent).err(), Some(DropReason::Replayed));
                }
            }
            Step::Damaged { at, change, cut } => self.damaged(usize::from(at), change, usize::from(cut)),
            Step::Strange { bytes } => {
                let bytes = &bytes[..bytes.len().min(DATAGRAM_SIZE_BYTES_MAX)];
                let rtp = Sent::Rtp { packet: bytes.to_vec(), header_len: HEADER_LEN, ssrc: Ssrc(1) };
                assert!(open(&mut self.opener, &rtp).is_err(), "nobody has the key");
                assert!(open(&mut self.opener, &Sent::Rtcp { packet: bytes.to_vec() }).is_err());
            }
        }
    }

    fn rtp(&mut self, stream: u8, distance: i16, csrcs: u8, payload: &[u8]) {
        let at = usize::from(stream) % STREAMS;
        let stream = &mut self.streams[at];
        let index = match stream.highest {
            None => u64::from(distance as u16),
            Some(highest) => match highest.checked_add_signed(distance.into()) {
                Some(index) => index,
                None => return,
            },
        };
        let ssrc = Ssrc(0x5500_0000 + at as u32);
        let payload = &payload[..payload.len().min(PAYLOAD_LEN_MAX)];
        let csrcs = csrcs % 16;
        let mut packet = vec![0x80 | csrcs, 96];
        packet.extend((index as u16).to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(ssrc.0.to_be_bytes());
        packet.resize(HEADER_LEN + 4 * usize::from(csrcs), 0xc5);
        let header_len = packet.len();
        packet.resize(header_len + payload.len() + self.sealer.rtp_growth(), 0);
        let mut twice = packet.clone();
        let len = self.sealer.seal_rtp_from(&mut packet, header_len, payload, ssrc, index);
        assert_eq!(len, packet.len());
        twice[header_len..][..payload.len()].copy_from_slice(payload);
        self.sealer.seal_rtp(&mut twice, header_len, payload.len(), ssrc, index);
        assert_eq!(packet, twice, "both ways of sealing are one");

        let is_too_old = stream.highest.is_some_and(|highest| index + REPLAY_WINDOW_LEN as u64 <= highest);
        let sent = Sent::Rtp { packet, header_len, ssrc };
        if is_too_old || stream.opened.contains(&index) {
            assert_eq!(open(&mut self.opener, &sent).err(), Some(DropReason::Replayed));
            return;
        }
        assert_eq!(open(&mut self.opener, &sent), Ok((Some(index), payload.to_vec())));
        stream.highest = stream.highest.max(Some(index));
        stream.opened.insert(index);
        self.last = Some(sent);
    }

    fn rtcp(&mut self, payload: &[u8]) {
        let payload = &payload[..payload.len().min(PAYLOAD_LEN_MAX)];
        let plain = [&[0x80, 201, 0, 1, 0x77, 0, 0, 1], payload].concat();
        let mut packet = plain.clone();
        packet.resize(plain.len() + self.sealer.rtcp_growth(), 0);
        assert_eq!(self.sealer.seal_rtcp(&mut packet, plain.len()), packet.len());
        let sent = Sent::Rtcp { packet };
        assert_eq!(open(&mut self.opener, &sent), Ok((None, plain)));
        self.last = Some(sent);
    }

    fn damaged(&mut self, at: usize, change: u8, cut: usize) {
        let Some(sent) = &self.last else { return };
        let (Sent::Rtp { packet, .. } | Sent::Rtcp { packet }) = sent;
        let mut packet = packet.clone();
        let at = at % packet.len();
        packet[at] ^= change;
        packet.truncate(packet.len() - cut.min(packet.len()));
        if change == 0 && cut == 0 {
            return;
        }
        // The numbers of an RTP header are arguments here: what they say is checked through the tag alone.
        let forged = match sent {
            Sent::Rtp { header_len, ssrc, .. } => Sent::Rtp { packet, header_len: *header_len, ssrc: *ssrc },
            Sent::Rtcp { .. } => Sent::Rtcp { packet },
        };
        assert!(open(&mut self.opener, &forged).is_err(), "what was damaged is refused");
    }
}

/// The index of RTP and the plaintext.
fn open(opener: &mut Opener, sent: &Sent) -> Result<(Option<u64>, Vec<u8>), DropReason> {
    let mut plain = [0; DATAGRAM_SIZE_BYTES_MAX];
    match sent {
        Sent::Rtp { packet, header_len, ssrc } => {
            let number = packet.get(2..4).map_or(0, |number| u16::from_be_bytes([number[0], number[1]]));
            let opened = opener.open_rtp(packet, *header_len, *ssrc, number, &mut plain)?;
            Ok((Some(opened.index), plain[..opened.payload_len].to_vec()))
        }
        Sent::Rtcp { packet } => {
            let len = opener.open_rtcp(packet, &mut plain)?;
            assert!(len >= RTCP_HEADER_LEN);
            Ok((None, plain[..len].to_vec()))
        }
    }
}
