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
use std::time::{Duration, Instant};

use dataplane::counters::Counters;
use dataplane::id::{PayloadType, Ssrc};
use dataplane::mmsg::figures::SendFigures;
use dataplane::mmsg::system::{EventFd, ThreadCpuClock};
use dataplane::mmsg::{Mmsg, Surroundings};
use dataplane::transport::path::{Egress, Path};
use dataplane::transport::srtp::{SrtpKeys, SrtpProfile};
use dataplane::wire::rtp::{self, RtpHeader};

use crate::failure::{Failure, OrFail};
use crate::load::payload::PAYLOAD_LEN;
use crate::load::socket::{self, Receiver};

/// The profile that browsers choose.
const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;
const PAYLOAD_TYPE: PayloadType = PayloadType(96);
/// Sealing alone goes through as much memory as the send slab has.
const SLAB_BYTES: usize = 256 * 1024;
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

impl Floor {
    /// Opens the sender.
    pub(crate) fn open(ends: Ends) -> Result<Self, Failure> {
        let surroundings = Surroundings {
            wake: Arc::new(EventFd::new().or_fail("an eventfd", "")?),
            counters: Arc::new(Counters::default()),
            figures: Arc::new(SendFigures::default()),
            clock: Instant::now,
        };
        let mmsg = Mmsg::open(&[ends.source], 0, surroundings).or_fail("the sender's socket", "")?;
        let local = mmsg.socket_facts()[0].address;
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
            payload: (0..PAYLOAD_LEN).map(|at| at as u8).collect(),
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
        let mut arrived = Arrived::default();
        // The first turn warms up and is not counted.
        for turn in 0..=turns {
            let before = self.now()?;
            self.turn(part, train);
            if turn > 0 {
                spent += self.now()?.saturating_sub(before);
            }
            self.drain(part, turn == turns, &mut arrived)?;
            self.index += train;
        }
        let expected = if part == Part::Seal || self.sinks.is_empty() { 0 } else { (turns + 1) * per_turn };
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

    /// Empties the sinks, so that none overflows; with `is_opened` looks into what came.
    fn drain(&mut self, part: Part, is_opened: bool, arrived: &mut Arrived) -> Result<(), Failure> {
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
