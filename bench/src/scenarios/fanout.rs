//! One publisher, many subscribers: what a forwarded packet costs, and how long it takes.
//!
//! 240 packets/s of 1100 bytes, sent 3 per 5 ms, go to each of N subscribers over ICE, DTLS and SRTP.
//! Every packet is opened and compared by every subscriber, so loss is exact. Targets are run in turns,
//! each time in a fresh process, and the order is reversed every round.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use str0m::media::Direction;

use super::Scenario;
use crate::failure::{Failure, OrFail};
use crate::load::audience::Audience;
use crate::load::client::{Client, Toolkit};
use crate::load::plan::{FRAMES_PER_SECOND, PACKETS_PER_FRAME};
use crate::load::publisher::{self, Sent};
use crate::load::signalling::Signalling;
use crate::load::{Stage, payload, wall_ns};
use crate::measure::process::{CpuTime, Footprint};
use crate::report::fanout as report;
use crate::targets::{self, Binaries, Server, StartSettings, Target};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "fanout",
    question: "What does a forwarded packet cost, and how long does it take, from one publisher to N subscribers?",
};

/// Media flows for this long before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// Connected subscribers settle for this long before memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// What was sent in the window may arrive this long after it.
const DRAIN: Duration = Duration::from_millis(500);
/// By then every subscriber has got a packet, or the run has failed.
const FIRST_PACKET_TIMEOUT: Duration = Duration::from_secs(15);
/// A longer share of late packets makes a run invalid.
const LATE_SHARE_MAX: f64 = 0.01;
/// A generator that needs more of one core is at its own limit.
const GENERATOR_LOAD_MAX: f64 = 0.85;

/// One publisher to N subscribers: CPU per forwarded packet, latency, loss, memory.
///
/// Each run starts a fresh server, joins N subscribers, reads the memory they take, then lets one
/// publisher send 240 packets/s and measures after a warm-up of 2 s. Per N and target the medians over
/// the rounds are shown; the last rows of each N are ratios to the first target.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Options {
    /// Numbers of subscribers, one table block each
    #[arg(long, value_delimiter = ',', default_value = "50,200", value_parser = clap::value_parser!(u32).range(1..=5000))]
    subscribers: Vec<u32>,
    /// Runs of each target and number; medians are shown
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Length of the measured window
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// What to measure, repeatable: sluice, str0m-tokio (both started by the bench), or
    /// `whip:URL,whep:URL` or `whip:URL,whep:URL,pid:N` for a server that runs; by default sluice and str0m-tokio
    #[arg(long = "target", value_name = "TARGET")]
    #[serde(skip)]
    targets: Vec<Target>,
    /// Shards of Sluice
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    shards: u16,
    /// Where the JSON goes; by default `bench-results/fanout-TIME.json` in the target folder
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub(crate) json: Option<PathBuf>,
    /// Take the server binaries that lie in the target folder as they are
    #[arg(long)]
    #[serde(skip)]
    no_build: bool,
}

/// The figures of one run. What is not known is `None`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) target: String,
    pub(crate) subscribers: u32,
    pub(crate) round: u32,
    /// Why the figures must not be used; empty if they may.
    pub(crate) invalid: Vec<String>,
    /// Packets sent by the publisher in the window.
    pub(crate) packets_published: u64,
    /// Packets that arrived at subscribers, each counted once per subscriber.
    pub(crate) packets_forwarded: u64,
    /// CPU time of the server process over the window, divided by `packets_forwarded`.
    pub(crate) cpu_ns_per_packet: Option<f64>,
    pub(crate) user_ns_per_packet: Option<f64>,
    pub(crate) system_ns_per_packet: Option<f64>,
    /// The worst subscriber's.
    pub(crate) loss_percent_max: f64,
    pub(crate) loss_percent: f64,
    pub(crate) duplicates: u64,
    pub(crate) damaged: u64,
    /// From just before the publisher sealed and sent to the kernel's receive time.
    pub(crate) latency_us: Latency,
    /// From the planned time of sending.
    pub(crate) latency_from_plan_us: Latency,
    pub(crate) rtcp_to_server_per_second: f64,
    pub(crate) keyframe_requests: u64,
    /// Packets that the server asked the publisher for again.
    pub(crate) packet_requests: u64,
    pub(crate) rss_bytes: Option<u64>,
    /// Growth of the resident memory from the first idle subscriber to the last, per subscriber.
    pub(crate) rss_bytes_per_idle_subscriber: Option<f64>,
    pub(crate) threads: Option<u64>,
    /// CPU time of the generator over the window, divided by `packets_forwarded`.
    pub(crate) generator_ns_per_packet: f64,
    pub(crate) generator_late_percent: f64,
    pub(crate) generator_socket_drops: u64,
}

