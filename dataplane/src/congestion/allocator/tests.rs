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
    tracks: Vec<Track>,
}

struct Track {
    priority: Priority,
    height: Option<u16>,
    options: Vec<LayerOption>,
    memory: Memory,
    current: Option<Layer>,
}

impl Track {
    fn wish((track, of): (u16, &Track)) -> Wish<'_> {
        Wish {
            track,
            priority: of.priority,
            height: of.height,
            options: &of.options,
            current: of.current,
            memory: of.memory,
        }
    }
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
        let track = |&(priority, height, kbps): &(Priority, Option<u16>, &[u64])| Track {
            priority,
            height,
            options: options(kbps),
            memory: Memory::default(),
            current: None,
        };
        Self { start: Instant::now(), budget, tracks: tracks.iter().map(track).collect() }
    }

    fn set_kbps(&mut self, estimate: u64, lowest: u64) {
        (self.budget.estimate_bps, self.budget.lowest_bps) = (estimate * 1_000, lowest * 1_000);
    }

    fn wishes(&self) -> Vec<Wish<'_>> {
        (0..).zip(&self.tracks).map(Track::wish).collect()
    }

    fn allocate(&mut self, at_ms: u64) -> Allocation {
        let wishes = self.wishes();
        let allocation = allocate(&self.budget, &wishes, self.start + Duration::from_millis(at_ms));
        for (track, grant) in self.tracks.iter_mut().zip(&allocation.grants) {
            (track.memory, track.current) = (grant.memory, grant.target);
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
    assert_eq!(demand.next_bps, Some(2_200_000));
    subscriber.set_kbps(2_180, 2_000);
    subscriber.budget.probed_bps = Some(2_180_000);
    assert_eq!(said(&subscriber.allocate(11_000)), "900 best, 500 estimate, 500 estimate");
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

#[test]
fn after_a_fall_nothing_rises_for_a_while_and_longer_if_it_had_just_risen() {
    let mut subscriber = Subscriber::new(1_000, &[CAMERA]);
    assert_eq!(subscriber.settle(0, 30), "500 estimate");
    subscriber.set_kbps(400, 400);
    assert_eq!(said(&subscriber.allocate(31_000)), "150 estimate");
    subscriber.set_kbps(1_000, 1_000);
    assert_eq!(subscriber.settle(32, 40), "150 policy");
    assert_eq!(said(&subscriber.allocate(41_000)), "500 estimate");
    subscriber.set_kbps(400, 400);
    assert_eq!(said(&subscriber.allocate(45_000)), "150 estimate");
    subscriber.set_kbps(1_000, 1_000);
    assert_eq!(subscriber.settle(46, 64), "150 policy");
    assert_eq!(said(&subscriber.allocate(65_000)), "500 estimate");
}

#[test]
fn every_reason_is_given() {
    let reason = |track: (Priority, Option<u16>, &[u64])| {
        let mut subscriber = Subscriber::new(5_000, &[track]);
        let first = subscriber.allocate(0).grants[0].reason.name();
        subscriber.settle(1, 10);
        (first, subscriber.allocate(11_000).grants[0].reason.name())
    };
    assert_eq!(reason((Priority::Other, Some(720), &[150])), ("awaiting_keyframe", "best"));
    assert_eq!(reason((Priority::Other, Some(200), &[150, 500, 1_500])), ("awaiting_keyframe", "request"));
    assert_eq!(reason((Priority::Other, Some(720), &[150, 500, 0])), ("awaiting_keyframe", "missing_layer"));
    assert_eq!(reason((Priority::Other, Some(720), &[0, 0, 0])), ("missing_layer", "missing_layer"));
    assert_eq!(reason((Priority::Other, None, &[150])), ("paused", "paused"));
    assert_eq!(reason((Priority::Other, Some(720), &[150, 9_000])), ("estimate", "estimate"));
}

#[test]
fn pinned_then_screen_then_speaker_are_served_first() {
    let of = |priority| (priority, Some(180), [300].as_slice());
    let all = [Priority::Other, Priority::ActiveSpeaker, Priority::Screen, Priority::Pinned];
    let tracks: Vec<_> = all.into_iter().map(of).collect();
    let granted = |kbps| said(&Subscriber::new(kbps, &tracks).allocate(0));
    assert_eq!(granted(450), "- estimate, - estimate, - estimate, 300 awaiting_keyframe");
    assert_eq!(granted(760), "- estimate, - estimate, 300 awaiting_keyframe, 300 awaiting_keyframe");
    assert!(granted(1_080).starts_with("- estimate, 300"));
}

#[test]
fn an_over_used_link_and_a_queue_let_nothing_rise() {
    let mut subscriber = Subscriber::new(1_000, &[CAMERA]);
    subscriber.budget.is_overused = true;
    assert_eq!(subscriber.settle(0, 9), "150 policy");
    subscriber.budget.is_overused = false;
    subscriber.budget.queue_bytes = 30_000;
    assert_eq!(subscriber.settle(10, 19), "150 estimate");
    subscriber.budget.queue_bytes = 0;
    assert_eq!(subscriber.settle(20, 21), "500 estimate");
}

#[test]
fn a_better_layer_that_costs_less_is_taken() {
    let mut subscriber = Subscriber::new(400, &[(Priority::Other, Some(720), &[250, 240])]);
    assert_eq!(subscriber.settle(0, 3), "240 best");
}

#[test]
fn a_picture_that_was_taken_away_comes_back_soon() {
    let mut subscriber = Subscriber::new(400, &[CAMERA]);
    subscriber.settle(0, 20);
    subscriber.set_kbps(100, 100);
    assert_eq!(said(&subscriber.allocate(21_000)), "- estimate");
    subscriber.set_kbps(400, 400);
    assert_eq!(said(&subscriber.allocate(22_000)), "- policy");
    assert_eq!(said(&subscriber.allocate(23_000)), "150 estimate");
}

#[test]
fn more_tracks_than_can_be_served_are_no_mistake() {
    let many = vec![CAMERA; ALLOCATED_TRACKS_MAX + 5];
    let mut subscriber = Subscriber::new(100_000, &many);
    assert_eq!(subscriber.allocate(0).grants.len(), ALLOCATED_TRACKS_MAX);
}

prop_compose! {
    fn any_track()(
        priority in 0..4,
        height in proptest::option::of(1u16..1_000),
        kbps in proptest::collection::vec(prop_oneof![Just(0u64), 20u64..3_000], 0..5),
    ) -> (Priority, Option<u16>, Vec<u64>) {
        let all = [Priority::Pinned, Priority::Screen, Priority::ActiveSpeaker, Priority::Other];
        (all[priority as usize], height, kbps)
    }
}

proptest! {
    /// Whatever the tracks and however the estimate moves.
    #[test]
    fn grants_fit_and_the_lowest_of_all_comes_before_the_second_of_any(
        tracks in proptest::collection::vec(any_track(), 0..12),
        estimates in proptest::collection::vec(0u64..12_000, 1..20),
    ) {
        let borrowed: Vec<_> = tracks.iter().map(|of| (of.0, of.1, of.2.as_slice())).collect();
        let mut subscriber = Subscriber::new(0, &borrowed);
        for (second, &kbps) in (0..).zip(&estimates) {
            subscriber.set_kbps(kbps, kbps * 9 / 10);
            let before = subscriber.wishes().iter().map(|wish| wish.memory.granted).collect::<Vec<_>>();
            let allocation = subscriber.allocate(second * 1_000);
            let room_bps = (kbps * 950).saturating_sub(120_000);
            prop_assert!(allocation.total_bps <= room_bps, "{allocation:?}");
            prop_assert_eq!(allocation.total_bps, allocation.grants.iter().map(|grant| grant.bitrate_bps).sum::<u64>());
            prop_assert_eq!(allocation.grants.len(), tracks.len());

            let lowest = |at: usize| {
                let height = subscriber.tracks[at].height?;
                let top = wanted(&subscriber.tracks[at].options, height)?;
                subscriber.tracks[at].options[..=top].iter().find(|option| option.is_live)
            };
            for (at, grant) in allocation.grants.iter().enumerate() {
                let options = &subscriber.tracks[at].options;
                let flows = |target| options.iter().any(|option| option.layer == target && option.is_live);
                prop_assert!(grant.target.is_none_or(flows));
                let risen = allocation.grants.iter().zip(&before);
                let is_second = |(grant, before): (&Grant, &Option<Layer>)| {
                    before.is_some() && grant.target.map(|layer| layer.spatial) > before.map(|layer| layer.spatial)
                };
                // Nobody rises while somebody's lowest, which flowed before, would fit instead.
                if let (None, Reason::Estimate, Some(option)) = (grant.target, grant.reason, lowest(at)) {
                    let has_risen = risen.clone().any(is_second);
                    let others_bps: u64 = (0..tracks.len())
                        .filter(|other| allocation.grants[*other].target.is_some())
                        .filter_map(|other| lowest(other).map(|option| option.bitrate_bps))
                        .sum();
                    let would_fit = others_bps + option.bitrate_bps <= room_bps * 8 / 10;
                    prop_assert!(!(has_risen && would_fit), "{allocation:?}");
                }
            }
        }
    }

    /// A pure function: the same again gives the same.
    #[test]
    fn equal_wishes_get_equal_grants(
        tracks in proptest::collection::vec(any_track(), 0..12), kbps in 0u64..12_000,
    ) {
        let borrowed: Vec<_> = tracks.iter().map(|of| (of.0, of.1, of.2.as_slice())).collect();
        let subscriber = Subscriber::new(kbps, &borrowed);
        let now = subscriber.start;
        let wishes = subscriber.wishes();
        let (one, two) = (allocate(&subscriber.budget, &wishes, now), allocate(&subscriber.budget, &wishes, now));
        prop_assert_eq!(one, two);
    }
}
