//! What real browsers sent arrives as they sent it.

use std::collections::BTreeMap;

use dataplane::id::PayloadType;
use dataplane::media::format::{Codec, MediaKind};
use dataplane::media::picture::PictureReader;
use dataplane::transport::negotiate::PeerRole;
use harness::capture::Capture;
use harness::playback::{Parts, main_ssrc, play};

#[test]
fn debug_counts() {
    for capture in Capture::all() {
        let description = capture.describe(PeerRole::Publisher).unwrap();
        let section = &description.sections[0];
        let sent: Vec<Parts> = capture.packets.iter().map(|packet| Parts::of(&packet.bytes)).collect();
        let media = sent.iter().filter(|p| section.format(p.header.payload_type).is_some() && !p.payload.is_empty()).count();
        let got = play(&capture);
        println!("{}: {} packets, {} media, got {} {:?} pts {:?}", capture.name, sent.len(), media, got.len(), main_ssrc(&got), got.iter().map(|p| p.header.payload_type.0).collect::<std::collections::BTreeSet<_>>());
    }
}
