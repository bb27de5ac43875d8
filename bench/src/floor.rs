//! The floor: what sealing and sending alone cost on this machine, through the send path of Sluice.
//!
//! No server can forward a packet for less through the sockets of this kernel. Nothing is received, routed,
//! remembered or fed back here.
//!
//! # Invariants
//!
//! - What was sent over a link that delivers is counted at its end, and a sample of it is opened.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dataplane::counters::Counters;
use dataplane::id::{PayloadType, Ssrc};
use dataplane::mmsg::Mmsg;
use dataplane::transport::path::{Egress, Path};
use dataplane::transport::srtp::{SrtpKeys, SrtpProfile};
use dataplane::udp::figures::SendFigures;
use dataplane::udp::system::{EventFd, ThreadCpuClock};
use dataplane::udp::{Surroundings, socket as udp_socket};
use dataplane::wire::rtp::{self, RtpHeader};

use crate::failure::{Failure, OrFail};
use crate::load::socket::{self, Receiver};
use crate::traffic::{PACKETS_PER_BURST, PAYLOAD_LEN_MAX};

/// The profile that browsers choose.
const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
const PAYLOAD_TYPE: PayloadType = PayloadType(96);
/// Sealing alone goes through as much memory as the send slab has.
const SLAB_BYTES: usize = 256 * 1024;
/// A link that has carried nothing by then will not.
const CARRY_TIMEOUT: Duration = Duration::from_secs(5);
/// What was sent arrives within this; a busy machine may put it off.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two looks for what has not arrived yet.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// Subscribers of [`usual_ns`].
const USUAL_SUBSCRIBERS: u64 = 50;
/// Room for one sealed packet.
const PACKET_BYTES_MAX: usize = 1500;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Sealing, into memory.
    Seal,
    /// Sending, of bytes that are not sealed.
    Send,
    /// Sealing and sending.
    Both,
}

/// Where packets go.
pub(crate) struct Ends {
    /// The address that is sent from.
    pub(crate) source: IpAddr,
    /// Where each subscriber is.
    pub(crate) subscribers: Vec<SocketAddr>,
    /// Their sockets; none where the link swallows everything.
    pub(crate) sinks: Vec<UdpSocket>,
}

/// One sender with many subscribers.
pub(crate) struct Floor {
    mmsg: Mmsg,
    paths: Vec<Path>,
    sinks: Vec<UdpSocket>,
    receiver: Receiver,
    /// Ours and theirs, of each subscriber.
    keys: Vec<(SrtpKeys, SrtpKeys)>,
    /// The next index of each subscriber's stream: the same for all.
    index: u64,
    payload: Vec<u8>,
    slab: Vec<u8>,
    clock: ThreadCpuClock,
}

/// What one subscriber's end saw.
#[derive(Default)]
struct Arrived {
    packets: u64,
    damaged: u64,
}

/// The floor that other figures are compared with, ns a packet: on loopback, in the trains that a browser's
/// bursts make.
pub(crate) fn usual_ns(packets: u64) -> Result<f64, Failure> {
    on_loopback(USUAL_SUBSCRIBERS, PACKETS_PER_BURST, packets)
}

/// CPU time of sealing and sending one packet over loopback in trains of `train`, ns.
pub(crate) fn on_loopback(subscribers: u64, train: u64, packets: u64) -> Result<f64, Failure> {
    Floor::open(Ends::on_loopback(subscribers)?)?.measure(Part::Both, train, packets)
}

impl Ends {
    /// Sockets on the loopback interface.
    pub(crate) fn on_loopback(subscribers: u64) -> Result<Self, Failure> {
        Self::at(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, subscribers)
    }

    /// Sockets at `sink`, for a sender at `source`.
    pub(crate) fn at(source: Ipv4Addr, sink: Ipv4Addr, subscribers: u64) -> Result<Self, Failure> {
        let remedy = "raise the limit of open files (ulimit -n) or take fewer subscribers";
        let bind = || socket::bind(sink.into()).and_then(|socket| Ok((socket.local_addr()?, socket)));
        let bound: Result<Vec<_>, _> = (0..subscribers).map(|_| bind()).collect();
        let (subscribers, sinks) = bound.or_fail("a socket for a subscriber", remedy)?.into_iter().unzip();
        Ok(Self { source: source.into(), subscribers, sinks })
    }
}

impl Ends {
    /// Waits until the link carries: a new one needs some time to find its other end.
    pub(crate) fn wait_until_carried(self) -> Result<Self, Failure> {
        let (Some(to), Some(sink)) = (self.subscribers.first(), self.sinks.first()) else { return Ok(self) };
        let probe = UdpSocket::bind((self.source, 0)).or_fail("a socket for the sender", "")?;
        let give_up_at = Instant::now() + CARRY_TIMEOUT;
        while Instant::now() < give_up_at {
            // What is refused now may be taken later.
            let _ = probe.send_to(&[0], to);
            thread::sleep(LOOK_INTERVAL);
            if sink.recv(&mut [0; PACKET_BYTES_MAX]).is_ok() {
                // Probes that were on the way when the first one came.
                thread::sleep(LOOK_INTERVAL * 20);
                while sink.recv(&mut [0; PACKET_BYTES_MAX]).is_ok() {}
                return Ok(self);
            }
        }
        Err(Failure::new("the link carries nothing", "try another one by --link").of_generator())
    }
}

