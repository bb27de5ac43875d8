//! The header of a packet that leaves: the fixed part, and the extensions that this subscriber negotiated.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;

use super::egress::Stream;
use super::peer::Watch;
use crate::id::Mid;
use crate::media::carried::{CaptureTime, Carried, Remembered};
use crate::media::format::{ExtensionIds, ExtensionKind};
use crate::media::packet::Packet;
use crate::media::subscription::{Outgoing, OutgoingForm};
use crate::time::NtpTime;
use crate::wire::dependency_descriptor::rewrite::set_active_targets;
use crate::wire::dependency_descriptor::{self, DESCRIPTOR_LEN_MAX};
use crate::wire::extension::{ExtensionWriter, Form};
use crate::wire::rtp::{FIXED_HEADER_LEN, set_extension_bit, write_header};

/// The largest element of the one-byte form (RFC 8285, section 4.2).
const ONE_BYTE_LEN_MAX: usize = 16;

/// Which forms of extension blocks a subscriber can read (RFC 8285, section 4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forms {
    /// Both, by packet: `extmap-allow-mixed` was negotiated.
    Mixed,
    /// This one only.
    Only(Form),
}

impl Forms {
    pub(super) fn of(allows_mixed: bool, extensions: &ExtensionIds, mid: Mid) -> Self {
        let ids = ExtensionKind::ALL.into_iter().filter_map(|kind| extensions.id(kind));
        let least = ids.map(|id| Form::needed_for(id, mid.0.as_bytes().len())).max();
        if allows_mixed { Forms::Mixed } else { Forms::Only(least.unwrap_or(Form::OneByte)) }
    }

    /// Bytes of the largest element that can be sent.
    pub(super) fn element_len_max(self) -> usize {
        match self {
            Forms::Only(Form::OneByte) => ONE_BYTE_LEN_MAX,
            Forms::Only(Form::TwoByte) | Forms::Mixed => DESCRIPTOR_LEN_MAX,
        }
    }
}

/// What of the source goes into a header, beside the packet itself.
pub(super) struct Source<'a> {
    /// The dependency descriptor as it came.
    pub(super) dependency: &'a [u8],
    /// What the source said before; `None` if it is over.
    pub(super) remembered: Option<&'a Remembered>,
    /// Seconds from the publisher's clock to ours.
    pub(super) clock_offset_seconds: Option<f64>,
}

/// What changes from datagram to datagram.
#[derive(Clone, Copy)]
pub(super) struct Departure {
    pub(super) transport_sequence: u16,
    pub(super) ntp: NtpTime,
}

/// The elements of one block, and the ids to write them under.
struct Elements<'a> {
    ids: &'a ExtensionIds,
    list: ArrayVec<(u8, &'a [u8]), { ExtensionKind::COUNT }>,
}

impl<'a> Elements<'a> {
    /// Adds an element, if there is something to say and it was negotiated.
    fn add(&mut self, kind: ExtensionKind, data: Option<&'a [u8]>) {
        if let (Some(id), Some(data)) = (self.ids.id(kind), data) {
            let _ = self.list.try_push((id, data));
        }
    }

    fn add_carried(&mut self, carried: &'a Carried) {
        self.add(ExtensionKind::AudioLevel, carried.audio_level.as_ref().map(std::slice::from_ref));
        self.add(
            ExtensionKind::VideoOrientation,
            carried.video_orientation.as_ref().map(std::slice::from_ref),
        );
        self.add(ExtensionKind::ContentType, carried.content_type.as_ref().map(std::slice::from_ref));
        self.add(ExtensionKind::ColorSpace, carried.color_space.as_ref().map(|space| space.as_bytes()));
    }

    /// Writes the block; what its form cannot carry is left out.
    fn write(&self, out: &mut [u8], forms: Forms) -> usize {
        let form = match forms {
            Forms::Only(form) => form,
            Forms::Mixed => {
                let needed = self.list.iter().map(|(id, data)| Form::needed_for(*id, data.len()));
                needed.max().unwrap_or(Form::OneByte)
            }
        };
        let mut writer = ExtensionWriter::new(out, form);
        for (id, data) in &self.list {
            writer.push(*id, data);
        }
        writer.finish()
    }
}

