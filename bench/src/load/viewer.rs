//! One viewer: a client that receives, and what it has seen of each track.
#![forbid(unsafe_code)]

use dataplane::id::Ssrc;

use super::client::Client;
use super::door::Seat;
use super::heard::Heard;
use super::pictures::{Pictures, Smoothness};
use super::seen::Seen;
use super::session::{Arrival, Told};
use super::{Stage, Ticket};
use crate::traffic;

/// Tracks of which one viewer keeps count; of more there is no scenario.
const TRACKS_MAX: usize = 256;

/// A client that receives.
pub(crate) struct Viewer {
    /// `None` once it has gone.
    pub(crate) client: Option<Box<Client>>,
    pub(crate) seat: Seat,
    pub(crate) watching: Watching,
    /// Of a viewer that has gone.
    drops: u32,
    expected_and_received: (u64, u64),
}

impl Viewer {
    /// A viewer that has come in.
    pub(crate) fn new(client: Box<Client>, seat: Seat, watching: Watching) -> Self {
        Self { client: Some(client), seat, watching, drops: 0, expected_and_received: (0, 0) }
    }

    /// Goes: its socket is closed, and what it has seen remains.
    pub(crate) fn go(&mut self) {
        (self.drops, self.expected_and_received) = (self.drops(), self.expected_and_received());
        self.client = None;
    }

    /// Datagrams that its socket has dropped.
    pub(crate) fn drops(&self) -> u32 {
        self.client.as_ref().map_or(self.drops, |client| client.drops())
    }

    /// Packets that the numbers of its streams promise, and packets that came.
    pub(crate) fn expected_and_received(&self) -> (u64, u64) {
        self.client.as_ref().map_or(self.expected_and_received, |client| client.expected_and_received())
    }

    /// Whether it is here, and its connection has failed.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.client.as_ref().is_some_and(|client| !client.is_alive())
    }
}

/// What a viewer has seen.
#[derive(Debug)]
pub(crate) struct Watching {
    pub(crate) ticket: Ticket,
    /// When it was to join, ns since 1970: its waiting counts from there.
    pub(crate) invited_ns: u64,
    tracks: Vec<Track>,
    /// Streams that a keyframe is to be asked for.
    pub(crate) keyframes_wanted: Vec<Ssrc>,
}

/// What a viewer has seen of one track.
#[derive(Debug)]
pub(crate) struct Track {
    /// Which source it is, by the number in its packets.
    pub(crate) source: u16,
    /// The stream that carries it now.
    stream: Ssrc,
    /// By encoding.
    pub(crate) seen: Vec<Seen>,
    /// `None` of sound.
    pub(crate) pictures: Option<Pictures>,
    /// When pictures of another encoding began, ns since 1970, and of which.
    pub(crate) switches: Vec<(u64, u8)>,
}

impl Watching {
    /// Nothing was seen yet.
    pub(crate) fn new(ticket: Ticket, invited_ns: u64) -> Self {
        Self { ticket, invited_ns, tracks: Vec::new(), keyframes_wanted: Vec::new() }
    }

    /// Takes what the client tells.
    pub(crate) fn take(&mut self, told: Told<'_>, heard: &mut Heard, stage: &Stage) {
        match told {
            Told::Payload(arrival) => self.take_packet(&arrival, heard, stage),
            Told::Refused => heard.damaged += 1,
            Told::KeyframeWanted(_) | Told::PacketsWanted(..) => {}
        }
    }

    fn take_packet(&mut self, arrival: &Arrival<'_>, heard: &mut Heard, stage: &Stage) {
        let Some(record) = traffic::read(arrival.payload) else {
            heard.damaged += 1;
            return;
        };
        let is_measured = stage.is_measured(record.sent_ns);
        let is_first = self.tracks.is_empty();
        let Some(track) = self.track(record.source, record.is_video()) else { return };
        track.stream = arrival.stream;
        if !track.seen_of(record.encoding).insert(record.sequence) {
            heard.duplicates += u64::from(is_measured);
            return;
        }
        if is_first {
            stage.count_receiving();
        }
        if is_measured {
            heard.take(&record, arrival);
        }
        let Some(pictures) = &mut track.pictures else { return };
        let progress = pictures.take(&record, arrival.received_ns, stage.is_measured(arrival.received_ns));
        if let Some(encoding) = progress.switched_to {
            track.switches.push((arrival.received_ns, encoding));
        }
        if progress.wants_keyframe {
            self.keyframes_wanted.push(arrival.stream);
        }
    }

    fn track(&mut self, source: u16, is_video: bool) -> Option<&mut Track> {
        let at = match self.tracks.iter().position(|track| track.source == source) {
            Some(at) => at,
            None if self.tracks.len() < TRACKS_MAX => {
                let pictures = is_video.then(Pictures::default);
                let (stream, seen, switches) = (Ssrc(0), Vec::new(), Vec::new());
                self.tracks.push(Track { source, stream, seen, pictures, switches });
                self.tracks.len() - 1
            }
            None => return None,
        };
        Some(&mut self.tracks[at])
    }

    /// The streams that carry pictures.
    pub(crate) fn video_streams(&self) -> impl Iterator<Item = Ssrc> {
        self.tracks.iter().filter(|track| track.pictures.is_some()).map(|track| track.stream)
    }

    /// What was seen, track by track.
    pub(crate) fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// From the invitation to the first picture, ns; `None` if there was none.
    pub(crate) fn first_picture_ns(&self) -> Option<u64> {
        let first = self.tracks.iter().filter_map(|track| track.pictures.as_ref()?.first_shown_ns()).min()?;
        Some(first.saturating_sub(self.invited_ns))
    }

    /// How smooth the picture of each of its video tracks was in the window.
    pub(crate) fn smoothness(&self, start_ns: u64, end_ns: u64) -> impl Iterator<Item = Smoothness> {
        let pictures = self.tracks.iter().filter_map(|track| track.pictures.as_ref());
        pictures.map(move |pictures| pictures.smoothness(start_ns, end_ns))
    }
}

impl Track {
    fn seen_of(&mut self, encoding: u8) -> &mut Seen {
        let at = usize::from(encoding);
        while self.seen.len() <= at {
            self.seen.push(Seen::default());
        }
        &mut self.seen[at]
    }
}
