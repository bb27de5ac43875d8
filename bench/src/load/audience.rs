//! The subscribers: joined one after another, then received on one thread.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::client::Client;
use super::door::{Door, Seat};
use super::seen::Seen;
use super::session::Told;
use super::socket::{Poller, Receiver};
use super::{Stage, wall_ns};
use crate::failure::{Failure, OrFail};
use crate::traffic;

/// Time between two looks at the sockets. The kernel stamps what comes, so a look late costs no
/// precision; and a thread that sleeps on a timer need not be woken by the server's system calls, whose
/// cost would be booked to the server.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// A subscriber that is not connected by then will not be.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Latencies up to this are told apart.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// All subscribers of a run.
pub(crate) struct Audience {
    members: Vec<Member>,
    /// When each member has something to do. Apart from the members, because it is walked at every look.
    deadlines: Vec<Instant>,
    poller: Poller,
    receiver: Receiver,
    heard: Heard,
}

struct Member {
    client: Client,
    seat: Seat,
    seen: Seen,
    drops: u32,
}

/// What the audience got, beside the packets of each.
#[derive(Debug)]
pub(crate) struct Heard {
    /// From just before sealing and sending to the kernel's receive time, ns; packets of the window.
    pub(crate) latency_ns: Histogram<u64>,
    /// As above, but from the planned time of sending.
    pub(crate) latency_from_plan_ns: Histogram<u64>,
    /// Packets of the window, each counted once per subscriber.
    pub(crate) packets: u64,
    /// Packets of the window that a subscriber got again.
    pub(crate) duplicates: u64,
    /// Packets that did not open, or did not hold what was sent.
    pub(crate) damaged: u64,
    /// RTCP datagrams that the audience sent during the window.
    pub(crate) rtcp_sent: u64,
}

impl Audience {
    /// An empty audience.
    pub(crate) fn new() -> Result<Self, Failure> {
        let histogram = || Histogram::new_with_max(LATENCY_NS_MAX, 3).expect("the bounds are valid");
        Ok(Self {
            members: Vec::new(),
            deadlines: Vec::new(),
            poller: Poller::new().or_fail("epoll", "")?,
            receiver: Receiver::new(),
            heard: Heard {
                latency_ns: histogram(),
                latency_from_plan_ns: histogram(),
                packets: 0,
                duplicates: 0,
                damaged: 0,
                rtcp_sent: 0,
            },
        })
    }

    /// Joins one more subscriber. It connects while the audience is attended to.
    pub(crate) fn join(&mut self, door: &Door, stage: &Stage) -> Result<(), Failure> {
        let (client, seat) = door.watch()?;
        self.poller.add(client.socket(), self.members.len()).or_fail("epoll", "")?;
        self.deadlines.push(client.deadline());
        self.members.push(Member { client, seat, seen: Seen::default(), drops: 0 });
        self.attend(stage)
    }

    /// Attends until all who joined are connected.
    pub(crate) fn connect(&mut self, stage: &Stage) -> Result<(), Failure> {
        let give_up_at = Instant::now() + CONNECT_TIMEOUT;
        while !self.members.iter().all(|member| member.client.is_connected()) {
            if Instant::now() > give_up_at {
                let connected = self.members.iter().filter(|member| member.client.is_connected()).count();
                return Err(Failure::new(
                    format!("only {connected} of {} subscribers connected", self.members.len()),
                    "see the server's log; check that its UDP ports are reachable from here",
                ));
            }
            self.attend(stage)?;
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Attends for some time.
    pub(crate) fn idle(&mut self, time: Duration, stage: &Stage) -> Result<(), Failure> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.attend(stage)?;
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Attends until the stage ends.
    pub(crate) fn listen(&mut self, stage: &Stage) -> Result<(), Failure> {
        while !stage.is_over() {
            self.attend(stage)?;
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Receives what waits, and does what is due.
    fn attend(&mut self, stage: &Stage) -> Result<(), Failure> {
        let now = Instant::now();
        let Self { members, deadlines, poller, receiver, heard } = self;
        for number in poller.ready().or_fail("epoll", "")? {
            let Member { client, seen, drops, .. } = &mut members[number];
            let told = client.receive(receiver, now, &mut |told| match told {
                Told::Payload { bytes, received_ns } => heard.take(bytes, received_ns, seen, stage),
                Told::Refused => heard.damaged += 1,
                Told::KeyframeWanted | Told::PacketsWanted(_) => {}
            })?;
            *drops = told.unwrap_or(*drops);
            deadlines[number] = client.deadline();
        }
        for (Member { client, .. }, deadline) in members.iter_mut().zip(deadlines) {
            if *deadline <= now {
                let rtcp_sent_before = client.rtcp_sent;
                client.expire(now);
                heard.count_rtcp(client.rtcp_sent - rtcp_sent_before, stage);
                *deadline = client.deadline();
            }
        }
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// What was got.
    pub(crate) fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Packets of `range` that each subscriber has not got.
    pub(crate) fn missing(&self, range: &std::ops::Range<u64>) -> Vec<u64> {
        self.members.iter().map(|member| member.seen.missing(range.clone())).collect()
    }

    /// Datagrams that our own sockets dropped.
    pub(crate) fn socket_drops(&self) -> u64 {
        self.members.iter().map(|member| u64::from(member.drops)).sum()
    }

    /// Subscribers whose connection has failed.
    pub(crate) fn gone(&self) -> usize {
        self.members.iter().filter(|member| !member.client.is_alive()).count()
    }

    /// Ends the sessions of all.
    pub(crate) fn leave(&self, door: &Door) {
        self.members.iter().for_each(|member| door.leave(&member.seat));
    }
}

impl Heard {
    fn take(&mut self, payload: &[u8], received_ns: u64, seen: &mut Seen, stage: &Stage) {
        let Some(record) = traffic::read(payload) else {
            self.damaged += 1;
            return;
        };
        let is_new = seen.insert(record.sequence);
        if seen.len() == 1 && is_new {
            stage.count_receiving();
        }
        if !stage.is_measured(record.sent_ns) {
            return;
        }
        if !is_new {
            self.duplicates += 1;
            return;
        }
        self.packets += 1;
        let latency_ns = received_ns.saturating_sub(record.sent_ns);
        self.latency_ns.saturating_record(latency_ns);
        self.latency_from_plan_ns.saturating_record(latency_ns + record.late_ns);
    }

    fn count_rtcp(&mut self, count: u64, stage: &Stage) {
        if count > 0 && stage.is_measured(wall_ns()) {
            self.rtcp_sent += count;
        }
    }
}
