//! One round with publishers and an audience: who comes when, and what is read at which moment.
//!
//! A scenario says who takes part ([`Cast`]) and, if it likes, what happens in the window; the order of a
//! round is the same for all:
//!
//! 1. The audience joins, and the publishers before or after it, as the server wants it. Memory is read.
//! 2. Media flows to all. After a warm-up the window begins, in which CPU time is read.
//! 3. What was sent in the window may arrive for a while after its end. Then all go.

mod cast;
pub(crate) mod figures;
mod shown;
mod timings;
mod verdict;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, OrFail};
use crate::load::audience::{Audience, Invitation};
use crate::load::clerk::Clerk;
use crate::load::client::{Gift, Part, Takes};
use crate::load::door::{Door, Seat};
use crate::load::publishers::{self, Publisher, Publishing};
use crate::load::{Stage, Ticket, wall_ns};
use crate::measure::process::{CpuSpent, CpuTime, Footprint};
use crate::measure::trains::Trains;
use crate::scenario::Bench;
use crate::targets::Server;
use crate::traffic::{Recipe, Source};
pub(crate) use cast::Cast;
pub(crate) use shown::{Choice, Shown, quantile};
use timings::{Kind, Stopwatch};

/// Connected viewers settle for this long before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// Viewers that connect at a time before the window.
const CONNECTING_MAX: usize = 100;
/// What was sent in the window may arrive this long after it.
const DRAIN: Duration = Duration::from_millis(500);
/// By then every viewer has got a packet, or the round has failed.
const FIRST_PACKET_TIMEOUT: Duration = Duration::from_secs(20);
/// Time between two looks at whether media flows.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Publishers start within one frame interval of each other, so that not all cameras take their pictures together.
const PHASES: u32 = 33;

/// A round that is being played.
pub(crate) struct Show<'a> {
    bench: &'a Bench<'a>,
    server: &'a Server,
    stage: Arc<Stage>,
    clerk: Arc<Clerk>,
    rooms: Vec<OpenRoom>,
    audience: Audience,
    publishing: Option<Publishing>,
    publisher_seats: Vec<(usize, Seat)>,
    /// By ticket, the room of a viewer.
    viewer_rooms: Vec<usize>,
    /// By ticket, the group of a viewer.
    viewer_groups: Vec<usize>,
    footprints: Footprints,
    stopwatch: Stopwatch,
    choices: Vec<Choice>,
}

struct OpenRoom {
    door: Arc<Door>,
    /// For the groups behind links.
    linked_doors: Vec<Arc<Door>>,
    /// What its publishers send.
    recipes: Vec<Recipe>,
    /// The numbers of its sources.
    sources: std::ops::Range<u16>,
    video: usize,
    audio: usize,
}

/// Memory of the server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Footprints {
    /// With the first viewer.
    pub(crate) with_one: Option<Footprint>,
    /// With all viewers, before media flows unless the publisher comes first.
    pub(crate) with_all: Option<Footprint>,
    /// At the end of the window.
    pub(crate) at_end: Option<Footprint>,
}

/// What is read at both ends of the window.
struct Books {
    server: Option<CpuTime>,
    own: CpuTime,
}

impl<'a> Show<'a> {
    /// Plays a cast for `window`, in which nothing happens but media.
    pub(crate) fn play(bench: &'a Bench<'a>, server: &'a Server, cast: &Cast) -> Result<Shown, Failure> {
        Self::play_with(bench, server, cast, |_, _| Ok(None))
    }

    /// Plays a cast. In the window `act` is called with the time since its start, at once and then each time
    /// when it said it wants to be; `None`: no more.
    pub(crate) fn play_with(
        bench: &'a Bench<'a>,
        server: &'a Server,
        cast: &Cast,
        act: impl FnMut(&mut Self, Duration) -> Result<Option<Duration>, Failure>,
    ) -> Result<Shown, Failure> {
        let mut show = Self::open(bench, server, cast)?;
        let played = show.gather(cast).and_then(|()| show.watch(cast, act));
        // Threads must not outlive a failure.
        show.stage.end();
        let watched = played?;
        show.close(watched)
    }

