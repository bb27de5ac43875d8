//! The parsers read what real browsers sent (`tests/captures`): every packet, and alike wherever two parts of a
//! packet say the same thing.

#![allow(clippy::unwrap_used)]

mod extensions;
mod payloads;

use std::collections::BTreeMap;

use dataplane::id::Ssrc;
use dataplane::media::format::{ExtensionKind, MediaKind};
use dataplane::media::picture::{Picture, PictureReader};
use dataplane::transport::description::Section;
use dataplane::transport::negotiate::PeerRole;
use harness::capture::Capture;
use harness::playback::Parts;

/// A capture that was read.
struct Read {
    name: String,
    section: Section,
    packets: Vec<Parts>,
    arrivals_ms: Vec<u64>,
}

/// One packet of media: neither a repeat nor padding.
struct Media<'a> {
    parts: &'a Parts,
    picture: Picture,
}

impl Read {
    fn all() -> Vec<Read> {
        Capture::all().into_iter().map(Read::of).collect()
    }

    fn of(capture: Capture) -> Read {
        let description = capture.describe(PeerRole::Publisher).unwrap();
        let packets: Vec<Parts> = capture.packets.iter().map(|packet| Parts::of(&packet.bytes)).collect();
        assert!(packets.len() >= 60, "{}", capture.name);
        Read {
            name: capture.name,
            section: description.sections.into_iter().next().unwrap(),
            packets,
            arrivals_ms: capture.packets.iter().map(|packet| packet.at.as_millis() as u64).collect(),
        }
    }

    fn is_video(&self) -> bool {
        self.section.kind == MediaKind::Video
    }

    fn is(&self, suffix: &str) -> bool {
        self.name.ends_with(suffix)
    }

    /// The media of each SSRC, as one reader for each sees it in the payloads alone.
    fn streams(&self) -> BTreeMap<Ssrc, Vec<Media<'_>>> {
        let mut readers: BTreeMap<Ssrc, PictureReader> = BTreeMap::new();
        let mut streams: BTreeMap<Ssrc, Vec<Media<'_>>> = BTreeMap::new();
        for parts in self.packets.iter().filter(|parts| !parts.payload.is_empty()) {
            let Some(format) = self.section.format(parts.header.payload_type) else { continue };
            let reader = readers.entry(parts.header.ssrc).or_default();
            let picture = reader.read(format.codec, &parts.payload, None);
            streams.entry(parts.header.ssrc).or_default().push(Media { parts, picture });
        }
        streams
    }

    /// The values of one extension, in order, with the packets that carry them.
    fn values(&self, kind: ExtensionKind) -> Vec<(usize, &[u8])> {
        let Some(id) = self.section.extensions.id(kind) else { return Vec::new() };
        let with = |(at, parts): (usize, &'_ Parts)| {
            parts.elements.iter().position(|element| element.0 == id).map(|element| (at, element))
        };
        let found: Vec<(usize, usize)> = self.packets.iter().enumerate().filter_map(with).collect();
        found.into_iter().map(|(at, element)| (at, self.packets[at].elements[element].1.as_slice())).collect()
    }
}
