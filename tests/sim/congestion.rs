//! The estimate and the allocator behind a bottleneck: scenarios as data, each with its bounds, each with five
//! seeds. `SHOW=1` prints what happened.

use harness::bottleneck::{Bottleneck, Queue};
use harness::subscriber::{Honesty, Subscriber};

const SEEDS: std::ops::Range<u64> = 1..6;
/// A camera in three encodings, kbit/s.
const CAMERA: &[u64] = &[150, 500, 1_500];
/// So many steps that the sender can follow the estimate closely.
const LADDER: &[u64] =
    &[60, 100, 150, 200, 260, 330, 420, 520, 640, 780, 940, 1_120, 1_320, 1_560, 1_850, 2_200];
/// What audio takes, kbit/s.
const AUDIO: u64 = 40;

#[derive(Clone, Copy)]
struct Scenario {
    link: Bottleneck,
    seconds: u64,
    subscribers: &'static [(&'static [u64], Honesty)],
    bounds: &'static [Bound],
}

impl Default for Scenario {
    fn default() -> Self {
        let link = Bottleneck::default();
        Self { link, seconds: 60, subscribers: &[(CAMERA, Honesty::Honest)], bounds: &[] }
    }
}

/// A promise. Times are `from` and `to`, seconds; rates kbit/s.
#[derive(Clone, Copy, Debug)]
enum Bound {
    /// The estimate stays between these.
    Estimate { from: u64, to: u64, least: u64, most: u64 },
    /// No more is sent than this, on average.
    Sent { from: u64, to: u64, most: u64 },
    /// 95 % of the packets wait in the queue for less, milliseconds.
    Queue { from: u64, to: u64, most: u64 },
    /// The video granted is this layer, all the time.
    Granted { from: u64, to: u64, layer: u64 },
    /// Fewer layer changes in any minute.
    Switches { from: u64, fewer_than: usize },
    /// What each receives is at least this share of what any other does.
    Fair { from: u64, to: u64, least: f64 },
    /// Padding is at most this share of everything sent.
    Padding { most: f64 },
}

#[test]
fn a_steady_link_is_known_within_15_per_cent_after_10_seconds() {
    check(Scenario {
        bounds: &[
            Bound::Estimate { from: 10, to: 60, least: 850, most: 1_150 },
            Bound::Granted { from: 10, to: 60, layer: 500 },
            Bound::Padding { most: 0.05 },
        ],
        ..Scenario::default()
    });
}

#[test]
fn a_link_that_narrows_is_left_within_one_and_a_half_seconds_and_used_again_within_twelve() {
    check(Scenario {
        link: Bottleneck { capacity: &[(0, 3_000), (20, 500), (50, 3_000)], ..Bottleneck::default() },
        seconds: 90,
        bounds: &[
            Bound::Granted { from: 10, to: 20, layer: 1_500 },
            Bound::Sent { from: 21, to: 22, most: 500 },
            Bound::Sent { from: 22, to: 50, most: 500 },
            Bound::Queue { from: 23, to: 50, most: 300 },
            Bound::Granted { from: 22, to: 50, layer: 150 },
            Bound::Granted { from: 62, to: 90, layer: 1_500 },
        ],
        ..Scenario::default()
    });
}

#[test]
fn random_loss_of_5_per_cent_leaves_70_per_cent() {
    check(Scenario {
        link: Bottleneck { capacity: &[(0, 2_000)], loss: 0.05, ..Bottleneck::default() },
        seconds: 120,
        bounds: &[Bound::Estimate { from: 10, to: 120, least: 1_400, most: 2_300 }],
        ..Scenario::default()
    });
}

#[test]
fn jitter_of_50_milliseconds_leaves_60_per_cent() {
    for reorders in [false, true] {
        let capacity = &[(0, 2_000)];
        check(Scenario {
            link: Bottleneck { capacity, jitter_ms: 50, reorders, ..Bottleneck::default() },
            bounds: &[Bound::Estimate { from: 10, to: 60, least: 1_200, most: 2_300 }],
            ..Scenario::default()
        });
    }
}

