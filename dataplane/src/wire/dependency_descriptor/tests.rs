#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::frame::Indication::{self, Discardable, NotPresent, Required, Switch};
use super::*;
use crate::wire::layer::Layer;

/// Bytes of bits that are written as text, padded with zeros.
fn packed(text: &str) -> Vec<u8> {
    let mut bits: Vec<u8> = text.bytes().filter(|bit| *bit != b' ').map(|bit| bit - b'0').collect();
    bits.resize(bits.len().next_multiple_of(8), 0);
    bits.chunks(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect()
}

/// The mandatory fields.
fn head(starts: bool, ends: bool, template_id: u8, frame_number: u16) -> String {
    format!("{}{}{template_id:06b}{frame_number:016b}", u8::from(starts), u8::from(ends))
}

/// Three temporal layers in one spatial layer, one chain over the base: what libwebrtc calls L1T3. The first
/// template is the keyframe's.
fn l1t3(offset: u8) -> String {
    let layers = "00 01 01 11"; // key T0, T0, T1, T2
    let indications = "10 10 10  11 10 10  00 11 10  00 00 01";
    let frame_diffs = "0  1 0011 0  1 0001 0  1 0000 0";
    // One chain of up to three; all targets are protected by it: ns(1) takes no bits.
    let chains = "01  0000 0100 0010 0001";
    let resolution = format!("1 {:016b} {:016b}", 1280 - 1, 720 - 1);
    format!("{offset:06b} 00010 {layers} {indications} {frame_diffs} {chains} {resolution}")
}

/// The first packet of a keyframe of [`l1t3`].
pub(crate) fn keyframe(offset: u8, frame_number: u16) -> Vec<u8> {
    packed(&format!("{} 1 0 0 0 0 {}", head(true, false, offset, frame_number), l1t3(offset)))
}

fn structure(offset: u8) -> Structure {
    read(&keyframe(offset, 1), None).unwrap().1.unwrap()
}

fn indications(frame: &Frame) -> [Indication; 3] {
    [0, 1, 2].map(|target| frame.indications.of(target))
}

#[test]
fn a_keyframe_brings_its_structure() {
    let (seen, own) = read(&keyframe(60, 7), None).unwrap();
    assert!(seen.starts_frame && !seen.ends_frame);
    assert_eq!((seen.template_id, seen.frame_number, seen.active_targets), (60, 7, Some(0b111)));
    let frame = seen.frame.unwrap();
    assert_eq!(indications(&frame), [Switch; 3]);
    assert!(frame.frame_diffs.values().is_empty());
    assert_eq!(frame.chain_diffs.values(), [0], "the chain begins here");

    let structure = own.unwrap();
    assert_eq!((structure.template_id_offset(), structure.template_count()), (60, 4));
    assert_eq!((structure.target_count(), structure.chain_count()), (3, 1));
    assert_eq!(structure.resolutions(), [(1280, 720)]);
    let targets: Vec<(Layer, Option<u8>)> =
        structure.targets().iter().map(|target| (target.layer, target.chain)).collect();
    let layer = |temporal| Layer { spatial: 0, temporal };
    assert_eq!(targets, [(layer(0), Some(0)), (layer(1), Some(0)), (layer(2), Some(0))]);
}

#[test]
fn a_frame_is_told_by_its_template_also_over_the_wrap_of_the_ids() {
    let structure = structure(62);
    // 62 is the keyframe's, 63 T0, 0 T1, 1 T2.
    for (template_id, temporal, expected, diffs, chain) in [
        (63, 0, [Required, Switch, Switch], &[4u16][..], 4u8),
        (0, 1, [NotPresent, Required, Switch], &[2], 2),
        (1, 2, [NotPresent, NotPresent, Discardable], &[1], 1),
    ] {
        let bytes = packed(&head(true, true, template_id, 500));
        assert_eq!(bytes.len(), MANDATORY_LEN);
        let frame = read(&bytes, Some(&structure)).unwrap().0.frame.unwrap();
        assert_eq!(frame.layer.temporal, temporal);
        assert_eq!(indications(&frame), expected);
        assert_eq!((frame.frame_diffs.values(), frame.chain_diffs.values()), (diffs, &[chain][..]));
    }
}

#[test]
fn a_frame_may_differ_from_its_template() {
    let custom =
        format!("{} 0 1 1 1 1  101  01 00 11  01 0111 11 000000001111 00  00101010", head(true, true, 1, 9));
    let (seen, own) = read(&packed(&custom), Some(&structure(0))).unwrap();
    assert!(own.is_none());
    assert_eq!(seen.active_targets, Some(0b101));
    let frame = seen.frame.unwrap();
    assert_eq!(indications(&frame), [Discardable, NotPresent, Required]);
    assert_eq!(frame.frame_diffs.values(), [8, 16]);
    assert_eq!(frame.chain_diffs.values(), [42]);
}

#[test]
fn without_its_structure_a_frame_is_a_number() {
    let bytes = packed(&head(true, false, 5, 77));
    for known in [None, Some(&structure(10))] {
        let (seen, _) = read(&bytes, known).unwrap();
        assert_eq!((seen.frame_number, seen.frame), (77, None));
    }
}

#[test]
fn two_spatial_layers_have_their_own_targets() {
    // Key S0, S0, key S1, S1; targets S0 and S1, each with its chain.
    let structure = "000000 00001  00 10 00 11  10 11 11 11 00 10 00 11  0 1 0001 0 1 0000 0 1 0001 1 0000 0 \
                     11 0 1  0000 0000  0010 0010  0001 0001  0010 0010  0";
    let bytes = packed(&format!("{} 1 0 0 0 0 {structure}", head(true, true, 2, 1)));
    let (seen, own) = read(&bytes, None).unwrap();
    let own = own.unwrap();
    assert_eq!(seen.frame.unwrap().layer, Layer { spatial: 1, temporal: 0 });
    assert_eq!(own.targets()[1].layer, Layer { spatial: 1, temporal: 0 });
    assert_eq!(own.targets().iter().map(|target| target.chain).collect::<Vec<_>>(), [Some(0), Some(1)]);
    assert_eq!(own.template(3).unwrap().frame_diffs.values(), [2, 1]);
    assert!(own.resolutions().is_empty());
}

#[test]
fn what_no_stream_can_say_is_refused() {
    let start = head(true, true, 0, 1);
    let many_templates = format!("{start} 1 0 0 0 0 000000 00000 {} 11", "00 ".repeat(64));
    let high_spatial = format!("{start} 1 0 0 0 0 000000 00000 10 10 10 10 11");
    let high_temporal = format!("{start} 1 0 0 0 0 000000 00000 {} 11", "01 ".repeat(8));
    let many_references = format!("{start} 0 0 0 1 0 {} 00", "01 0001 ".repeat(9));
    let in_the_middle = format!("{} 1 0 0 0 0 {}", head(false, true, 0, 1), l1t3(0));
    for (text, why) in [
        (&many_templates, "65 templates"),
        (&high_spatial, "five spatial layers"),
        (&high_temporal, "nine temporal layers"),
        (&many_references, "nine references"),
        (&in_the_middle, "a structure behind the start of a frame"),
    ] {
        // Long enough that nothing is refused for its length.
        let mut bytes = packed(text);
        bytes.resize(200, 0);
        assert!(read(&bytes, Some(&structure(0))).is_none(), "{why}");
    }
    let whole = keyframe(0, 1);
    for len in (0..whole.len()).filter(|len| *len != MANDATORY_LEN) {
        assert!(read(&whole[..len], None).is_none(), "{len} bytes");
    }
}

#[test]
fn a_shift_moves_numbers_and_nothing_else() {
    let moved = Shift { frame_number: 0xfff0, template_id: 37 };
    let mut bytes = keyframe(60, 20);
    shift(&mut bytes, moved);
    let offset = (60 + 37) % 64;
    let expected = keyframe(offset, 4);
    assert_eq!(bytes, expected);
    shift(&mut [], moved);
    shift(&mut [0x80], moved);
}

#[test]
fn structures_of_many_layers_need_the_two_byte_form() {
    assert_eq!(keyframe(0, 1).len(), 18, "more than an element of the one-byte form");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..DESCRIPTOR_LEN_MAX), offset in 0u8..64) {
        let _ = read(&bytes, Some(&structure(offset)));
        let _ = read(&bytes, None);
    }

    #[test]
    fn any_structure_is_read_or_refused(mut bytes in vec(any::<u8>(), 5..DESCRIPTOR_LEN_MAX)) {
        bytes[0] |= 0x80;
        bytes[3] |= HAS_STRUCTURE;
        if let Some((seen, own)) = read(&bytes, None) {
            let own = own.unwrap();
            prop_assert!((1..=32).contains(&own.target_count()) && own.chain_count() <= own.target_count());
            prop_assert!((1..=64).contains(&own.template_count()));
            prop_assert!(own.targets().iter().all(|target| target.chain < Some(own.chain_count())));
            prop_assert!(seen.active_targets.is_some());
        }
    }

    /// Whatever is shifted reads as before, but for its numbers.
    #[test]
    fn a_shifted_descriptor_is_read_as_before(
        mut bytes in vec(any::<u8>(), 3..60), has_structure: bool, frame_number: u16, template_id in 0u8..64,
    ) {
        bytes[0] |= 0x80;
        if let Some(flags) = bytes.get_mut(3) {
            *flags = *flags & !HAS_STRUCTURE | if has_structure { HAS_STRUCTURE } else { 0 };
        }
        let known = structure(5);
        let moved_known = structure((5 + template_id) % 64);
        let before = read(&bytes, Some(&known));
        shift(&mut bytes, Shift { frame_number, template_id });
        let after = read(&bytes, Some(&moved_known));
        prop_assert_eq!(before.is_some(), after.is_some());
        if let (Some((before, own)), Some((after, moved))) = (before, after) {
            let expected = Descriptor {
                frame_number: before.frame_number.wrapping_add(frame_number),
                template_id: (before.template_id + template_id) % 64,
                ..before
            };
            prop_assert_eq!(after, expected);
            prop_assert_eq!(
                own.map(|own| (own.template_id_offset() + template_id) % 64),
                moved.map(|moved| moved.template_id_offset())
            );
        }
    }

    /// Whatever gets other active targets reads as before, but for them.
    #[test]
    fn a_descriptor_with_other_active_targets_is_read_as_before(
        mut bytes in vec(any::<u8>(), 3..60), has_structure: bool, mask in 0u32..1 << 30,
    ) {
        bytes[0] |= 0x80;
        if let Some(flags) = bytes.get_mut(3) {
            *flags = *flags & !HAS_STRUCTURE | if has_structure { HAS_STRUCTURE } else { 0 };
        }
        let known = structure(5);
        if let Some((before, own)) = read(&bytes, Some(&known)) {
            let count = own.as_ref().unwrap_or(&known).target_count();
            let active = ActiveTargets { mask: mask & (u32::MAX >> (32 - u32::from(count))), count };
            let mut out = [0xff; 80];
            let len = rewrite::set_active_targets(&bytes, active, &mut out).unwrap();
            prop_assert!(len <= bytes.len() + rewrite::GROWTH_BYTES_MAX);
            let (after, moved) = read(&out[..len], Some(&known)).unwrap();
            prop_assert_eq!(after, Descriptor { active_targets: Some(active.mask), ..before });
            prop_assert_eq!(moved, own);
            let (is_long, other) = (active.count > 1, ActiveTargets { count: active.count - 1, ..active });
            if has_structure && bytes.len() > 3 && is_long {
                prop_assert_eq!(rewrite::set_active_targets(&bytes, other, &mut out), None);
            }
            prop_assert_eq!(rewrite::set_active_targets(&bytes, active, &mut out[..len - 1]), None);
        }
    }
}