impl Floor {
    /// Opens the sender.
    pub(crate) fn open(ends: Ends) -> Result<Self, Failure> {
        let surroundings = Surroundings {
            wake: Arc::new(EventFd::new().or_fail("an eventfd", "")?),
            counters: Arc::new(Counters::default()),
            figures: Arc::new(SendFigures::default()),
            clock: Instant::now,
        };
        let sockets = udp_socket::open_all(&[ends.source], 0).or_fail("the sender's socket", "")?;
        let local = sockets[0].facts().address;
        let mmsg = Mmsg::open(sockets.into(), surroundings).or_fail("the sender", "")?;
        let keys = (0..ends.subscribers.len()).map(|subscriber| {
            let material: Vec<u8> =
                (0..PROFILE.keying_material_len()).map(|at| (at * 7 + subscriber) as u8).collect();
            let derive = |is_client| SrtpKeys::derive(PROFILE, &material, is_client);
            derive(false).zip(derive(true)).expect("the material has the length of the profile")
        });
        Ok(Self {
            keys: keys.collect(),
            paths: ends.subscribers.iter().map(|&remote| Path { local, remote }).collect(),
            mmsg,
            sinks: ends.sinks,
            receiver: Receiver::new(),
            index: 1,
            payload: (0..PAYLOAD_LEN_MAX).map(|at| at as u8).collect(),
            slab: vec![0; SLAB_BYTES],
            clock: ThreadCpuClock::of_current_thread().or_fail("the CPU clock of a thread", "")?,
        })
    }

    /// CPU time per packet, ns: at least `packets` packets in turns of `train` to each subscriber.
    ///
    /// # Errors
    ///
    /// If not all arrived, or what arrived does not open.
    pub(crate) fn measure(&mut self, part: Part, train: u64, packets: u64) -> Result<f64, Failure> {
        let per_turn = train * self.paths.len() as u64;
        let turns = packets.div_ceil(per_turn).max(1);
        let mut spent = Duration::ZERO;
        let (mut expected, mut arrived) = (0, Arrived::default());
        // The first turn warms up and is not counted.
        for turn in 0..=turns {
            let before = self.now()?;
            self.turn(part, train);
            if turn > 0 {
                spent += self.now()?.saturating_sub(before);
            }
            let is_delivered = part != Part::Seal && !self.sinks.is_empty();
            expected += if is_delivered { per_turn } else { 0 };
            self.drain(part, turn == turns, expected, &mut arrived)?;
            self.index += train;
        }
        if arrived.packets != expected || arrived.damaged > 0 {
            let what = format!(
                "{} of {expected} packets arrived at the floor, {} did not open",
                arrived.packets, arrived.damaged
            );
            return Err(Failure::new(what, "close what else is running").of_generator());
        }
        Ok(spent.as_nanos() as f64 / (turns * per_turn) as f64)
    }

    fn turn(&mut self, part: Part, train: u64) {
        let Self { mmsg, paths, keys, payload, slab, index, .. } = self;
        let sealed_len =
            rtp_header(&mut [0; PACKET_BYTES_MAX], 0) + payload.len() + keys[0].0.sealer.rtp_growth();
        let queue = mmsg.queue();
        let mut cursor = 0;
        for (path, (ours, _)) in paths.iter().zip(keys) {
            for index in *index..*index + train {
                let space = match part {
                    Part::Seal => {
                        cursor = if cursor + PACKET_BYTES_MAX > slab.len() { 0 } else { cursor };
                        &mut slab[cursor..]
                    }
                    Part::Send | Part::Both => queue.reserve(),
                };
                if part != Part::Send {
                    let header_len = rtp_header(space, index);
                    ours.sealer.seal_rtp_from(space, header_len, payload, Ssrc(1), index);
                }
                cursor += sealed_len;
                if part != Part::Seal {
                    queue.commit(*path, sealed_len, None);
                }
            }
        }
        queue.submit();
    }

    /// Empties the sinks, so that none overflows, until `expected` have arrived in all.
    fn drain(
        &mut self,
        part: Part,
        is_opened: bool,
        expected: u64,
        arrived: &mut Arrived,
    ) -> Result<(), Failure> {
        let give_up_at = Instant::now() + ARRIVAL_TIMEOUT;
        self.empty(part, is_opened, arrived)?;
        while arrived.packets < expected && Instant::now() < give_up_at {
            thread::sleep(LOOK_INTERVAL);
            self.empty(part, is_opened, arrived)?;
        }
        Ok(())
    }

    /// Takes what waits; with `is_opened` looks into it.
    fn empty(&mut self, part: Part, is_opened: bool, arrived: &mut Arrived) -> Result<(), Failure> {
        let mut plain = [0; PACKET_BYTES_MAX];
        for (sink, (_, theirs)) in self.sinks.iter().zip(&mut self.keys) {
            let received = self.receiver.receive(sink, |datagram| {
                arrived.packets += 1;
                if part == Part::Both && is_opened {
                    let payload = RtpHeader::parse(datagram.bytes).ok().and_then(|header| {
                        let number = header.sequence_number;
                        let opened = theirs.opener.open_rtp(
                            datagram.bytes,
                            header.len,
                            header.ssrc,
                            number,
                            &mut plain,
                        );
                        opened.ok().map(|opened| &plain[..opened.payload_len])
                    });
                    arrived.damaged += u64::from(payload != Some(&self.payload[..]));
                }
            });
            received.or_fail("receiving at the floor", "")?;
        }
        Ok(())
    }

    fn now(&self) -> Result<Duration, Failure> {
        let now = self.clock.read_ns().map(Duration::from_nanos);
        now.ok_or_else(|| Failure::new("the floor was moved to another thread", "report it"))
    }
}

fn rtp_header(out: &mut [u8], index: u64) -> usize {
    rtp::write_header(out, false, PAYLOAD_TYPE, index as u16, index as u32, Ssrc(1))
}
