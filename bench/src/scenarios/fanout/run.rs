//! One round: who comes when, and what is read at which moment.

use std::ops::Range;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::failure::{Failure, OrFail};
use crate::load::audience::Audience;
use crate::load::client::Client;
use crate::load::door::{Door, Seat};
use crate::load::publisher::{self, Sent};
use crate::load::{Stage, wall_ns};
use crate::measure::process::{CpuSpent, CpuTime, Footprint};
use crate::measure::trains::Trains;
use crate::scenario::Bench;
use crate::targets::Server;
use crate::traffic::{FRAMES_PER_SECOND, PACKETS_PER_FRAME};

/// The room that is measured.
const ROOM: &str = "bench";
/// Media flows for this long before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// Connected subscribers settle for this long before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// What was sent in the window may arrive this long after it.
const DRAIN: Duration = Duration::from_millis(500);
/// By then every subscriber has got a packet, or the round has failed.
const FIRST_PACKET_TIMEOUT: Duration = Duration::from_secs(15);

/// What was read in one round.
pub(super) struct Run {
    pub(super) window: Duration,
    pub(super) audience: Audience,
    pub(super) sent: Sent,
    pub(super) server_cpu: Option<CpuSpent>,
    pub(super) generator_cpu: CpuSpent,
    /// With one subscriber, with all of them, and at the end of the window.
    pub(super) footprints: [Option<Footprint>; 3],
    /// Of the sends in the window, where the server tells.
    pub(super) trains: Option<Trains>,
    /// Numbers of the packets that were sent in the window.
    range: Range<u64>,
}

/// A publisher on a thread of its own.
struct Publishing {
    thread: JoinHandle<Result<Sent, Failure>>,
    seat: Seat,
}

impl Run {
    /// Plays it.
    pub(super) fn measure(
        bench: &Bench,
        server: &Server,
        subscribers: u64,
        window: Duration,
    ) -> Result<Self, Failure> {
        let door = Door::open(server, ROOM)?;
        let stage = Arc::new(Stage::new());
        let before = match server.entrance.is_publisher_first() {
            true => Some(Publishing::begin(&door, &stage)?),
            false => None,
        };
        bench.step("joining");
        let mut audience = Audience::new()?;
        let gathered = gather(&mut audience, &door, server, subscribers, &stage);
        // A publisher that is there already must not outlive a failure.
        let publishing = gathered.and_then(|footprints| {
            let publishing = before.map_or_else(|| Publishing::begin(&door, &stage), Ok)?;
            Ok((footprints, publishing))
        });
        let ([with_one, with_all], publishing) = publishing.inspect_err(|_| stage.end())?;

        let listening = thread::spawn({
            let stage = Arc::clone(&stage);
            move || audience.listen(&stage).map(|()| audience)
        });
        let watched = watch(bench, server, &stage, subscribers, window);
        stage.end();
        let sent = join(publishing.thread)?;
        let audience = join(listening)?;
        let watched = watched?;
        if !server.is_ours() {
            audience.leave(&door);
            door.leave(&publishing.seat);
        }
        Ok(Self {
            window,
            audience,
            range: sent.measured(&stage),
            sent,
            server_cpu: watched.server_cpu,
            generator_cpu: watched.generator_cpu,
            footprints: [with_one, with_all, watched.footprint],
            trains: watched.trains,
        })
    }

    /// Packets that arrived, at least 1.
    pub(super) fn packets(&self) -> f64 {
        self.audience.heard().packets.max(1) as f64
    }

