//! The video-layers-allocation00 extension of libwebrtc: which layers a simulcast or SVC publisher sends, and
//! how many bits it gives each.
//!
//! # Invariants
//!
//! - A value that reads past its end or names a number that no encoder means is refused as a whole.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use super::layer::Layer;
use super::reader::Reader;

/// RTP streams that an allocation can name.
pub const STREAMS_MAX: usize = 4;
const SPATIAL_MAX: usize = 4;
const TEMPORAL_MAX: usize = 4;
const LAYERS_MAX: usize = STREAMS_MAX * SPATIAL_MAX;
/// A bitrate has at most this many groups of seven bits: 2^28 kbit/s is enough for anybody.
const BITRATE_LEN_MAX: u32 = 4;

/// What a publisher sends at present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayersAllocation {
    /// The place of the RTP stream that said it among those of its track.
    pub stream: u8,
    /// The active layers of all streams, by stream and spatial layer. Empty: nothing is sent.
    pub layers: ArrayVec<AllocatedLayer, LAYERS_MAX>,
}

/// One spatial layer of one RTP stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocatedLayer {
    /// The place of its RTP stream.
    pub stream: u8,
    /// The spatial layer within the stream, and its highest temporal layer.
    pub highest: Layer,
    /// The target bitrate up to each temporal layer, kbit/s. Each includes those before it.
    pub bitrates_kbps: ArrayVec<u32, TEMPORAL_MAX>,
    /// Width and height, pixels, if they were said.
    pub size: Option<(u16, u16)>,
    /// The largest frame rate, if it was said.
    pub frame_rate: Option<u8>,
}

impl LayersAllocation {
    /// Reads the value of an element; `None` if it is malformed.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(data);
        let first = reader.u8()?;
        if first == 0 && reader.is_empty() {
            return Some(Self::default());
        }
        let stream_count = (first >> 4 & 0b11) + 1;
        let mut allocation = Self { stream: first >> 6, layers: ArrayVec::new() };
        let masks = read_masks(&mut reader, first & 0x0f, stream_count)?;
        for (stream, mask) in masks.iter().take(stream_count.into()).enumerate() {
            for spatial in (0..SPATIAL_MAX as u8).filter(|spatial| mask >> spatial & 1 == 1) {
                let highest = Layer { spatial, temporal: 0 };
                allocation.layers.push(AllocatedLayer {
                    stream: stream as u8,
                    highest,
                    ..AllocatedLayer::default()
                });
            }
        }
        allocation.read_temporal_counts(&mut reader)?;
        for layer in &mut allocation.layers {
            for _ in 0..=layer.highest.temporal {
                layer.bitrates_kbps.push(read_bitrate(&mut reader)?);
            }
        }
        if !reader.is_empty() {
            for layer in &mut allocation.layers {
                let (width, height) = (reader.u16()?, reader.u16()?);
                layer.size = Some((width.saturating_add(1), height.saturating_add(1)));
                layer.frame_rate = Some(reader.u8()?);
            }
        }
        (reader.is_empty() && allocation.stream < stream_count).then_some(allocation)
    }

    /// The active layers of the RTP stream that said it.
    pub fn own_layers(&self) -> impl Iterator<Item = &AllocatedLayer> {
        self.layers.iter().filter(|layer| layer.stream == self.stream)
    }

    /// Fills in sizes and frame rates that an earlier allocation said: they are repeated only with keyframes.
    pub fn fill_sizes(&mut self, before: &Self) {
        for layer in self.layers.iter_mut().filter(|layer| layer.size.is_none()) {
            let is_same = |known: &&AllocatedLayer| {
                (known.stream, known.highest.spatial) == (layer.stream, layer.highest.spatial)
            };
            if let Some(known) = before.layers.iter().find(is_same) {
                (layer.size, layer.frame_rate) = (known.size, known.frame_rate);
            }
        }
    }

    /// Two bits for each active layer, four to a byte.
    fn read_temporal_counts(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        for layers in self.layers.chunks_mut(4) {
            let byte = reader.u8()?;
            for (at, layer) in layers.iter_mut().enumerate() {
                layer.highest.temporal = byte >> (6 - 2 * at) & 0b11;
            }
        }
        Some(())
    }
}