    fn open(bench: &'a Bench<'a>, server: &'a Server, cast: &Cast) -> Result<Self, Failure> {
        let (stage, clerk) = (Arc::new(Stage::new()), Arc::new(Clerk::start()?));
        let mut next_source = 0u16;
        let mut rooms = Vec::new();
        for room in &cast.rooms {
            let count = room.publishes.len() as u16;
            let audio = room.publishes.iter().filter(|recipe| recipe.codec().is_audio()).count();
            let door = Door::open(&clerk, server, &room.name)?;
            rooms.push(OpenRoom {
                linked_doors: cast.links.iter().map(|link| door.behind(link)).collect(),
                door,
                recipes: room.publishes.clone(),
                sources: next_source..next_source + count,
                video: room.publishes.len() - audio,
                audio,
            });
            next_source += count;
        }
        Ok(Self {
            bench,
            server,
            audience: Audience::open(&stage, &clerk, bench.generator_threads())?,
            stage,
            clerk,
            rooms,
            publishing: None,
            publisher_seats: Vec::new(),
            viewer_rooms: Vec::new(),
            viewer_groups: Vec::new(),
            footprints: Footprints::default(),
            stopwatch: Stopwatch::default(),
            choices: Vec::new(),
        })
    }

    /// Brings in everybody who is there before the window.
    fn gather(&mut self, cast: &Cast) -> Result<(), Failure> {
        let is_publisher_first = self.server.entrance.is_publisher_first();
        if is_publisher_first {
            self.publish()?;
        }
        self.bench.step("joining");
        let mut wanted = cast.rooms.iter().map(|room| room.viewers).enumerate();
        if let Some((room, viewers)) = wanted.find(|(_, viewers)| *viewers > 0) {
            self.invite(room, 0);
            self.settle()?;
            self.footprints.with_one = self.footprint()?;
            self.invite_many(room, 0, viewers - 1)?;
            for (room, viewers) in wanted {
                self.invite_many(room, 0, viewers)?;
            }
            for (room, linked) in cast.rooms.iter().map(|room| &room.linked).enumerate() {
                for (link, viewers) in linked.iter().enumerate() {
                    self.invite_many(room, link + 1, *viewers)?;
                }
            }
            self.settle()?;
            self.footprints.with_all = self.footprint()?;
        }
        if !is_publisher_first {
            self.publish()?;
        }
        Ok(())
    }

    fn invite_many(&mut self, room: usize, group: usize, viewers: u64) -> Result<(), Failure> {
        for _ in 0..viewers {
            self.audience.connect_but(CONNECTING_MAX)?;
            self.invite(room, group);
        }
        Ok(())
    }

    fn settle(&self) -> Result<(), Failure> {
        self.audience.connect()?;
        thread::sleep(SETTLE);
        Ok(())
    }

    /// Lets the publishers of all rooms in, who begin to send.
    fn publish(&mut self) -> Result<(), Failure> {
        self.bench.step("publishing");
        let mut publishers = Vec::new();
        for (at, room) in self.rooms.iter().enumerate() {
            if room.recipes.is_empty() {
                continue;
            }
            let seeds = room.sources.clone().map(u64::from);
            let sources: Vec<Source> =
                room.recipes.iter().zip(seeds).map(|(recipe, seed)| Source::new(recipe, seed)).collect();
            let gifts = sources.iter().map(|source| Gift {
                codec: source.codec(),
                rids: source.encodings().iter().filter_map(|encoding| encoding.rid).collect(),
            });
            let part = Part::Gives(gifts.collect());
            let (client, seat) = self.clerk.wait_for(room.door.enter(&part))?;
            self.publisher_seats.push((at, seat));
            let phase = Duration::from_millis(u64::from(at as u32 % PHASES));
            publishers.push(Publisher { client, sources, first_number: room.sources.start, phase });
        }
        if !publishers.is_empty() {
            self.publishing = Some(publishers::begin(publishers, &self.stage)?);
        }
        Ok(())
    }

