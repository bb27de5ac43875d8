//! The ring from shard to shard: what a packet costs that crosses, from one cache to another.
//!
//! Both shards are played by one thread and are awake, so neither the wake-up (see `wakes`) nor the way of the
//! bytes from one core to another is in it. A batch is what one turn of the publisher's shard hands over.
#![forbid(unsafe_code)]

use arrayvec::ArrayVec;
use dataplane::engine::Hop;
use dataplane::id::ShardId;
use dataplane::limits::{DATAGRAM_SIZE_BYTES_MAX, HOPS_PER_TURN, VIDEO_CACHE_LEN};
use dataplane::media::crossing::Rank;
use dataplane::shard::mesh::Mesh;
use dataplane::udp::system::EventFd;

use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work, fold};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "mesh_ring",
    question: "What does it cost a packet to cross to another shard?",
    parameters: &[
        Parameter {
            name: "batch",
            help: "Packets that are put in before the bell rings and they are taken out",
            sizes: Sizes::Numbers { smoke: &[1, 4], full: &[1, 8, 64, 256], max: HOPS_PER_TURN as u64 },
        },
        Parameter {
            name: "packets",
            help: "Packets in all",
            sizes: Sizes::Numbers { smoke: &[64], full: &[2_000_000], max: 10_000_000_000 },
        },
    ],
    figures: &[&[Figure {
        name: "crossing",
        unit: "ns",
        better: Better::Lower,
        digits: Some(1),
        meaning: "CPU time of copying a packet of 1100 bytes into the ring and out of it, on one thread",
    }]],
    charts: &[],
    work: Work::Pure(play),
};

const PAYLOAD_LEN: usize = 1100;
/// What crosses beside the payload.
const HEAD_LEN: usize = size_of::<Hop>() - size_of::<Payload>();
const FROM: ShardId = ShardId(0);
const TO: ShardId = ShardId(1);

type Payload = ArrayVec<u8, DATAGRAM_SIZE_BYTES_MAX>;

/// As large as what crosses.
struct Item {
    head: [u8; HEAD_LEN],
    payload: Payload,
}

impl Default for Item {
    fn default() -> Self {
        Self { head: [0; HEAD_LEN], payload: Payload::new() }
    }
}

fn play(bench: &mut Bench) {
    let (batch, packets) = (bench.number("batch"), bench.number("packets"));
    let wakes = [(); 2].map(|()| EventFd::new().expect("an eventfd can be opened"));
    let mesh: Mesh<Item> = Mesh::new(wakes.into());
    let [mut sender, mut receiver] =
        [FROM, TO].map(|shard| mesh.claim(shard).expect("nobody has claimed it"));
    // Both caches are as large as those of a track, so that the bytes come from where they would.
    let [kept, mut mirrored] = [7, 0].map(|byte| vec![[byte; DATAGRAM_SIZE_BYTES_MAX]; VIDEO_CACHE_LEN]);
    let mut head = [0; HEAD_LEN];
    let batches = packets.div_ceil(batch);
    let elapsed = bench.measure(|| {
        let (mut computed, mut place) = (0, 0);
        for first in 0..batches {
            for number in first..first + batch {
                head[..8].copy_from_slice(&number.to_be_bytes());
                let payload = &kept[number as usize % VIDEO_CACHE_LEN][..PAYLOAD_LEN];
                let write = |item: &mut Item| {
                    item.head = head;
                    item.payload.try_extend_from_slice(payload).expect("a payload fits");
                };
                assert!(sender.offer(TO, |len| Rank::Base.reserve(len), write), "there is room for a batch");
            }
            sender.ring();
            receiver.drain(|_, item| {
                mirrored[place][..item.payload.len()].copy_from_slice(&item.payload);
                let seen = u64::from(item.head[7]) << 8 | u64::from(mirrored[place][PAYLOAD_LEN - 1]);
                computed = fold(computed, seen);
                place = (place + 1) % VIDEO_CACHE_LEN;
            });
        }
        computed
    });
    bench.figure("crossing", elapsed.as_nanos() as f64 / (batches * batch) as f64);
}
