//! Scripts and their verdicts, one line each.
//!
//! A script is played against a fresh selector. A word with `>` sets the target: `>m`, `>m/s1t2` (encodings are
//! `l m h`, layers that are not named are all), `>-` pauses. `!` says that the link collapses, with a round trip
//! of 100 ms; `+350` lets so many ms pass; `_` loses a picture of `l`. Any other word is a packet; `.` in front: of the
//! picture before; `<3` behind: it comes late, of three pictures back. Expected is one letter for each: `F`orward,
//! `E`nd of a picture forwarded, `S`witch, or a dropped one: `o`ther encoding, `k` awaits a keyframe, `p`aused,
//! `t`emporal or `s`patial layer, `r`eference missing, `l`ate.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::media::picture::PictureReader;
use crate::wire::picture_id::PictureId;
use crate::wire::{vp8, vp9};

/// What a word says of a packet.
struct Word<'a> {
    encoding: u8,
    rest: &'a str,
}

fn split(word: &str) -> Word<'_> {
    let (encoding, rest) = word.split_at(1);
    Word { encoding: "lmh".find(encoding).unwrap() as u8, rest }
}

/// Plays a script whose packets are made by `picture` of: rest of the word, picture number.
#[track_caller]
fn play(script: &str, expected: &str, picture: impl Fn(&str, u64) -> Picture) {
    let (mut selector, mut actual) = (LayerSelector::default(), String::new());
    let (start, mut now) = (Instant::now(), Instant::now());
    let mut pictures = [100u64; 3];
    let mut index = 0;
    for word in script.split_whitespace() {
        if word == "_" {
            pictures[0] += 1;
        } else if let Some(target) = word.strip_prefix('>') {
            selector.set_target(target_of(target));
        } else if word == "!" {
            selector.collapse(Duration::from_millis(100), now);
        } else if let Some(ms) = word.strip_prefix('+') {
            now += Duration::from_millis(ms.parse().unwrap());
        } else {
            let (back, word) = match word.split_once('<') {
                Some((word, back)) => (back.parse().unwrap(), word),
                None => (0, word),
            };
            let plain = word.strip_prefix('.');
            let Word { encoding, rest } = split(plain.unwrap_or(word));
            let number = &mut pictures[usize::from(encoding)];
            if plain.is_none() && back == 0 {
                *number += 1;
            }
            let number = *number - back;
            index += 1;
            let picture = picture(rest, number);
            let packet = PacketMeta {
                source: Source { encoding, epoch: u32::from(encoding) },
                index: 100 * number + index,
                timestamp: 3_000 * number as u32,
                picture: &picture,
                structure: None,
                is_way_in: picture.is_entry,
                tells_layers: true,
            };
            actual.push(letter(selector.select(&packet, now)));
        }
    }
    assert!(now >= start);
    assert_eq!(actual, expected.replace(' ', ""), "{script}");
}

fn letter(pick: Pick) -> char {
    match pick {
        Pick::Forward(marks) if marks.ends_picture => 'E',
        Pick::Forward(_) => 'F',
        Pick::Switch(_) => 'S',
        Pick::Drop(DropReason::OtherEncoding) => 'o',
        Pick::Drop(DropReason::AwaitingKeyframe) => 'k',
        Pick::Drop(DropReason::Paused) => 'p',
        Pick::Drop(DropReason::TemporalLayer) => 't',
        Pick::Drop(DropReason::SpatialLayer) => 's',
        Pick::Drop(DropReason::MissingReference) => 'r',
        Pick::Drop(DropReason::TooLate) => 'l',
        Pick::Drop(other) => panic!("{other:?}"),
    }
}

/// `m`, `m/t1`, `m/s0`, `m/s1t2` or `-`.
fn target_of(text: &str) -> Option<Target> {
    let (encoding, layers) = text.split_once('/').unwrap_or((text, ""));
    let bound = |name: char| {
        let digit = layers.find(name).map(|at| layers.as_bytes()[at + 1] - b'0');
        digit.unwrap_or(u8::MAX)
    };
    let layer = Layer { spatial: bound('s'), temporal: bound('t') };
    Some(Target { encoding: "lmh".find(encoding)? as u8, layer })
}

