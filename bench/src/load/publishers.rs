//! The publishers: each sends its tracks on plan, whatever happens. All are served by one thread.

mod track;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dataplane::id::Ssrc;

use super::client::Client;
use super::session::Told;
use super::socket::{Poller, Receiver};
use super::{Stage, wall_ns};
use crate::failure::{Failure, OrFail};
use crate::impair::system;
use crate::traffic::Source;
pub(crate) use track::Sent;
use track::Track;

/// A publisher that is not connected by then will not be.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections are looked after this often, even if nothing comes.
const ATTEND_INTERVAL: Duration = Duration::from_millis(5);

/// One publisher and what it sends.
pub(crate) struct Publisher {
    /// Not connected yet, or connected.
    pub(crate) client: Client,
    /// Its tracks, in the order of its media sections.
    pub(crate) sources: Vec<Source>,
    /// By which the packets of each source are known, counted up from here.
    pub(crate) first_number: u16,
    /// How long after the others it starts, so that not all cameras take their pictures together.
    pub(crate) phase: Duration,
}

/// Publishers at work.
pub(crate) struct Publishing {
    thread: JoinHandle<Result<Vec<Sent>, Failure>>,
}

struct Member {
    client: Client,
    tracks: Vec<Track>,
    deadline: Instant,
}

/// What the server wants of a publisher.
enum Wish {
    Keyframe(Ssrc),
    Packets(Ssrc, Vec<u16>),
}

struct Crew {
    members: Vec<Member>,
    poller: Poller,
    receiver: Receiver,
    next_attendance: Instant,
}

/// Connects all, and sends until the stage ends.
pub(crate) fn begin(publishers: Vec<Publisher>, stage: &Arc<Stage>) -> Result<Publishing, Failure> {
    let mut sources = Vec::new();
    let mut crew = Crew {
        members: Vec::new(),
        poller: Poller::new().or_fail("epoll", "")?,
        receiver: Receiver::new(),
        next_attendance: Instant::now(),
    };
    for Publisher { client, sources: own, first_number, phase } in publishers {
        crew.poller.add(client.socket(), crew.members.len()).or_fail("epoll", "")?;
        crew.members.push(Member { client, tracks: Vec::new(), deadline: Instant::now() });
        sources.push((own, first_number, phase));
    }
    crew.connect()?;
    for (member, (own, first_number, phase)) in crew.members.iter_mut().zip(sources) {
        let mut encodings = member.client.encodings().into_iter().map(|terms| terms.ssrc).enumerate();
        for (source, number) in own.into_iter().zip(first_number..) {
            let ours = encodings.by_ref().take(source.encodings().len()).collect();
            member.tracks.push(Track::new(source, number, ours, phase)?);
        }
    }
    let stage = Arc::clone(stage);
    Ok(Publishing { thread: thread::spawn(move || crew.publish(&stage)) })
}

impl Publishing {
    /// Ends, after [`Stage::end`]: what was sent, by source.
    pub(crate) fn report(self) -> Result<Vec<Sent>, Failure> {
        let panicked = || Failure::new("the thread of the publishers panicked", "report it").of_generator();
        self.thread.join().unwrap_or_else(|_| Err(panicked()))
    }
}

impl Crew {
    /// Attends until ICE and DTLS of all are done.
    fn connect(&mut self) -> Result<(), Failure> {
        let give_up_at = Instant::now() + CONNECT_TIMEOUT;
        loop {
            let waiting = self.members.iter().filter(|member| !member.client.is_connected()).count();
            if waiting == 0 {
                return Ok(());
            }
            if Instant::now() > give_up_at {
                return Err(Failure::new(
                    format!("{waiting} of {} publishers did not connect", self.members.len()),
                    "see the server's log; check that its UDP ports are reachable from here",
                ));
            }
            self.attend(Instant::now() + ATTEND_INTERVAL)?;
        }
    }

    /// Sends until the stage ends.
    fn publish(mut self, stage: &Stage) -> Result<Vec<Sent>, Failure> {
        system::be_punctual();
        let (start, start_ns) = (Instant::now(), wall_ns());
        let mut due: BinaryHeap<Reverse<(Duration, usize, usize)>> = BinaryHeap::new();
        for (member, tracks) in self.members.iter().map(|member| &member.tracks).enumerate() {
            due.extend(tracks.iter().enumerate().map(|(at, track)| Reverse((track.next_at(), member, at))));
        }
        while !stage.is_over() {
            let Some(Reverse((at, member, track))) = due.pop() else { break };
            self.attend(start + at)?;
            let Member { client, tracks, .. } = &mut self.members[member];
            let planned_ns = start_ns + u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
            tracks[track].send_next(client, planned_ns, stage);
            due.push(Reverse((tracks[track].next_at(), member, track)));
        }
        let tracks = self.members.into_iter().flat_map(|member| member.tracks);
        Ok(tracks.map(|track| track.sent).collect())
    }

    /// Serves the connections until `until`.
    fn attend(&mut self, until: Instant) -> Result<(), Failure> {
        loop {
            let now = Instant::now();
            if self.next_attendance <= now {
                self.next_attendance = now + ATTEND_INTERVAL;
                self.members.iter_mut().for_each(|member| member.expire(now));
            }
            if until <= now {
                return Ok(());
            }
            let patience = until.min(self.next_attendance).saturating_duration_since(now);
            self.poller.wait(patience).or_fail("waiting for the server", "")?;
            for number in self.poller.ready().or_fail("epoll", "")? {
                self.members[number].receive(&mut self.receiver)?;
            }
        }
    }
}

impl Member {
    fn expire(&mut self, now: Instant) {
        if self.deadline <= now {
            self.client.expire(now, &mut |_| {});
            self.deadline = self.client.deadline();
        }
    }

    fn receive(&mut self, receiver: &mut Receiver) -> Result<(), Failure> {
        let mut wishes = Vec::new();
        self.client.receive(receiver, Instant::now(), &mut |told| match told {
            Told::KeyframeWanted(stream) => wishes.push(Wish::Keyframe(stream)),
            Told::PacketsWanted(stream, numbers) => wishes.push(Wish::Packets(stream, numbers.collect())),
            Told::Payload(_) | Told::Refused => {}
        })?;
        self.deadline = self.client.deadline();
        for wish in wishes {
            let client = &mut self.client;
            self.tracks.iter_mut().for_each(|track| track.grant(&wish, client));
        }
        Ok(())
    }
}