#[test]
fn two_behind_one_bottleneck_get_much_the_same() {
    check(Scenario {
        link: Bottleneck { capacity: &[(0, 2_000)], ..Bottleneck::default() },
        subscribers: &[(CAMERA, Honesty::Honest), (CAMERA, Honesty::Honest)],
        bounds: &[Bound::Fair { from: 20, to: 60, least: 0.65 }],
        ..Scenario::default()
    });
}

#[test]
fn a_noisy_link_does_not_make_layers_flap() {
    for capacity in [&[(0, 1_600)], &[(0, 600)], &[(0, 1_000)]] {
        check(Scenario {
            link: Bottleneck { capacity, wobble: 0.15, jitter_ms: 20, loss: 0.01, ..Bottleneck::default() },
            seconds: 180,
            bounds: &[Bound::Switches { from: 10, fewer_than: 6 }],
            ..Scenario::default()
        });
    }
}

#[test]
fn a_ladder_of_layers_is_climbed_and_not_left_for_long() {
    check(Scenario {
        subscribers: &[(LADDER, Honesty::Honest)],
        seconds: 120,
        bounds: &[
            Bound::Estimate { from: 10, to: 120, least: 600, most: 1_600 },
            Bound::Queue { from: 10, to: 120, most: 150 },
            Bound::Switches { from: 30, fewer_than: 8 },
        ],
        ..Scenario::default()
    });
}

#[test]
fn a_liar_gets_no_more_than_it_could_use() {
    check(Scenario {
        link: Bottleneck { capacity: &[(0, 1_000)], ..Bottleneck::default() },
        subscribers: &[(CAMERA, Honesty::Liar)],
        bounds: &[
            Bound::Estimate { from: 0, to: 60, least: 5, most: 2_040 },
            Bound::Sent { from: 0, to: 60, most: 1_500 + 2 * AUDIO },
        ],
        ..Scenario::default()
    });
}

#[test]
fn who_says_nothing_keeps_what_a_start_allows() {
    check(Scenario {
        subscribers: &[(CAMERA, Honesty::Silent)],
        bounds: &[
            Bound::Estimate { from: 0, to: 60, least: 300, most: 300 },
            Bound::Granted { from: 1, to: 60, layer: 150 },
            Bound::Padding { most: 0.0 },
        ],
        ..Scenario::default()
    });
}

#[test]
fn equal_seeds_are_equal_runs() {
    let scenario =
        Scenario { link: Bottleneck { jitter_ms: 20, ..Bottleneck::default() }, ..Scenario::default() };
    let estimates = |seed| -> Vec<u64> {
        play(&scenario, seed)[0].samples.iter().map(|sample| sample.estimate_bps).collect()
    };
    assert_eq!(estimates(7), estimates(7));
    assert_ne!(estimates(7), estimates(8));
}

#[test]
#[should_panic(expected = "Granted")]
fn a_broken_promise_is_noticed() {
    check(Scenario { bounds: &[Bound::Granted { from: 10, to: 60, layer: 1_500 }], ..Scenario::default() });
}

fn check(scenario: Scenario) {
    for seed in SEEDS {
        let subscribers = play(&scenario, seed);
        if std::env::var_os("SHOW").is_some() {
            show(&subscribers);
        }
        for bound in scenario.bounds {
            for (at, subscriber) in subscribers.iter().enumerate() {
                if let Err(seen) = judge(bound, subscriber, &subscribers) {
                    panic!("seed {seed}, subscriber {at}: {bound:?}, but {seen}");
                }
            }
        }
    }
}

fn play(scenario: &Scenario, seed: u64) -> Vec<Subscriber> {
    let mut link = Queue::new(scenario.link, seed);
    let mut subscribers: Vec<Subscriber> = (seed * 100..)
        .zip(scenario.subscribers)
        .map(|(seed, (track, honesty))| Subscriber::new(&[track], *honesty, seed))
        .collect();
    for ms in 0..scenario.seconds * 1_000 {
        for subscriber in &mut subscribers {
            subscriber.tick(&mut link, scenario.link.delay_ms * 1_000, ms * 1_000);
        }
    }
    subscribers
}

