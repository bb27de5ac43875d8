//! Finds the negotiated place of an SSRC that was not seen before, from an authenticated packet.
#![forbid(unsafe_code)]

use super::peer::Peer;
use super::streams::{EncodingPlace, StreamRole};
use crate::id::{Mid, PayloadType, Rid, Ssrc, Token};
use crate::media::carried::Carried;
use crate::media::format::{ExtensionIds, ExtensionKind};
use crate::transport::description::{Section, SectionRole};
use crate::wire::extension::Elements;
use crate::wire::rtp::RtpHeader;

/// The header extensions of one packet that the engine understands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extensions<'a> {
    pub(super) mid: Option<Mid>,
    pub(super) rid: Option<Rid>,
    pub(super) repaired_rid: Option<Rid>,
    pub(super) transport_sequence: Option<u16>,
    pub(super) carried: Carried,
    /// The dependency descriptor, not read yet.
    pub(super) dependency: Option<&'a [u8]>,
    /// What the publisher says of its layers, not read yet.
    pub(super) allocation: Option<&'a [u8]>,
}

impl<'a> Extensions<'a> {
    /// Reads the extension block of an authenticated packet. What has the wrong length is not read.
    pub(super) fn read(packet: &'a [u8], header: &RtpHeader, ids: &ExtensionIds) -> Self {
        let mut seen = Self::default();
        let Some((profile, range)) = &header.extension else { return seen };
        for (id, data) in Elements::new(*profile, packet.get(range.clone()).unwrap_or_default()) {
            match ids.kind(id) {
                Some(ExtensionKind::Mid) => seen.mid = Token::new(data).map(Mid),
                Some(ExtensionKind::Rid) => seen.rid = Token::new(data).map(Rid),
                Some(ExtensionKind::RepairedRid) => seen.repaired_rid = Token::new(data).map(Rid),
                Some(ExtensionKind::TransportCc) => {
                    seen.transport_sequence = data.try_into().ok().map(u16::from_be_bytes);
                }
                Some(ExtensionKind::DependencyDescriptor) => seen.dependency = Some(data),
                Some(ExtensionKind::VideoLayersAllocation) => seen.allocation = Some(data),
                Some(kind) => seen.carried.read(kind, data),
                None => {}
            }
        }
        seen
    }
}

impl Peer {
    /// The place of an unbound SSRC, by MID and RID, else by what the offer said of SSRCs, else by a payload
    /// type that only one section has.
    pub(super) fn resolve(
        &self,
        ssrc: Ssrc,
        payload_type: PayloadType,
        extensions: &Extensions<'_>,
    ) -> Option<StreamRole> {
        let sections = &self.transport.description().sections;
        let feed = match extensions.mid {
            Some(mid) => self.feed_where(sections, |section| section.mid == mid),
            None => self
                .feed_where(sections, |section| announces(section, ssrc))
                .or_else(|| self.feed_where(sections, |section| carries(section, payload_type))),
        }?;
        let section = &sections[self.feeds[usize::from(feed)].section];
        let SectionRole::Ingress { rids, ssrcs } = &section.role else { return None };
        if !carries(section, payload_type) {
            return None;
        }
        let is_rtx = section.format_of_rtx(payload_type).is_some()
            || ssrcs.iter().any(|announced| announced.1 == Some(ssrc));
        let rid = if is_rtx { extensions.repaired_rid.or(extensions.rid) } else { extensions.rid };
        let encoding = match rid {
            _ if rids.is_empty() => 0,
            Some(rid) => rids.iter().position(|known| *known == rid)? as u8,
            None => return None,
        };
        let place = EncodingPlace { feed, encoding };
        Some(if is_rtx { StreamRole::Rtx(place) } else { StreamRole::Media(place) })
    }

    /// The only feed whose section fits.
    fn feed_where(&self, sections: &[Section], fits: impl Fn(&Section) -> bool) -> Option<u8> {
        let mut fitting = self.feeds.iter().enumerate().filter(|(_, feed)| fits(&sections[feed.section]));
        let (at, _) = fitting.next()?;
        fitting.next().is_none().then_some(at as u8)
    }
}

fn announces(section: &Section, ssrc: Ssrc) -> bool {
    let SectionRole::Ingress { ssrcs, .. } = &section.role else { return false };
    ssrcs.iter().any(|(media, rtx)| *media == ssrc || *rtx == Some(ssrc))
}

fn carries(section: &Section, payload_type: PayloadType) -> bool {
    section.format(payload_type).is_some() || section.format_of_rtx(payload_type).is_some()
}