/// Percentiles of a latency, us.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// Runs the scenario.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut options = options.clone();
    if options.targets.is_empty() {
        options.targets = vec![Target::Sluice, Target::Str0mTokio];
    }
    let binaries = Binaries::prepare(&options.targets, !options.no_build)?;
    let mut figures = Vec::new();
    let runs = options.subscribers.len() * options.rounds as usize * options.targets.len();
    for &subscribers in &options.subscribers {
        for round in 1..=options.rounds {
            let mut order: Vec<&Target> = options.targets.iter().collect();
            if round % 2 == 0 {
                order.reverse();
            }
            for target in order {
                eprint!(
                    "[{}/{runs}] {subscribers} subscribers, round {round}, {target}: ",
                    figures.len() + 1
                );
                let one = measure(target, subscribers, round, &options, &binaries)?;
                eprintln!("{}", report::summary(&one));
                figures.push(one);
            }
        }
    }
    let names: Vec<String> = options.targets.iter().map(ToString::to_string).collect();
    println!("\n{}", report::table(&figures, &options.subscribers, &names));
    report::write_json(&options, options.json.as_deref(), &figures)
}

/// One run: a fresh server, its audience, its publisher.
fn measure(
    target: &Target,
    subscribers: u32,
    round: u32,
    options: &Options,
    binaries: &Binaries,
) -> Result<Figures, Failure> {
    let server = targets::start(target, binaries, &StartSettings { shards: options.shards })?;
    let measured = Run::measure(&server, subscribers, Duration::from_secs(options.seconds));
    let run = measured.map_err(|failure| match server.log_end() {
        log if log.is_empty() => failure,
        log => Failure::new(format!("{failure}\n  the log of {target} ends:\n{log}"), ""),
    })?;
    Ok(run.figures(target, subscribers, round))
}

/// What was read in one run.
struct Run {
    window: Duration,
    audience: Audience,
    stage: Arc<Stage>,
    sent: Sent,
    server_cpu: Option<crate::measure::process::CpuSpent>,
    generator_cpu: crate::measure::process::CpuSpent,
    /// With one idle subscriber, with all of them, and at the end of the window.
    footprints: [Option<Footprint>; 3],
}

impl Run {
    fn measure(server: &Server, subscribers: u32, window: Duration) -> Result<Self, Failure> {
        let signalling = Signalling::new()?;
        let endpoints = &server.endpoints;
        let toolkit = Toolkit::new(crate::load::local_ip_towards(&endpoints.whep)?)?;
        let pid = endpoints.pid;

        progress("joining");
        let mut audience = Audience::new()?;
        audience.join(&signalling, &endpoints.whep, &toolkit)?;
        audience.connect()?;
        audience.idle(SETTLE)?;
        let with_one = footprint(pid)?;
        for _ in 1..subscribers {
            audience.join(&signalling, &endpoints.whep, &toolkit)?;
        }
        audience.connect()?;
        audience.idle(SETTLE)?;
        let with_all = footprint(pid)?;

        let (mut client, offer) = Client::offer(&toolkit, Direction::SendOnly, Instant::now())?;
        let accepted = signalling.post(&endpoints.whip, offer)?;
        client.accept(&accepted.answer)?;
        publisher::connect(&mut client)?;

        let stage = Arc::new(Stage::new());
        let publishing = thread::spawn({
            let stage = Arc::clone(&stage);
            move || publisher::publish(client, &stage)
        });
        let listening = thread::spawn({
            let stage = Arc::clone(&stage);
            move || audience.listen(&stage).map(|()| audience)
        });
        let watched = watch(&stage, subscribers, window, pid);
        stage.end();
        let sent = join(publishing)?;
        let audience = join(listening)?;
        let watched = watched?;
        if !server.is_ours() {
            audience.leave(&signalling);
            accepted.session.iter().for_each(|session| signalling.delete(session));
        }
        Ok(Self {
            window,
            audience,
            stage,
            sent,
            server_cpu: watched.server_cpu,
            generator_cpu: watched.generator_cpu,
            footprints: [with_one, with_all, watched.footprint],
        })
    }