    /// Packets that were sent in the window.
    pub(super) fn published(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Packets that should have been sent in the window.
    pub(super) fn planned(&self) -> u64 {
        self.window.as_secs() * FRAMES_PER_SECOND * PACKETS_PER_FRAME
    }

    /// Whether as many were sent as were planned, but for a frame at the edges.
    pub(super) fn is_as_planned(&self) -> bool {
        self.published().abs_diff(self.planned()) <= PACKETS_PER_FRAME
    }

    /// Packets of the window that each subscriber has not got.
    pub(super) fn missing(&self) -> Vec<u64> {
        self.audience.missing(&self.range)
    }

    /// How many subscribers there are.
    pub(super) fn subscribers(&self) -> usize {
        self.audience.len()
    }

    /// Datagrams that the generator's own sockets dropped since media flows to all.
    pub(super) fn socket_drops(&self) -> u64 {
        self.audience.socket_drops()
    }

    /// CPU time of the generator, cores.
    pub(super) fn generator_load(&self) -> f64 {
        self.generator_cpu.total_ns as f64 / self.window.as_nanos() as f64
    }
}

impl Publishing {
    fn begin(door: &Door, stage: &Arc<Stage>) -> Result<Self, Failure> {
        let (mut client, seat): (Client, Seat) = door.publish()?;
        publisher::connect(&mut client)?;
        let stage = Arc::clone(stage);
        let thread = thread::spawn(move || publisher::publish(client, &stage));
        Ok(Self { thread, seat })
    }
}

/// Joins all subscribers; the memory of the server with one of them, and with all.
fn gather(
    audience: &mut Audience,
    door: &Door,
    server: &Server,
    subscribers: u64,
    stage: &Stage,
) -> Result<[Option<Footprint>; 2], Failure> {
    audience.join(door, stage)?;
    audience.connect(stage)?;
    audience.idle(SETTLE, stage)?;
    let with_one = footprint(server.pid)?;
    for _ in 1..subscribers {
        audience.join(door, stage)?;
    }
    audience.connect(stage)?;
    audience.idle(SETTLE, stage)?;
    Ok([with_one, footprint(server.pid)?])
}

/// What is read around the window.
struct Watched {
    server_cpu: Option<CpuSpent>,
    generator_cpu: CpuSpent,
    footprint: Option<Footprint>,
    trains: Option<Trains>,
}

/// Waits until all receive, sets the window, and reads the kernel's books at both its ends.
fn watch(
    bench: &Bench,
    server: &Server,
    stage: &Stage,
    subscribers: u64,
    window: Duration,
) -> Result<Watched, Failure> {
    bench.step("waiting for media");
    let give_up_at = Instant::now() + FIRST_PACKET_TIMEOUT;
    while stage.receiving() < subscribers {
        if Instant::now() > give_up_at {
            return Err(Failure::new(
                format!("only {} of {subscribers} subscribers receive media", stage.receiving()),
                "see the server's log; does it forward VP8 to those who came before the publisher? \
                 If not, add ,publisher-first to the target",
            ));
        }
        thread::sleep(Duration::from_millis(10));
    }
    bench.step("warming up");
    let start = Instant::now() + WARM_UP;
    let start_ns = wall_ns() + WARM_UP.as_nanos() as u64;
    stage.set_window(start_ns, start_ns + window.as_nanos() as u64);
    // Asking costs the server CPU time, so it is asked outside the window.
    let trains_before = Trains::read(server.metrics.as_ref())?;
    thread::sleep(start.saturating_duration_since(Instant::now()));
    let before = (cpu(server.pid)?, own_cpu()?);
    bench.step("measuring");
    thread::sleep((start + window).saturating_duration_since(Instant::now()));
    let after = (cpu(server.pid)?, own_cpu()?);
    let footprint = footprint(server.pid)?;
    let trains = Trains::read(server.metrics.as_ref())?;
    thread::sleep(DRAIN);
    Ok(Watched {
        server_cpu: after.0.zip(before.0).map(|(after, before)| after.since(&before)),
        generator_cpu: after.1.since(&before.1),
        footprint,
        trains: trains.zip(trains_before).map(|(after, before)| after.since(&before)),
    })
}

const SERVER_GONE: &str = "the server's process has ended";

fn cpu(pid: Option<u32>) -> Result<Option<CpuTime>, Failure> {
    pid.map(CpuTime::read).transpose().or_fail(SERVER_GONE, "see its log")
}

fn footprint(pid: Option<u32>) -> Result<Option<Footprint>, Failure> {
    pid.map(Footprint::read).transpose().or_fail(SERVER_GONE, "see its log")
}

fn own_cpu() -> Result<CpuTime, Failure> {
    CpuTime::read(std::process::id()).or_fail("the generator's own CPU time", "")
}

fn join<T>(thread: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    let panicked = || Failure::new("a thread of the generator panicked", "report it").of_generator();
    thread.join().unwrap_or_else(|_| Err(panicked()))
}