    /// Invites one viewer to a room; nobody waits for it. Group 0 has no link, group n is behind the n-th.
    pub(crate) fn invite(&mut self, room: usize, group: usize) -> Ticket {
        let OpenRoom { door, linked_doors, video, audio, .. } = &self.rooms[room];
        let (video, audio) = (*video, *audio);
        let door = group.checked_sub(1).map_or(door, |link| &linked_doors[link]);
        let ticket = self.audience.invite(&Invitation { door: Arc::clone(door), video, audio, group });
        self.viewer_rooms.push(room);
        self.viewer_groups.push(group);
        ticket
    }

    /// Sends a viewer away.
    pub(crate) fn dismiss(&self, ticket: Ticket) {
        self.audience.dismiss(ticket, &self.rooms[self.viewer_rooms[ticket]].door);
    }

    /// Lets a viewer ask for keyframes.
    pub(crate) fn want_keyframe(&self, ticket: Ticket) {
        self.audience.want_keyframe(ticket);
    }

    /// Lets a viewer ask for an encoding of what it is shown; 0 is the smallest. The time is remembered.
    pub(crate) fn choose(&mut self, ticket: Ticket, encoding: u8) {
        self.choices.push(Choice { ticket, encoding, asked_ns: wall_ns() });
        self.audience.choose(ticket, &self.rooms[self.viewer_rooms[ticket]].door, encoding.into());
    }

    /// Lets a viewer come in to a room and go at once, and notes how long it took until it was let in.
    pub(crate) fn visit(&self, room: usize) {
        let OpenRoom { door, video, audio, .. } = &self.rooms[room];
        let (door, stopwatch) = (Arc::clone(door), self.stopwatch.clone());
        let part = Part::Takes(Takes { video: *video, audio: *audio, is_witness: false });
        self.clerk.spawn(async move {
            let start = Instant::now();
            let entered = door.enter(&part).await;
            stopwatch.note(Kind::Answer, start, entered.is_ok());
            if let Ok((_, seat)) = entered {
                door.leave(&seat).await;
            }
        });
    }

    /// Asks for the state of a publisher's session, which its shard has to answer, and notes how long it took.
    /// Other servers than Sluice are not asked.
    pub(crate) fn ask(&self) {
        let Some((room, Seat::Resource(Some(session)))) = self.publisher_seats.first() else { return };
        let Some(mut url) = self.server.metrics.clone() else { return };
        let id = session.path().rsplit('/').next().unwrap_or_default();
        url.set_path(&format!("/api/sessions/{id}"));
        let (door, stopwatch) = (Arc::clone(&self.rooms[*room].door), self.stopwatch.clone());
        self.clerk.spawn(async move {
            let start = Instant::now();
            let answered = door.ask(&url).await;
            stopwatch.note(Kind::Command, start, answered.is_ok());
        });
    }

