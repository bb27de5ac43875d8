//! The audience: viewers who join whenever they are invited, attended to on threads of their own.
//!
//! Joining (HTTP, SDP) is done by the [`Clerk`]; who has joined is handed to the thread that attends to the
//! viewer until the end.

mod attendant;

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::clerk::Clerk;
use super::client::{Part, Takes};
use super::door::Door;
use super::heard::Heard;
use super::viewer::Viewer;
use super::{Stage, Ticket, wall_ns};
use crate::failure::{Failure, OrFail};
use attendant::{Attendant, Order};

/// A viewer that is not connected by then will not be.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two looks at those who are connecting.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// The media of every so many viewers is opened by str0m, beginning with the first.
const WITNESS_INTERVAL: Ticket = 64;
/// A thread that needs more of one core is at its own limit.
pub(crate) const LOAD_MAX: f64 = 0.85;

/// All viewers of a run.
pub(crate) struct Audience {
    stage: Arc<Stage>,
    clerk: Arc<Clerk>,
    attendants: Vec<Hired>,
    invited: Ticket,
}

/// A thread of the audience, and how it is told something.
type Hired = (Sender<Order>, JoinHandle<Result<Report, Failure>>);

/// Who is invited, and where they sit.
#[derive(Clone)]
pub(crate) struct Invitation {
    /// The room.
    pub(crate) door: Arc<Door>,
    /// Video tracks that are received.
    pub(crate) video: usize,
    /// Audio tracks that are received.
    pub(crate) audio: usize,
    /// What is got is counted apart for each group.
    pub(crate) group: usize,
}

/// What one thread, or all together, have seen.
pub(crate) struct Report {
    /// In no order.
    pub(crate) viewers: Vec<Viewer>,
    /// By group.
    pub(crate) heard: Vec<Heard>,
    /// The busiest thread during the window, cores.
    pub(crate) load_max: f64,
}

impl Audience {
    /// An empty audience on `threads` threads.
    pub(crate) fn open(stage: &Arc<Stage>, clerk: &Arc<Clerk>, threads: usize) -> Result<Self, Failure> {
        let attendants = (0..threads.max(1))
            .map(|_| {
                let (orders, inbox) = mpsc::channel();
                let mut attendant = Attendant::new(Arc::clone(stage), inbox)?;
                Ok((orders, thread::spawn(move || attendant.attend())))
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Self { stage: Arc::clone(stage), clerk: Arc::clone(clerk), attendants, invited: 0 })
    }

    /// Invites one viewer, who joins at once; nobody waits for it.
    pub(crate) fn invite(&mut self, invitation: &Invitation) -> Ticket {
        let ticket = self.invited;
        self.invited += 1;
        let (orders, stage) = (self.orders_of(ticket).clone(), Arc::clone(&self.stage));
        let invitation = invitation.clone();
        let takes = Takes {
            video: invitation.video,
            audio: invitation.audio,
            is_witness: ticket.is_multiple_of(WITNESS_INTERVAL),
        };
        let invited_ns = wall_ns();
        self.clerk.spawn(async move {
            match invitation.door.enter(&Part::Takes(takes)).await {
                Ok((client, seat)) => {
                    let group = invitation.group;
                    // A thread that has ended tells its own failure.
                    let _ = orders.send(Order::Seat {
                        ticket,
                        invited_ns,
                        group,
                        client: Box::new(client),
                        seat,
                    });
                }
                Err(failure) => stage.note_failure(failure),
            }
        });
        ticket
    }

    /// Sends a viewer away. What it has seen stays in the report.
    pub(crate) fn dismiss(&self, ticket: Ticket, door: &Arc<Door>) {
        let _ = self.orders_of(ticket).send(Order::Dismiss {
            ticket,
            door: Arc::clone(door),
            clerk: Arc::clone(&self.clerk),
        });
    }

    /// Asks the server for a keyframe on behalf of a viewer, for each of its video tracks.
    pub(crate) fn want_keyframe(&self, ticket: Ticket) {
        let _ = self.orders_of(ticket).send(Order::WantKeyframe { ticket });
    }

    /// Lets a viewer ask for an encoding; 0 is the smallest.
    pub(crate) fn choose(&self, ticket: Ticket, door: &Arc<Door>, encoding: usize) {
        let (door, clerk) = (Arc::clone(door), Arc::clone(&self.clerk));
        let _ = self.orders_of(ticket).send(Order::Choose { ticket, encoding, door, clerk });
    }

    /// The way to the thread that attends to a viewer.
    fn orders_of(&self, ticket: Ticket) -> &Sender<Order> {
        &self.attendants[ticket % self.attendants.len()].0
    }

    /// Waits until all who were invited are connected.
    pub(crate) fn connect(&self) -> Result<(), Failure> {
        self.connect_but(0)
    }

    /// Waits until at most `others` of those who were invited are not connected yet: servers bound how many may
    /// be between their offer and their connection.
    pub(crate) fn connect_but(&self, others: usize) -> Result<(), Failure> {
        let give_up_at = Instant::now() + CONNECT_TIMEOUT;
        loop {
            if let Some(failure) = self.stage.take_failures().into_iter().next() {
                return Err(failure);
            }
            let connected = self.stage.connected();
            if connected + others as u64 >= self.invited as u64 {
                return Ok(());
            }
            if Instant::now() > give_up_at {
                return Err(Failure::new(
                    format!("only {connected} of {} viewers connected", self.invited),
                    "see the server's log; check that its UDP ports are reachable from here",
                ));
            }
            self.check()?;
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Tells a failure of one of its threads.
    fn check(&self) -> Result<(), Failure> {
        match self.attendants.iter().any(|(_, thread)| thread.is_finished()) {
            true => Err(Failure::new("a thread of the audience ended too soon", "report it").of_generator()),
            false => Ok(()),
        }
    }

    /// How many were invited.
    pub(crate) fn invited(&self) -> usize {
        self.invited
    }

    /// Ends, after [`Stage::end`]: what all have seen.
    pub(crate) fn report(self) -> Result<Report, Failure> {
        let mut all = Report { viewers: Vec::new(), heard: Vec::new(), load_max: 0.0 };
        for (orders, thread) in self.attendants {
            drop(orders);
            let panicked = || Failure::new("a thread of the audience panicked", "report it").of_generator();
            all.add(thread.join().unwrap_or_else(|_| Err(panicked()))?);
        }
        Ok(all)
    }
}

impl Report {
    fn add(&mut self, other: Self) {
        self.viewers.extend(other.viewers);
        for (group, heard) in other.heard.iter().enumerate() {
            match self.heard.get_mut(group) {
                Some(own) => own.add(heard),
                None => self.heard.push(heard.clone()),
            }
        }
        self.load_max = self.load_max.max(other.load_max);
    }

    /// What all groups got.
    pub(crate) fn heard_by_all(&self) -> Heard {
        self.heard.iter().fold(Heard::new(), |mut sum, heard| {
            sum.add(heard);
            sum
        })
    }

    /// Datagrams that our own sockets dropped.
    pub(crate) fn socket_drops(&self) -> u64 {
        self.viewers.iter().map(|viewer| u64::from(viewer.drops())).sum()
    }

    /// Viewers whose connection has failed.
    pub(crate) fn gone(&self) -> usize {
        self.viewers.iter().filter(|viewer| viewer.is_cut_off()).count()
    }
}

/// Makes a poller, or says what is in the way.
fn poller() -> Result<super::socket::Poller, Failure> {
    super::socket::Poller::new().or_fail("epoll", "")
}