/// VP8: `t0`..`t2`, then `K` for a keyframe's first packet or `Y` for a sync picture. `x`: no layers.
fn vp8_picture(word: &str, number: u64) -> Picture {
    let digit = word.as_bytes().get(1).map(|digit| digit - b'0');
    let is_keyframe = word.ends_with('K');
    let temporal = digit.map(|tid| vp8::Temporal { tid, is_sync: word.ends_with('Y') || is_keyframe });
    Picture {
        is_entry: is_keyframe,
        layer: digit.map(|temporal| Layer { spatial: 0, temporal }),
        picture_id: Some(number),
        head: Head::Vp8(vp8::Descriptor {
            picture_id: Some(PictureId { value: number as u16, is_long: true }),
            tl0_picture_index: None,
            temporal,
            key_index: None,
            is_frame_start: true,
            is_keyframe,
            size: None,
            len: 4,
        }),
        ..Picture::default()
    }
}

#[track_caller]
fn vp8(script: &str, expected: &str) {
    play(script, expected, vp8_picture);
}

/// VP9, whole layer frames in one packet: `s1t0`, then any of `K` (keyframe of three spatial layers), `P` (refers
/// to no earlier picture), `U` (a way up), `Z` (no upper layer refers to it), `I` (refers to the layer below).
fn vp9_picture(word: &str, number: u64) -> Picture {
    let (layer, flags) = word.split_at(4);
    let (spatial, temporal) = (layer.as_bytes()[1] - b'0', layer.as_bytes()[3] - b'0');
    let has = |flag: char| flags.contains(flag);
    let is_inter = !has('K') && !has('P');
    let begins = spatial == 0 && !is_inter;
    let mut payload =
        vec![0b1010_1100 | if is_inter { 0x40 } else { 0 } | if begins { 2 } else { 0 } | u8::from(has('Z'))];
    payload.extend(PictureId::long_bytes(number as u16));
    payload.push(temporal << 5 | if has('U') { 0x10 } else { 0 } | spatial << 1 | u8::from(has('I')));
    payload.push(0);
    if begins {
        payload.push(2 << 5);
    }
    payload.push(0xaa);
    vp9::Descriptor::parse(&payload).unwrap();
    let mut picture = PictureReader::default().read(crate::media::format::Codec::Vp9, &payload, None);
    picture.picture_id = Some(number);
    picture
}

#[track_caller]
fn vp9(script: &str, expected: &str) {
    play(script, expected, vp9_picture);
}

#[test]
fn an_upgrade_waits_for_its_keyframe_while_the_old_layer_flows() {
    vp8(">l lt0 lt0K >h lt0 ht0 ht0K lt0 ht0", "k S F k S o F");
}

#[test]
fn a_downgrade_waits_for_its_keyframe_too() {
    vp8(">h ht0K >l ht0 lt0 ht0 lt0K ht0 lt0", "S F k F S o F");
}

#[test]
fn a_target_that_is_withdrawn_leaves_nothing_behind() {
    vp8(">l lt0K >h lt0 ht0 >l lt0 ht0K lt0", "S F k F o F");
}

#[test]
fn a_pause_ends_with_the_picture_and_comes_back_at_a_keyframe() {
    vp8(">m mt0K .mt0 >- .mt0 mt0 mt0K >m mt0 mt0K mt0", "S F F p p k S F");
}

#[test]
fn a_temporal_layer_falls_between_pictures_only() {
    vp8(">l lt0K lt2 >l/t0 .lt2 lt0 lt2 lt1", "S F F F t t");
}

#[test]
fn a_temporal_layer_rises_at_a_sync_point() {
    vp8(">l/t0 lt0K >l/t2 lt2 lt1Y .lt1Y lt2 lt0 lt2Y lt2", "S t F F t F F F");
}

#[test]
fn a_temporal_layer_rises_to_what_is_wanted_and_no_higher() {
    vp8(">l/t0 lt0K >l/t1 lt2Y lt1Y lt2Y", "S t F t");
}

#[test]
fn a_keyframe_brings_every_temporal_layer() {
    vp8(">l/t0 lt0K lt2 >l lt2 lt0K lt2", "S t t F F");
}

#[test]
fn a_late_picture_is_judged_by_what_held_in_its_time() {
    // The first that comes late is of before the fall, the second of after it.
    vp8(">l lt0K lt1 _ lt0 >l/t0 lt0 lt2 _ lt0 lt2<5 lt2<1 lt0", "S F F F t F F t F");
}

#[test]
fn what_does_not_name_its_layer_goes_on_whole() {
    vp8(">l/t0 lt0K lx lt2 lx", "S F t F");
}