    fn figures(&self, target: &Target, subscribers: u32, round: u32) -> Figures {
        let heard = self.audience.heard();
        let range = self.sent.measured(&self.stage);
        let published = range.end - range.start;
        let missing = self.audience.missing(&range);
        let share = |lost: u64, of: u64| 100.0 * lost as f64 / of.max(1) as f64;
        let packets = heard.packets.max(1) as f64;
        let [with_one, with_all, at_end] = self.footprints;
        let idle = with_one.zip(with_all).filter(|_| subscribers > 1).map(|(one, all)| {
            all.rss_bytes.saturating_sub(one.rss_bytes) as f64 / f64::from(subscribers - 1)
        });
        let cpu = self.server_cpu.map(|spent| spent.total_ns as f64 / packets);
        let system_share = self.server_cpu.map_or(0.0, |spent| spent.system_share);
        Figures {
            target: target.to_string(),
            subscribers,
            round,
            invalid: self.complaints(published),
            packets_published: published,
            packets_forwarded: heard.packets,
            cpu_ns_per_packet: cpu,
            user_ns_per_packet: cpu.map(|ns| ns * (1.0 - system_share)),
            system_ns_per_packet: cpu.map(|ns| ns * system_share),
            loss_percent_max: share(missing.iter().copied().max().unwrap_or(0), published),
            loss_percent: share(missing.iter().sum(), published * u64::from(subscribers)),
            duplicates: heard.duplicates,
            damaged: heard.damaged,
            latency_us: Latency::of(&heard.latency_ns),
            latency_from_plan_us: Latency::of(&heard.latency_from_plan_ns),
            rtcp_to_server_per_second: heard.rtcp_sent as f64 / self.window.as_secs_f64(),
            keyframe_requests: self.sent.keyframe_requests,
            packet_requests: self.sent.packet_requests,
            rss_bytes: at_end.map(|footprint| footprint.rss_bytes),
            rss_bytes_per_idle_subscriber: idle,
            threads: at_end.map(|footprint| footprint.threads),
            generator_ns_per_packet: self.generator_cpu.total_ns as f64 / packets,
            generator_late_percent: share(self.sent.late(), published),
            generator_socket_drops: self.audience.socket_drops(),
        }
    }

    /// Why the figures must not be used.
    fn complaints(&self, published: u64) -> Vec<String> {
        let mut complaints = Vec::new();
        let late = self.sent.late() as f64 / published.max(1) as f64;
        if late > LATE_SHARE_MAX {
            complaints.push(format!("the publisher was late with {:.1} % of its packets", late * 100.0));
        }
        let planned = self.window.as_secs() * FRAMES_PER_SECOND * PACKETS_PER_FRAME;
        if published.abs_diff(planned) > PACKETS_PER_FRAME {
            complaints.push(format!("the publisher sent {published} packets instead of {planned}"));
        }
        if self.audience.socket_drops() > 0 {
            complaints
                .push(format!("the generator's sockets dropped {} datagrams", self.audience.socket_drops()));
        }
        let load = self.generator_cpu.total_ns as f64 / self.window.as_nanos() as f64;
        if load > GENERATOR_LOAD_MAX {
            complaints.push(format!("the generator used {:.0} % of a core", load * 100.0));
        }
        if self.audience.heard().damaged > 0 {
            complaints.push(format!(
                "{} packets did not open or did not hold what was sent",
                self.audience.heard().damaged
            ));
        }
        if self.audience.gone() > 0 {
            complaints.push(format!("{} subscribers lost their connection", self.audience.gone()));
        }
        complaints
    }
}

/// What is read around the window.
struct Watched {
    server_cpu: Option<crate::measure::process::CpuSpent>,
    generator_cpu: crate::measure::process::CpuSpent,
    footprint: Option<Footprint>,
}

/// Waits until all receive, sets the window, and reads the kernel's books at both its ends.
fn watch(stage: &Stage, subscribers: u32, window: Duration, pid: Option<u32>) -> Result<Watched, Failure> {
    progress("waiting for media");
    let give_up_at = Instant::now() + FIRST_PACKET_TIMEOUT;
    while stage.receiving() < u64::from(subscribers) {
        if Instant::now() > give_up_at {
            return Err(Failure::new(
                format!("only {} of {subscribers} subscribers receive media", stage.receiving()),
                "see the server's log; does it forward VP8 to those who came before the publisher?",
            ));
        }
        thread::sleep(Duration::from_millis(10));
    }
    progress("warming up");
    let start = Instant::now() + WARM_UP;
    let start_ns = wall_ns() + WARM_UP.as_nanos() as u64;
    stage.set_window(start_ns, start_ns + window.as_nanos() as u64);
    thread::sleep(start.saturating_duration_since(Instant::now()));
    let before = (cpu(pid)?, own_cpu()?);
    progress("measuring");
    thread::sleep((start + window).saturating_duration_since(Instant::now()));
    let after = (cpu(pid)?, own_cpu()?);
    let footprint = footprint(pid)?;
    thread::sleep(DRAIN);
    Ok(Watched {
        server_cpu: after.0.zip(before.0).map(|(after, before)| after.since(&before)),
        generator_cpu: after.1.since(&before.1),
        footprint,
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

fn progress(step: &str) {
    eprint!("{step} .. ");
}

fn join<T>(thread: thread::JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err(Failure::new("a thread of the generator panicked", "report it")))
}

impl Latency {
    fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max() as f64 / 1000.0,
        }
    }
}

/// The load, for the JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Load {
    packets_per_second: u64,
    payload_bytes: usize,
    warm_up_seconds: u64,
}

/// What one publisher sends.
pub(crate) const LOAD: Load = Load {
    packets_per_second: FRAMES_PER_SECOND * PACKETS_PER_FRAME,
    payload_bytes: payload::PAYLOAD_LEN,
    warm_up_seconds: WARM_UP.as_secs(),
};
