//! Frames that a harness client sends. Behind a head in the shape of the codec stands what tells each packet
//! of a world apart from every other, whatever a server writes into the head.

use dataplane::media::format::Codec;

/// Bytes of the head. What a server rewrites (a VP8 descriptor) stands within, and keeps its length.
const HEAD_LEN: usize = 16;
/// Bytes of the identity behind the head.
const IDENTITY_LEN: usize = 12;
/// Packets of one frame of video.
pub const PACKETS_PER_FRAME: usize = 3;

/// Which packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Who made it: a number of its own for each stream of each client.
    pub origin: u32,
    /// Its number among those of its origin.
    pub counter: u32,
    /// Its place in its frame.
    pub packet: u8,
    /// Packets of its frame.
    pub packets: u8,
    /// Whether its frame is one that a decoder can start with.
    pub is_key: bool,
    /// The temporal layer of its frame, where the codec says it (VP8).
    pub temporal: u8,
}

/// The payload of a packet. `size` is that of a keyframe's picture, and stands in it where the codec allows.
pub fn payload(codec: Codec, piece: Piece, picture_id: u16, size: (u16, u16)) -> Vec<u8> {
    let mut bytes = head(codec, piece, picture_id, size);
    bytes.resize(HEAD_LEN, 0xaa);
    bytes.extend(piece.origin.to_be_bytes());
    bytes.extend(piece.counter.to_be_bytes());
    bytes.extend([piece.packet, piece.packets, u8::from(piece.is_key), piece.temporal]);
    bytes.extend(filler(codec, piece));
    bytes
}

fn head(codec: Codec, piece: Piece, picture_id: u16, (width, height): (u16, u16)) -> Vec<u8> {
    let is_start = piece.packet == 0;
    let begins_key = is_start && piece.is_key;
    let long_id = (0x8000 | (picture_id & 0x7fff)).to_be_bytes();
    match codec {
        // RFC 7741: X and S, I and T, picture id, TID, frame tag, start code, size.
        Codec::Vp8 => {
            let mut bytes = vec![0x80 | if is_start { 0x10 } else { 0 }, 0xa0];
            bytes.extend(long_id);
            bytes.push(piece.temporal << 6 | u8::from(piece.temporal == 1) << 5);
            if is_start {
                bytes.extend([u8::from(!begins_key), 0, 0]);
            }
            if begins_key {
                bytes.extend([0x9d, 0x01, 0x2a]);
                bytes.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
            }
            bytes
        }
        // RFC 9628, non-flexible: I, P unless in a keyframe, B and E, V with one size.
        Codec::Vp9 => {
            let inter = if piece.is_key { 0 } else { 0x40 };
            let start = if is_start { 0x08 } else { 0 };
            let end = if piece.packet + 1 == piece.packets { 0x04 } else { 0 };
            let structure = if begins_key { 0x02 } else { 0 };
            let mut bytes = vec![0x80 | inter | start | end | structure];
            bytes.extend(long_id);
            if begins_key {
                bytes.push(0x10);
                bytes.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
            }
            bytes
        }
        // RFC 6184: FU-A of an IDR or another slice; parameter sets came by signalling.
        Codec::H264 => {
            let start = if is_start { 0x80 } else { 0 };
            vec![0x7c, start | if piece.is_key { 5 } else { 1 }]
        }
        // AV1: a sequence header begins a keyframe, a frame any other, and the rest continues one.
        Codec::Av1 if begins_key => vec![0x18, 0x08],
        Codec::Av1 if is_start => vec![0x10, 0x30],
        Codec::Av1 => vec![0x90],
        _ => vec![0xfc],
    }
}

/// Whether a payload is, behind its head, byte for byte what [`payload`] made.
pub fn is_intact(codec: Codec, bytes: &[u8]) -> bool {
    let Some(piece) = piece(bytes) else { return false };
    bytes[HEAD_LEN + IDENTITY_LEN..].iter().copied().eq(filler(codec, piece))
}

/// Bytes that only this packet has, in a length that only few have.
fn filler(codec: Codec, piece: Piece) -> impl Iterator<Item = u8> {
    let len = match codec {
        Codec::Opus => 20 + piece.counter.wrapping_mul(7) % 60,
        _ => 200 + piece.counter.wrapping_mul(37) % 900,
    };
    let salt = piece.counter.wrapping_mul(31) ^ piece.origin.wrapping_mul(0x9e37_79b9);
    (0..len).map(move |at| (salt.wrapping_add(at * 7) >> 3) as u8)
}

/// What a payload says behind its head; `None` if it is none that [`payload`] made.
pub fn piece(bytes: &[u8]) -> Option<Piece> {
    let identity: &[u8; IDENTITY_LEN] = bytes.get(HEAD_LEN..)?.first_chunk()?;
    let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| identity[at + byte]));
    let [packet, packets, is_key, temporal @ 0..=2] = [8, 9, 10, 11].map(|at| identity[at]) else {
        return None;
    };
    Some(Piece { origin: word(0), counter: word(4), packet, packets, is_key: is_key == 1, temporal })
}

/// The bytes that nobody on the way may change.
pub fn content(bytes: &[u8]) -> &[u8] {
    bytes.get(HEAD_LEN..).unwrap_or_default()
}

/// The counter in a payload that [`payload`] made.
pub fn counter(bytes: &[u8]) -> Option<u32> {
    piece(bytes).map(|piece| piece.counter)
}

/// The picture id in a VP8 payload.
pub fn picture_id(bytes: &[u8]) -> Option<u16> {
    bytes.get(2..4)?.try_into().ok().map(|id| u16::from_be_bytes(id) & 0x7fff)
}

/// Whether a payload begins a keyframe.
pub fn is_keyframe_start(bytes: &[u8]) -> bool {
    piece(bytes).is_some_and(|piece| piece.is_key && piece.packet == 0)
}
