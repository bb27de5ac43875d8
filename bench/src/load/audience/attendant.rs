//! One thread of the audience: receives what waits on the sockets of its viewers, and does what is due.

use std::sync::Arc;
use std::sync::mpsc::{Receiver as Inbox, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use dataplane::udp::system::ThreadCpuClock;

use super::{Report, poller};
use crate::failure::{Failure, OrFail};
use crate::load::clerk::Clerk;
use crate::load::client::Client;
use crate::load::door::{Door, Seat};
use crate::load::heard::Heard;
use crate::load::socket::{Poller, Receiver};
use crate::load::viewer::{Viewer, Watching};
use crate::load::{Stage, Ticket, wall_ns};

/// Time between two looks at the sockets. The kernel stamps what comes, so a look late costs no precision; and
/// a thread that sleeps on a timer need not be woken by the server's system calls, whose cost would be
/// booked to the server.
const LOOK_INTERVAL: Duration = Duration::from_millis(8);
/// The same while somebody connects: a handshake is answered at once, as by a client that waits for it.
const CONNECTING_LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// What a thread of the audience is told.
pub(super) enum Order {
    /// A viewer has come in.
    Seat { ticket: Ticket, invited_ns: u64, group: usize, client: Box<Client>, seat: Seat },
    /// A viewer goes.
    Dismiss { ticket: Ticket, door: Arc<Door>, clerk: Arc<Clerk> },
    /// A viewer asks for an encoding.
    Choose { ticket: Ticket, encoding: usize, door: Arc<Door>, clerk: Arc<Clerk> },
    /// A viewer asks for keyframes.
    WantKeyframe { ticket: Ticket },
}

/// A thread's viewers.
pub(super) struct Attendant {
    stage: Arc<Stage>,
    inbox: Inbox<Order>,
    members: Vec<Member>,
    /// When each member has something to do. Apart from the members, because it is walked at every look.
    deadlines: Vec<Instant>,
    poller: Poller,
    receiver: Receiver,
    heard: Vec<Heard>,
    load: Load,
    /// Members that are not connected yet.
    connecting: usize,
}

struct Member {
    viewer: Viewer,
    group: usize,
    is_connected: bool,
}

/// The CPU time of this thread over the window.
#[derive(Debug, Default)]
struct Load {
    start: Option<(Instant, u64)>,
    cores: f64,
}

impl Attendant {
    pub(super) fn new(stage: Arc<Stage>, inbox: Inbox<Order>) -> Result<Self, Failure> {
        Ok(Self {
            stage,
            inbox,
            members: Vec::new(),
            deadlines: Vec::new(),
            poller: poller()?,
            receiver: Receiver::new(),
            heard: vec![Heard::new()],
            load: Load::default(),
            connecting: 0,
        })
    }

    /// Attends until the stage ends.
    pub(super) fn attend(&mut self) -> Result<Report, Failure> {
        let clock = ThreadCpuClock::of_current_thread().or_fail("the CPU clock of a thread", "")?;
        while !self.stage.is_over() {
            let now = Instant::now();
            self.take_orders()?;
            self.receive(now)?;
            self.expire(now);
            self.load.note(self.stage.is_measured(wall_ns()), now, clock.read_ns().unwrap_or(0));
            thread::sleep(if self.connecting > 0 { CONNECTING_LOOK_INTERVAL } else { LOOK_INTERVAL });
        }
        let viewers = self.members.drain(..).map(|member| member.viewer).collect();
        Ok(Report { viewers, heard: std::mem::take(&mut self.heard), load_max: self.load.cores })
    }

    fn take_orders(&mut self) -> Result<(), Failure> {
        loop {
            match self.inbox.try_recv() {
                Ok(Order::Seat { ticket, invited_ns, group, client, seat }) => {
                    let watching = Watching::new(ticket, invited_ns);
                    self.seat(Viewer::new(client, seat, watching), group)?;
                }
                Ok(Order::Dismiss { ticket, door, clerk }) => {
                    if let Some(member) = self.member(ticket) {
                        let was_connecting = !std::mem::replace(&mut member.is_connected, true);
                        let viewer = &mut member.viewer;
                        viewer.go();
                        let seat = viewer.seat.clone();
                        clerk.spawn(async move { door.leave(&seat).await });
                        self.connecting -= usize::from(was_connecting);
                    }
                }
                Ok(Order::Choose { ticket, encoding, door, clerk }) => {
                    let stage = Arc::clone(&self.stage);
                    if let Some(member) = self.member(ticket) {
                        let seat = member.viewer.seat.clone();
                        clerk.spawn(async move {
                            let chosen = door.choose(&seat, encoding).await;
                            chosen.unwrap_or_else(|failure| stage.note_failure(failure));
                        });
                    }
                }
                Ok(Order::WantKeyframe { ticket }) => self.want_keyframe(ticket),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }

    fn seat(&mut self, viewer: Viewer, group: usize) -> Result<(), Failure> {
        while self.heard.len() <= group {
            self.heard.push(Heard::new());
        }
        let Some(client) = &viewer.client else { return Ok(()) };
        self.poller.add(client.socket(), self.members.len()).or_fail("epoll", "")?;
        self.deadlines.push(client.deadline());
        self.members.push(Member { viewer, group, is_connected: false });
        self.connecting += 1;
        Ok(())
    }

    fn member(&mut self, ticket: Ticket) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.viewer.watching.ticket == ticket)
    }

    fn want_keyframe(&mut self, ticket: Ticket) {
        let now = Instant::now();
        let at = self.members.iter().position(|member| member.viewer.watching.ticket == ticket);
        let Some((at, Viewer { client: Some(client), watching, .. })) =
            at.map(|at| (at, &mut self.members[at].viewer))
        else {
            return;
        };
        for stream in watching.video_streams() {
            client.want_keyframe(stream, now);
        }
        self.deadlines[at] = client.deadline();
    }

    fn receive(&mut self, now: Instant) -> Result<(), Failure> {
        let Self { stage, members, deadlines, poller, receiver, heard, connecting, .. } = self;
        for number in poller.ready().or_fail("epoll", "")? {
            let member = &mut members[number];
            let Viewer { client: Some(client), watching, .. } = &mut member.viewer else { continue };
            let heard = &mut heard[member.group];
            client.receive(receiver, now, &mut |told| watching.take(told, heard, stage))?;
            for stream in watching.keyframes_wanted.drain(..) {
                client.want_keyframe(stream, now);
            }
            deadlines[number] = client.deadline();
            *connecting -= usize::from(member.has_connected(stage));
        }
        Ok(())
    }

    fn expire(&mut self, now: Instant) {
        let Self { stage, members, deadlines, heard, connecting, .. } = self;
        for (member, deadline) in members.iter_mut().zip(deadlines).filter(|(_, deadline)| **deadline <= now)
        {
            let Viewer { client: Some(client), watching, .. } = &mut member.viewer else { continue };
            let heard = &mut heard[member.group];
            let rtcp_sent_before = client.rtcp_sent;
            client.expire(now, &mut |told| watching.take(told, heard, stage));
            *deadline = client.deadline();
            if client.rtcp_sent > rtcp_sent_before && stage.is_measured(wall_ns()) {
                heard.rtcp_sent += client.rtcp_sent - rtcp_sent_before;
            }
            *connecting -= usize::from(member.has_connected(stage));
        }
    }
}

impl Member {
    /// Whether it is connected since now.
    fn has_connected(&mut self, stage: &Stage) -> bool {
        let is_connected =
            !self.is_connected && self.viewer.client.as_ref().is_some_and(|client| client.is_connected());
        if is_connected {
            self.is_connected = true;
            stage.count_connected();
        }
        is_connected
    }
}

impl Load {
    fn note(&mut self, is_measured: bool, now: Instant, cpu_ns: u64) {
        match (is_measured, self.start) {
            (true, None) => self.start = Some((now, cpu_ns)),
            (true, Some((start, cpu_ns_before))) => {
                let elapsed = now.saturating_duration_since(start).as_nanos().max(1);
                self.cores = cpu_ns.saturating_sub(cpu_ns_before) as f64 / elapsed as f64;
            }
            (false, _) => {}
        }
    }
}