#[test]
fn a_collapsing_link_loses_its_temporal_layers_at_once_and_its_picture_after_300_ms() {
    vp8(">h ht0K ht2 >l ! ht2 lt0 ht0 +299 ht0 +1 .ht0 ht0 lt0 lt0K ht0 lt2", "S F t k F F F o k S o F");
}

#[test]
fn a_link_that_recovers_pauses_nothing() {
    vp8(">h ht0K >l ! ht0 +200 >h ht0 ht2 ht2Y +500 ht0", "S F F t F F");
}

#[test]
fn the_pause_of_a_long_way_waits_for_two_round_trips() {
    let (mut selector, now) = (LayerSelector::default(), Instant::now());
    selector.collapse(Duration::from_millis(400), now);
    assert_eq!(selector.pause_at, Some(now + Duration::from_millis(800)));
    selector.collapse(Duration::from_millis(400), now + Duration::from_millis(100));
    assert_eq!(selector.pause_at, Some(now + Duration::from_millis(800)), "it began only once");
}

#[test]
fn full_svc_forwards_everything_up_to_the_target_and_marks_its_last_packet() {
    vp9(">l/s1 ls0t0K .ls1t0PI .ls2t0PI ls0t0 .ls1t0I .ls2t0I", "S E s F E s");
}

#[test]
fn full_svc_falls_at_the_next_picture() {
    vp9(">l ls0t0K .ls1t0PI .ls2t0PI ls0t0 >l/s0 .ls1t0I .ls2t0I ls0t0 .ls1t0I .ls2t0I", "S F E F F E E s s");
}

#[test]
fn svc_rises_only_where_the_upper_layer_leans_on_no_earlier_picture() {
    vp9(
        ">l/s0 ls0t0K .ls1t0PI .ls2t0PI >l ls0t0 .ls1t0I .ls2t0I ls0t0K .ls1t0PI .ls2t0PI ls0t0 .ls1t0I .ls2t0I",
        "S s s E s s F F E F F E",
    );
    // In a picture that has ended already a second end would come.
    vp9(">l/s0 ls0t0K .ls1t0PI >l/s1 ls0t0 .ls1t0PI ls0t0 .ls1t0I", "S s E s E s");
}

#[test]
fn key_svc_sends_the_lower_layers_of_keyframes_only_and_falls_at_one() {
    vp9(
        ">l ls0t0K .ls1t0PI .ls2t0PI ls0t0Z .ls1t0Z .ls2t0 >l/s1 ls0t0Z .ls1t0Z .ls2t0 ls0t0K .ls1t0PI .ls2t0PI ls0t0Z .ls1t0Z",
        "S F E s s E s s E F E s s E",
    );
}

#[test]
fn a_temporal_layer_of_vp9_rises_behind_a_way_up() {
    vp9(">l/t0 ls0t0K ls0t2 ls0t1 >l ls0t2 ls0t0 ls0t2 ls0t0U ls0t2 ls0t1", "S t t t E t E E E");
}

#[test]
fn layer_frames_of_a_keyframe_may_come_in_any_order() {
    vp9(">l ls0t0K .ls2t0PI .ls1t0PI ls0t0 .ls1t0I .ls2t0I", "S E F F F E");
}

#[test]
fn a_layer_that_its_encoder_has_stopped_does_not_hold_the_picture_up() {
    let lower = ".ls1t0Z ls0t0Z ".repeat(20);
    let script = format!(">l ls0t0K .ls1t0PI .ls2t0PI ls0t0Z {lower} ls0t0K .ls1t0PI ls0t0Z .ls1t0Z");
    let (mut selector, mut asked) = (LayerSelector::default(), false);
    selector.set_target(target_of("l"));
    let mut last = 'x';
    let mut number = 100;
    for (at, word) in script.split_whitespace().skip(1).enumerate() {
        number += u64::from(!word.starts_with('.'));
        let picture = vp9_picture(word.trim_start_matches('.').split_at(1).1, number);
        let packet = PacketMeta {
            source: Source { encoding: 0, epoch: 0 },
            index: at as u64,
            timestamp: 3_000 * number as u32,
            picture: &picture,
            structure: None,
            is_way_in: picture.is_entry,
            tells_layers: true,
        };
        last = letter(selector.select(&packet, Instant::now()));
        asked |= selector.awaits_keyframe();
    }
    assert!(asked, "a keyframe is asked for");
    assert_eq!(last, 'E', "and the layer below goes on from there");
}
