use proptest::prelude::*;

use super::*;

/// A simulcast track whose layers take so many kbit/s and are 180, 360, 720 pixels high.
fn options(kbps: &[u64]) -> Vec<LayerOption> {
    let option = |(at, kbps): (usize, &u64)| LayerOption {
        layer: Layer { spatial: at as u8, temporal: 0 },
        bitrate_bps: kbps * 1_000,
        height: 180 << at,
        is_live: *kbps > 0,
    };
    kbps.iter().enumerate().map(option).collect()
}

/// A subscriber whose tracks are asked for again and again.
struct Subscriber {
    start: Instant,
    budget: Budget,
    tracks: Vec<(Priority, Option<u16>, Vec<LayerOption>, Memory, Option<Layer>)>,
}

impl Subscriber {
    fn new(estimate_kbps: u64, tracks: &[(Priority, Option<u16>, &[u64])]) -> Self {
        let budget = Budget {
            estimate_bps: estimate_kbps * 1_000,
            lowest_bps: estimate_kbps * 1_000,
            audio_bps: 80_000,
            repeats_bps: 40_000,
            ..Budget::default()
        };
        let track = |&(priority, height, kbps): &(Priority, Option<u16>, &[u64])| {
            (priority, height, options(kbps), Memory::default(), None)
        };
        Self { start: Instant::now(), budget, tracks: tracks.iter().map(track).collect() }
    }

    fn set_kbps(&mut self, estimate: u64, lowest: u64) {
        (self.budget.estimate_bps, self.budget.lowest_bps) = (estimate * 1_000, lowest * 1_000);
    }

    fn allocate(&mut self, at_ms: u64) -> Allocation {
        let wishes: Vec<Wish<'_>> = (0..).zip(&self.tracks).map(|(track, of)| Wish {
            track,
            priority: of.0,
            height: of.1,
            options: &of.2,
            current: of.4,
            memory: of.3,
        });
        let allocation = allocate(&self.budget, &wishes, self.start + Duration::from_millis(at_ms));
        for (track, grant) in self.tracks.iter_mut().zip(&allocation.grants) {
            (track.3, track.4) = (grant.memory, grant.target);
        }
        allocation
    }

    /// Each second once, from `from` on; what the last says.
    fn settle(&mut self, from: u64, to: u64) -> String {
        (from..=to).map(|second| said(&self.allocate(second * 1_000))).last().unwrap_or_default()
    }
}

/// `900 estimate, - paused`: kbit/s and reason of each track.
fn said(allocation: &Allocation) -> String {
    let grant = |grant: &Grant| match grant.target {
        Some(_) => format!("{} {}", grant.bitrate_bps / 1_000, grant.reason.name()),
        None => format!("- {}", grant.reason.name()),
    };
    allocation.grants.iter().map(grant).collect::<Vec<_>>().join(", ")
}

const PINNED: (Priority, Option<u16>, &[u64]) = (Priority::Pinned, Some(720), &[250, 900]);
const CAMERA: (Priority, Option<u16>, &[u64]) = (Priority::Other, Some(720), &[150, 500, 1_500]);

#[test]
fn a_step_is_taken_when_the_lowest_estimate_or_a_probe_has_room_for_it() {
    let mut subscriber = Subscriber::new(2_000, &[PINNED, CAMERA, CAMERA]);
    subscriber.set_kbps(2_000, 1_800);
    assert_eq!(subscriber.settle(0, 9), "900 best, 500 estimate, 150 estimate");
    let demand = subscriber.allocate(10_000).demand;
    assert_eq!(demand.next_bps, Some(2_778_947), "the whole of 1500 for the second");
    subscriber.set_kbps(2_180, 2_000);
    subscriber.budget.probed_bps = Some(2_180_000);
    assert_eq!(said(&subscriber.allocate(11_000)), "900 best, 500 estimate, 500 awaiting");
}

#[test]
fn it_falls_at_once_and_the_last_in_order_falls_first() {
    let mut subscriber = Subscriber::new(2_300, &[PINNED, CAMERA, CAMERA]);
    assert_eq!(subscriber.settle(0, 12), "900 best, 500 estimate, 500 estimate");
    subscriber.set_kbps(1_450, 1_450);
    assert_eq!(said(&subscriber.allocate(13_000)), "900 best, 150 estimate, 150 estimate");
    subscriber.set_kbps(600, 600);
    assert_eq!(said(&subscriber.allocate(14_000)), "250 estimate, 150 estimate, - estimate");
    subscriber.set_kbps(90, 90);
    assert_eq!(said(&subscriber.allocate(15_000)), "- estimate, - estimate, - estimate");
}