/// Which spatial layers of each stream are active: the same of all, or four bits for each stream.
fn read_masks(reader: &mut Reader<'_>, shared: u8, stream_count: u8) -> Option<[u8; STREAMS_MAX]> {
    if shared != 0 {
        return Some([shared; STREAMS_MAX]);
    }
    let mut masks = [0; STREAMS_MAX];
    for pair in masks.chunks_mut(2).take(usize::from(stream_count).div_ceil(2)) {
        let byte = reader.u8()?;
        pair.copy_from_slice(&[byte >> 4, byte & 0x0f]);
    }
    Some(masks)
}

fn read_bitrate(reader: &mut Reader<'_>) -> Option<u32> {
    let mut value = 0;
    for group in 0..BITRATE_LEN_MAX {
        let byte = reader.u8()?;
        value |= u32::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Seen = (u8, u8, Vec<u32>, Option<(u16, u16)>);

    fn seen(data: &[u8]) -> Vec<Seen> {
        let allocation = LayersAllocation::parse(data).unwrap();
        let layers = allocation.layers.iter();
        layers
            .map(|layer| (layer.stream, layer.highest.spatial, layer.bitrates_kbps.to_vec(), layer.size))
            .collect()
    }

    #[test]
    fn three_simulcast_streams_share_a_mask() {
        // Stream 2 of 3, one spatial layer each; 3, 1 and 2 temporal layers; sizes with frame rates.
        let mut data = vec![0b1010_0001, 0b1000_0100, 50, 75, 100, 0xac, 0x02, 0x90, 0x03, 0xe8, 0x07];
        for (width, height) in [(320u16, 180u16), (640, 360), (1280, 720)] {
            data.extend((width - 1).to_be_bytes());
            data.extend((height - 1).to_be_bytes());
            data.push(30);
        }
        let expected = [
            (0, 0, vec![50, 75, 100], Some((320, 180))),
            (1, 0, vec![300], Some((640, 360))),
            (2, 0, vec![400, 1000], Some((1280, 720))),
        ];
        assert_eq!(seen(&data), expected);
        let allocation = LayersAllocation::parse(&data).unwrap();
        assert_eq!(allocation.stream, 2);
        assert_eq!(allocation.own_layers().map(|layer| layer.frame_rate).collect::<Vec<_>>(), [Some(30)]);
        for len in 0..data.len() {
            let has_no_sizes = len == 11;
            assert_eq!(LayersAllocation::parse(&data[..len]).is_some(), has_no_sizes, "{len}");
        }
        data.push(0);
        assert!(LayersAllocation::parse(&data).is_none(), "something is left over");
    }

    #[test]
    fn streams_may_have_masks_of_their_own() {
        // Stream 0 of 3: the first has the layers 0 and 1, the second none, the third layer 2.
        let data = [0b0010_0000, 0b0011_0000, 0b0100_0000, 0b0000_0000, 1, 2, 3];
        let expected = [(0, 0, vec![1], None), (0, 1, vec![2], None), (2, 2, vec![3], None)];
        assert_eq!(seen(&data), expected);
    }

    #[test]
    fn sizes_that_are_not_repeated_are_filled_in() {
        let sized = LayersAllocation::parse(&[1, 0, 50, 2, 127, 1, 103, 30]).unwrap();
        let mut later = LayersAllocation::parse(&[1, 0, 90]).unwrap();
        later.fill_sizes(&sized);
        assert_eq!((later.layers[0].size, later.layers[0].frame_rate), (Some((640, 360)), Some(30)));
        assert_eq!(later.layers[0].bitrates_kbps[..], [90]);
    }

    #[test]
    fn a_single_zero_says_that_nothing_is_sent() {
        assert!(seen(&[0]).is_empty());
    }

    #[test]
    fn what_no_encoder_means_is_refused() {
        for (data, why) in [
            (&[][..], "empty"),
            (&[0b0100_0001, 0, 5], "sent on the second stream of one"),
            (&[0b0000_0001, 0, 0x80, 0x80, 0x80, 0x80, 1], "a bitrate without an end"),
        ] {
            assert!(LayersAllocation::parse(data).is_none(), "{why}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(data in vec(any::<u8>(), 0..120)) {
            if let Some(allocation) = LayersAllocation::parse(&data) {
                for layer in &allocation.layers {
                    prop_assert_eq!(layer.bitrates_kbps.len(), usize::from(layer.highest.temporal) + 1);
                }
            }
        }
    }
}