    /// Waits until all receive, sets the window, plays it, and reads the kernel's books at both its ends.
    fn watch(
        &mut self,
        cast: &Cast,
        mut act: impl FnMut(&mut Self, Duration) -> Result<Option<Duration>, Failure>,
    ) -> Result<Watched, Failure> {
        if cast.has_media() {
            self.wait_for_media()?;
        }
        self.bench.step("warming up");
        let start = Instant::now() + cast.warm_up;
        let start_ns = wall_ns() + cast.warm_up.as_nanos() as u64;
        self.stage.set_window(start_ns, start_ns + cast.window.as_nanos() as u64);
        // Asking costs the server CPU time, so it is asked outside the window.
        let trains_before = Trains::read(self.server.metrics.as_ref())?;
        thread::sleep(start.saturating_duration_since(Instant::now()));
        let before = self.books()?;
        self.bench.step("measuring");
        let end = start + cast.window;
        let mut next = Some(Duration::ZERO);
        while let Some(at) = next.filter(|at| start + *at < end) {
            thread::sleep((start + at).saturating_duration_since(Instant::now()));
            next = act(self, start.elapsed())?;
        }
        thread::sleep(end.saturating_duration_since(Instant::now()));
        let after = self.books()?;
        self.footprints.at_end = self.footprint()?;
        let trains = Trains::read(self.server.metrics.as_ref())?;
        thread::sleep(DRAIN);
        Ok(Watched {
            window: cast.window,
            server_cpu: after.server.zip(before.server).map(|(after, before)| after.since(&before)),
            generator_cpu: after.own.since(&before.own),
            trains: trains.zip(trains_before).map(|(after, before)| after.since(&before)),
        })
    }

    fn wait_for_media(&self) -> Result<(), Failure> {
        self.bench.step("waiting for media");
        let give_up_at = Instant::now() + FIRST_PACKET_TIMEOUT;
        let viewers = self.audience.invited() as u64;
        while self.stage.receiving() < viewers {
            if Instant::now() > give_up_at {
                return Err(Failure::new(
                    format!("only {} of {viewers} viewers receive media", self.stage.receiving()),
                    "see the server's log; does it forward to those who came before the publisher? \
                     If not, add ,publisher-first to the target",
                ));
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    fn books(&self) -> Result<Books, Failure> {
        let own = CpuTime::read(std::process::id()).or_fail("the generator's own CPU time", "")?;
        let server = self.server.pid.map(CpuTime::read).transpose().or_fail(SERVER_GONE, "see its log")?;
        Ok(Books { server, own })
    }

    fn footprint(&self) -> Result<Option<Footprint>, Failure> {
        self.server.pid.map(Footprint::read).transpose().or_fail(SERVER_GONE, "see its log")
    }

    /// Ends the round, after [`Stage::end`].
    fn close(self, watched: Watched) -> Result<Shown, Failure> {
        let failures = self.stage.take_failures();
        let sent = self.publishing.map(Publishing::report).transpose()?.unwrap_or_default();
        let report = self.audience.report()?;
        if !self.server.is_ours() {
            let leave = |room: usize, seat: &Seat| self.clerk.wait_for(self.rooms[room].door.leave(seat));
            self.publisher_seats.iter().for_each(|(room, seat)| leave(*room, seat));
            for viewer in report.viewers.iter().filter(|viewer| viewer.client.is_some()) {
                leave(self.viewer_rooms[viewer.watching.ticket], &viewer.seat);
            }
        }
        let sources = self.viewer_rooms.iter().map(|room| self.rooms[*room].sources.clone()).collect();
        Ok(Shown {
            window: watched.window,
            stage: self.stage,
            server_cpu: watched.server_cpu,
            generator_cpu: watched.generator_cpu,
            trains: watched.trains,
            footprints: self.footprints,
            sent,
            report,
            failures,
            sources,
            groups: self.viewer_groups,
            timings: self.stopwatch.read(),
            choices: self.choices,
        })
    }
}

/// What was read around the window.
struct Watched {
    window: Duration,
    server_cpu: Option<CpuSpent>,
    generator_cpu: CpuSpent,
    trains: Option<Trains>,
}

const SERVER_GONE: &str = "the server's process has ended";

/// When the event `number`, counted from 0, of `rate` events in a second is due.
pub(crate) fn planned_at(number: u64, rate: u64) -> Duration {
    Duration::from_nanos(number * 1_000_000_000 / rate)
}

/// What is sent, by a name that scenarios know.
pub(crate) fn recipe(name: &str) -> Recipe {
    Recipe::named(name).unwrap_or_else(|| panic!("no recipe is called {name}"))
}
