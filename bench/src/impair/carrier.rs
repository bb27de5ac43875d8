//! The thread of a link: takes packets from one TUN device, has a line decide on them, and gives them to the
//! other one.
//!
//! # Invariants
//!
//! - A turn takes and gives a bounded number of packets in each direction, so that neither starves the other.
//! - Packets are passed on as they came, byte for byte.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dataplane::udp::system::{EventFd, ThreadCpuClock};

use super::Impairments;
use super::figures::{Figures, Health, LATE};
use super::line::Line;
use super::system::{self, TUN_HEADER_LEN};
use crate::failure::{Failure, OrFail};

/// Packets that one turn takes from a device, and that it gives to one.
const PACKETS_PER_TURN: usize = 64;
/// The largest IP packet, with what stands before it.
const PACKET_BYTES_MAX: usize = TUN_HEADER_LEN + 65_536;

/// A running link. It ends with this.
#[derive(Debug)]
pub(super) struct Carrier {
    orders: Option<Sender<Impairments>>,
    wake: Arc<EventFd>,
    told: Arc<Mutex<Figures>>,
    clock: ThreadCpuClock,
    schedule: File,
    began: Instant,
    thread: Option<JoinHandle<()>>,
}

/// One direction.
struct Way {
    from: File,
    to: File,
    line: Line<Box<[u8]>>,
}

/// What the thread has.
struct Loop {
    ways: [Way; 2],
    orders: Receiver<Impairments>,
    wake: Arc<EventFd>,
    told: Arc<Mutex<Figures>>,
    health: Health,
    buffer: Box<[u8]>,
}

impl Carrier {
    /// Starts the thread between the devices of the client and of the server.
    pub(super) fn start(
        name: &str,
        client: File,
        server: File,
        links: Impairments,
        seed: u64,
    ) -> Result<Self, Failure> {
        let again = |file: &File| file.try_clone().or_fail("a TUN device", "");
        let ways = [
            Way { from: again(&client)?, to: again(&server)?, line: Line::new(links.up, seed) },
            Way { from: server, to: client, line: Line::new(links.down, !seed) },
        ];
        let wake =
            Arc::new(EventFd::new().or_fail("an eventfd", "raise the limit of open files (ulimit -n)")?);
        let told = Arc::new(Mutex::new(Figures::default()));
        let (orders, obeyed) = mpsc::channel();
        let (is_known, known) = mpsc::channel();
        let mut carrying = Loop {
            ways,
            orders: obeyed,
            wake: wake.clone(),
            told: told.clone(),
            health: Health::default(),
            buffer: vec![0; PACKET_BYTES_MAX].into(),
        };
        let run = move || {
            system::be_punctual();
            let schedule = File::open("/proc/thread-self/schedstat");
            let _ = is_known.send(schedule.and_then(|file| Ok((file, ThreadCpuClock::of_current_thread()?))));
            carrying.run();
        };
        let thread =
            thread::Builder::new().name(format!("link {name}")).spawn(run).or_fail("a thread", "")?;
        let known = known.recv().or_fail("the thread of a link", "")?;
        let (schedule, clock) = known.or_fail("the clocks of a thread", "")?;
        Ok(Self {
            orders: Some(orders),
            wake,
            told,
            clock,
            schedule,
            began: Instant::now(),
            thread: Some(thread),
        })
    }

    /// From now on the link is another.
    pub(super) fn set(&self, links: Impairments) {
        if let Some(orders) = &self.orders {
            // A thread that has ended is seen by its silence in the figures.
            let _ = orders.send(links);
        }
        self.wake.signal();
    }

    /// What was done up to now, but for what only the devices know.
    pub(super) fn figures(&self) -> Figures {
        let mut figures = *held(&self.told);
        figures.health.elapsed = self.began.elapsed();
        figures.health.cpu = Duration::from_nanos(self.clock.read_ns().unwrap_or(0));
        figures.health.waited = Duration::from_nanos(waited_ns(&self.schedule).unwrap_or(0));
        figures
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.wake.signal();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Loop {
    fn run(&mut self) {
        loop {
            let now = Instant::now();
            if !self.obey(now) {
                return;
            }
            for way in &mut self.ways {
                way.take(now, &mut self.buffer, &mut self.health);
            }
            let has_more = self.ways.iter_mut().fold(false, |more, way| way.give(&mut self.health) | more);
            self.tell(Instant::now());
            if !has_more && self.rest().is_err() {
                return;
            }
        }
    }

    /// False when it is over.
    fn obey(&mut self, now: Instant) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(links) => {
                    self.ways[0].line.set(links.up, now);
                    self.ways[1].line.set(links.down, now);
                }
                Err(mpsc::TryRecvError::Empty) => return true,
                Err(mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn tell(&mut self, now: Instant) {
        let [up, down] = &self.ways;
        *held(&self.told) =
            Figures { up: up.line.counts(now), down: down.line.counts(now), health: self.health };
    }

    /// Sleeps until a packet comes, one is to leave, or there is an order.
    fn rest(&self) -> io::Result<()> {
        let next_at = self.ways.iter().filter_map(|way| way.line.next_at()).min();
        let timeout = next_at.map(|at| at.saturating_duration_since(Instant::now()));
        let [up, down] = &self.ways;
        let files = [up.from.as_raw_fd(), down.from.as_raw_fd(), self.wake.as_raw_fd()];
        let [_, _, is_woken] = system::wait(files, timeout)?;
        if is_woken {
            self.wake.clear();
        }
        Ok(())
    }
}

impl Way {
    fn take(&mut self, now: Instant, buffer: &mut [u8], health: &mut Health) {
        for _ in 0..PACKETS_PER_TURN {
            // There is nothing to read, or the device is down and will be gone soon.
            let Ok(len) = self.from.read(buffer) else { return };
            let Some(ip) = buffer[..len].get(TUN_HEADER_LEN..) else { return };
            if ip.first().is_none_or(|byte| byte >> 4 != 4) {
                health.foreign += 1;
                continue;
            }
            // The line counts why it does not take one.
            let _ = self.line.accept(now, ip.len(), buffer[..len].into());
        }
    }

    /// Whether more wants to leave.
    fn give(&mut self, health: &mut Health) -> bool {
        for _ in 0..PACKETS_PER_TURN {
            let now = Instant::now();
            let Some((left_at, packet)) = self.line.take_due(now) else { return false };
            let lateness = now - left_at;
            health.latest = health.latest.max(lateness);
            health.late += u64::from(lateness > LATE);
            health.refused += u64::from(self.to.write(&packet).is_err());
        }
        true
    }
}

fn held(figures: &Mutex<Figures>) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The second number of schedstat: time on a run queue, ns.
fn waited_ns(mut schedule: &File) -> Option<u64> {
    use std::io::Seek;

    let mut text = String::new();
    schedule.rewind().ok()?;
    schedule.read_to_string(&mut text).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}