/// Writes the fixed header and the extensions; returns their length.
pub(super) fn write_head(
    out: &mut [u8],
    watch: &Watch,
    stream: &Stream,
    outgoing: &Outgoing,
    packet: &Packet,
    source: &Source<'_>,
    departure: Departure,
) -> usize {
    let ends_picture = packet.marker || outgoing.overwrite.ends_picture;
    let marker = ends_picture && outgoing.form != OutgoingForm::Padding;
    write_header(out, marker, stream.payload_type, stream.index as u16, outgoing.timestamp, stream.ssrc);

    let sequence = departure.transport_sequence.to_be_bytes();
    let send_time = departure.ntp.abs_send_time().to_be_bytes();
    let (captured, captured_len) = capture_time(watch, outgoing, packet, source);
    let delay = playout_delay(watch, packet, source);
    let mut dependency = [0; DESCRIPTOR_LEN_MAX];
    let dependency = rewritten_dependency(&mut dependency, outgoing, source);

    let mut elements = Elements { ids: &watch.extensions, list: ArrayVec::new() };
    let is_new = !watch.subscription.is_known_to_peer;
    elements.add(ExtensionKind::Mid, is_new.then(|| watch.mid.0.as_bytes()));
    if watch.extensions.id(ExtensionKind::TransportCc).is_some() {
        elements.add(ExtensionKind::TransportCc, Some(&sequence));
    } else {
        elements.add(ExtensionKind::AbsSendTime, Some(&send_time[1..]));
    }
    if outgoing.form != OutgoingForm::Padding {
        elements.add(ExtensionKind::DependencyDescriptor, dependency);
        elements.add(ExtensionKind::PlayoutDelay, delay.as_ref().map(<[u8; 3]>::as_slice));
        elements.add(ExtensionKind::AbsCaptureTime, captured.as_ref().map(|bytes| &bytes[..captured_len]));
        elements.add_carried(&packet.carried);
    }
    let extension_len = elements.write(&mut out[FIXED_HEADER_LEN..], watch.forms);
    if extension_len > 0 {
        set_extension_bit(out);
    }
    FIXED_HEADER_LEN + extension_len
}

/// The descriptor with this subscriber's numbers and decode targets, in `space`.
fn rewritten_dependency<'a>(
    space: &'a mut [u8; DESCRIPTOR_LEN_MAX],
    outgoing: &Outgoing,
    source: &Source<'_>,
) -> Option<&'a [u8]> {
    let overwrite = outgoing.overwrite.dependency?;
    let targets = overwrite.targets.filter(|_| !source.dependency.is_empty());
    let rewritten = targets.and_then(|targets| set_active_targets(source.dependency, targets, space));
    let len = match rewritten {
        Some(len) => len,
        None => {
            space.get_mut(..source.dependency.len())?.copy_from_slice(source.dependency);
            source.dependency.len()
        }
    };
    let space = space.get_mut(..len).filter(|space| !space.is_empty())?;
    dependency_descriptor::shift(space, overwrite.shift);
    Some(space)
}

/// The packet's own capture time, or what it must be where a source begins: publishers repeat it only now and
/// then.
fn capture_time(
    watch: &Watch,
    outgoing: &Outgoing,
    packet: &Packet,
    source: &Source<'_>,
) -> (Option<[u8; 16]>, usize) {
    let told = |remembered: &Remembered| -> Option<CaptureTime> {
        remembered.capture_time(packet.timestamp, watch.subscription.clock_rate_hz()?)
    };
    let told = source.remembered.filter(|_| outgoing.begins_source).and_then(told);
    match packet.carried.capture_time.or(told) {
        Some(captured) => {
            let (bytes, len) = captured.write(source.clock_offset_seconds);
            (Some(bytes), len)
        }
        None => (None, 0),
    }
}

/// The packet's own playout delay, or the last one for as long as it is not known to have arrived.
fn playout_delay(watch: &Watch, packet: &Packet, source: &Source<'_>) -> Option<[u8; 3]> {
    let last = source.remembered.filter(|_| !watch.subscription.is_known_to_peer);
    packet.carried.playout_delay.or_else(|| last?.playout_delay)
}