/// What was seen instead, if the bound does not hold.
fn judge(bound: &Bound, subscriber: &Subscriber, all: &[Subscriber]) -> Result<(), String> {
    let within = |from: u64, to: u64| {
        let samples = subscriber.samples.iter();
        samples.filter(move |sample| (from * 1_000 + 500..to * 1_000).contains(&sample.at_ms))
    };
    match *bound {
        Bound::Estimate { from, to, least, most } => {
            let is_in = |bps: u64| (least * 1_000..=most * 1_000).contains(&bps);
            let wrong = within(from, to).find(|sample| !is_in(sample.estimate_bps));
            wrong.map_or(Ok(()), |sample| Err(format!("{sample:?}")))
        }
        Bound::Sent { from, to, most } => {
            let sent = mean(within(from, to).map(|sample| sample.sent_bps));
            (sent <= most * 1_000).then_some(()).ok_or(format!("{sent} bit/s"))
        }
        Bound::Granted { from, to, layer } => {
            let wrong = within(from, to).find(|sample| sample.granted_bps != layer * 1_000);
            wrong.map_or(Ok(()), |sample| Err(format!("{sample:?}")))
        }
        Bound::Queue { from, to, most } => {
            let waits = subscriber.waits.iter();
            let during = waits.filter(|(at_us, _)| (from * 1_000_000..to * 1_000_000).contains(at_us));
            let mut waits: Vec<u64> = during.map(|(_, waited_us)| *waited_us).collect();
            waits.sort_unstable();
            let p95 = waits[waits.len() * 95 / 100];
            (p95 < most * 1_000).then_some(()).ok_or(format!("{p95} us"))
        }
        Bound::Switches { from, fewer_than } => {
            let later: Vec<u64> =
                subscriber.switches.iter().copied().filter(|at_ms| *at_ms >= from * 1_000).collect();
            let busiest = later.windows(fewer_than).find(|those| those[fewer_than - 1] - those[0] < 60_000);
            busiest.map_or(Ok(()), |those| Err(format!("at {those:?} ms")))
        }
        Bound::Fair { from, to, least } => {
            let of = |one: &Subscriber| {
                let samples = one.samples.iter();
                mean(
                    samples.filter(|s| (from * 1_000..to * 1_000).contains(&s.at_ms)).map(|s| s.received_bps),
                )
            };
            let (own, best) = (of(subscriber), all.iter().map(of).max().unwrap_or(0));
            (own as f64 >= least * best as f64).then_some(()).ok_or(format!("{own} of {best} bit/s"))
        }
        Bound::Padding { most } => {
            let sent: u64 = subscriber.samples.iter().map(|sample| sample.sent_bps / 80).sum();
            let share = subscriber.padding_bytes as f64 / sent as f64;
            (share <= most).then_some(()).ok_or(format!("{share}"))
        }
    }
}

fn mean(values: impl Iterator<Item = u64>) -> u64 {
    let values: Vec<u64> = values.collect();
    values.iter().sum::<u64>() / values.len().max(1) as u64
}

/// Prints every half second.
fn show(subscribers: &[Subscriber]) {
    for (at, subscriber) in subscribers.iter().enumerate() {
        for sample in subscriber.samples.iter().step_by(5) {
            let waits = subscriber.waits.iter().filter(|wait| wait.0 / 500_000 == sample.at_ms / 500);
            println!(
                "{at} {:6} ms: estimate {:5} ({}), sent {:5}, received {:5}, granted {:5} kbit/s, queue {:3} ms",
                sample.at_ms,
                sample.estimate_bps / 1_000,
                sample.cause.name(),
                sample.sent_bps / 1_000,
                sample.received_bps / 1_000,
                sample.granted_bps / 1_000,
                waits.map(|wait| wait.1 / 1_000).max().unwrap_or(0)
            );
        }
        let (switches, padding) = (&subscriber.switches, subscriber.padding_bytes);
        println!("{at} switches {switches:?}, padding {padding} bytes, lost {:?}", subscriber.lost);
    }
}
