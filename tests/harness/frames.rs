//! Frames that a harness client sends: VP8-shaped, each packet with a counter that tells it apart.

/// Bytes of the VP8 descriptor that [`payload`] writes.
pub const DESCRIPTOR_LEN: usize = 4;
/// Packets of one frame.
pub const PACKETS_PER_FRAME: usize = 3;

/// Payload of one packet of a frame. `size` stands in keyframes.
pub fn payload(counter: u32, picture_id: u16, packet: usize, keyframe_size: Option<(u16, u16)>) -> Vec<u8> {
    let is_start = packet == 0;
    let mut bytes = vec![0x80 | if is_start { 0x10 } else { 0 }, 0x80];
    bytes.extend((0x8000 | (picture_id & 0x7fff)).to_be_bytes());
    if is_start {
        let frame_tag: u8 = if keyframe_size.is_some() { 0x00 } else { 0x01 };
        bytes.extend([frame_tag, 0, 0]);
        if let Some((width, height)) = keyframe_size {
            bytes.extend([0x9d, 0x01, 0x2a]);
            bytes.extend(width.to_le_bytes());
            bytes.extend(height.to_le_bytes());
        }
    }
    bytes.resize(DESCRIPTOR_LEN + 12, 0xaa);
    bytes.extend(counter.to_be_bytes());
    bytes.extend(filler(counter));
    bytes
}

/// Whether a payload is byte for byte what was sent, whatever its descriptor says.
pub fn is_intact(payload: &[u8]) -> bool {
    let Some(counter) = counter(payload) else { return false };
    payload[DESCRIPTOR_LEN + 16..].iter().copied().eq(filler(counter))
}

/// Bytes that only this packet has, in a length that only few have.
fn filler(counter: u32) -> impl Iterator<Item = u8> {
    let len = 200 + counter.wrapping_mul(37) % 900;
    (0..len).map(move |at| (counter.wrapping_mul(31).wrapping_add(at * 7) >> 3) as u8)
}

/// The counter in a payload that [`payload`] made.
pub fn counter(payload: &[u8]) -> Option<u32> {
    let at = DESCRIPTOR_LEN + 12;
    payload.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// The picture id in such a payload.
pub fn picture_id(payload: &[u8]) -> Option<u16> {
    payload.get(2..4)?.try_into().ok().map(|id| u16::from_be_bytes(id) & 0x7fff)
}

/// Whether such a payload begins a keyframe.
pub fn is_keyframe_start(payload: &[u8]) -> bool {
    payload.first().is_some_and(|byte| byte & 0x10 != 0)
        && payload.get(DESCRIPTOR_LEN).is_some_and(|tag| tag & 1 == 0)
}
