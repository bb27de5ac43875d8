#![allow(clippy::unwrap_used)]
use super::*;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=8;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn impairment(spec: &str) -> Impairment {
    spec.parse().unwrap()
}

/// What became of packets of `len` bytes that came every `gap`: when each came and left, in the order in
/// which they left. The line is looked at just in time.
struct Passed {
    /// Number, came, left, since the start.
    packets: Vec<(usize, Duration, Duration)>,
    counts: Counts,
}

fn pass(spec: &str, seed: u64, count: usize, gap: Duration, len: usize) -> Passed {
    let start = Instant::now();
    let mut line = Line::new(impairment(spec), seed);
    let mut packets = Vec::new();
    let mut take = |line: &mut Line<usize>, until: Instant| {
        while let Some(at) = line.next_at().filter(|at| *at <= until) {
            while let Some((left, number)) = line.take_due(at) {
                packets.push((number, gap * number as u32, left - start));
            }
        }
    };
    for number in 0..count {
        let now = start + gap * number as u32;
        take(&mut line, now);
        let _ = line.accept(now, len, number);
    }
    take(&mut line, start + Duration::from_secs(100_000));
    Passed { packets, counts: line.counts(start + Duration::from_secs(100_000)) }
}

impl Passed {
    fn is_in_order(&self) -> bool {
        self.packets.is_sorted_by_key(|(number, _, _)| *number)
    }

    fn times(&self) -> impl Iterator<Item = Duration> {
        self.packets.iter().map(|(_, came, left)| *left - *came)
    }
}

#[test]
fn a_line_without_impairment_passes_all_at_once() {
    let passed = pass("none", 1, 1000, Duration::from_micros(10), 1200);
    assert_eq!(passed.packets.len(), 1000);
    assert!(passed.is_in_order() && passed.times().all(|time| time.is_zero()));
}

#[test]
fn the_delay_is_the_delay() {
    let passed = pass("delay=50ms", 1, 1000, ms(1), 1200);
    assert!(passed.packets.len() == 1000 && passed.times().all(|time| time == ms(50)));
}

#[test]
fn jitter_is_spread_over_its_range_and_keeps_the_order_at_any_packet_rate() {
    for seed in SEEDS {
        for gap_us in [20, 1_000, 20_000] {
            let count = 20_000_000 / gap_us;
            let gap = Duration::from_micros(gap_us as u64);
            let passed = pass("delay=30ms,jitter=10ms", seed, count, gap, 200);
            assert!(passed.is_in_order(), "seed {seed}, {gap:?}");
            let mut times: Vec<Duration> = passed.times().collect();
            times.sort();
            let at = |share: f64| times[(times.len() as f64 * share) as usize];
            assert!(times[0] >= ms(30) && *times.last().unwrap() <= ms(40), "seed {seed}, {gap:?}");
            assert!(at(0.1) < ms(33) && at(0.9) > ms(38), "{seed}, {gap:?}: {:?} {:?}", at(0.1), at(0.9));
        }
    }
}

#[test]
fn only_reordering_turns_packets_round_and_as_many_as_was_asked_for() {
    for seed in SEEDS {
        let passed = pass("delay=30ms,jitter=10ms,reorder=5%", seed, 20_000, ms(1), 200);
        assert_eq!(passed.packets.len(), 20_000);
        let mut highest = 0;
        let mut overtaken = 0;
        for (number, _, _) in &passed.packets {
            overtaken += usize::from(*number < highest);
            highest = highest.max(*number);
        }
        assert!((800..1200).contains(&overtaken), "seed {seed}: {overtaken}");
    }
}

#[test]
fn the_rate_holds_to_the_packet_however_large_packets_are() {
    for (rate, len) in [("300kbit", 1200), ("2mbit", 1200), ("2mbit", 97), ("7mbit", 333), ("1gbit", 1500)] {
        // Half as much again as passes.
        let bps = impairment(&format!("rate={rate}")).rate_bps.unwrap() as f64;
        let gap = Duration::from_secs_f64(len as f64 * 8.0 / bps / 1.5);
        let passed = pass(&format!("rate={rate},queue=20ms"), 1, 20_000, gap, len);
        let (_, _, first) = passed.packets[0];
        let (_, _, last) = passed.packets[passed.packets.len() - 1];
        let seconds = (last - first).as_secs_f64();
        let measured = (passed.packets.len() - 1) as f64 * len as f64 * 8.0 / seconds;
        assert!((measured / bps - 1.0).abs() < 0.001, "{rate} of {len}: {measured}");
        assert!(passed.counts.queue_full > 0 && passed.is_in_order());
    }
}

#[test]
fn nothing_waits_longer_than_the_queue_and_what_would_is_dropped() {
    // 1200 bytes take 4.8 ms.
    let passed = pass("rate=2mbit,queue=300ms", 1, 10_000, ms(1), 1200);
    let longest = passed.times().max().unwrap();
    assert!(longest > ms(295) && longest <= ms(300) + Duration::from_micros(4800), "{longest:?}");
    assert_eq!(passed.counts.passed + passed.counts.queue_full, 10_000);

    // Ten packets wait beside the one that is passing.
    let passed = pass("rate=2mbit,queue=12KB", 1, 10_000, ms(1), 1200);
    let longest = passed.times().max().unwrap();
    assert!(longest > ms(48) && longest <= Duration::from_micros(52_800), "{longest:?}");
    assert!(pass("rate=2mbit,queue=0B", 1, 100, ms(10), 1200).packets.len() == 100);
}

#[test]
fn what_is_lost_has_used_the_narrow_place() {
    for seed in SEEDS {
        let passed = pass("loss=50%,rate=2mbit,queue=50ms", seed, 20_000, ms(1), 1200);
        let share = passed.counts.passed_bytes as f64 * 8.0 / 20.0 / 2e6;
        assert!((0.47..0.53).contains(&share), "seed {seed}: {share}");
    }
}

#[test]
fn every_packet_passes_is_held_or_is_counted_as_dropped() {
    let specs = ["none", "loss=5%,burst=3,delay=50ms,jitter=10ms,reorder=1%,rate=2mbit,queue=300ms"];
    for (spec, seed) in specs.iter().flat_map(|spec| SEEDS.map(move |seed| (spec, seed))) {
        let start = Instant::now();
        let mut random = Random(seed);
        let mut line = Line::new(impairment(spec), seed);
        let mut now = start;
        for number in 0..5000 {
            now += Duration::from_nanos(random.number() % 5_000_000);
            let _ = line.accept(now, 40 + (random.number() % 1460) as usize, number);
            if random.share() < 0.7 {
                while line.take_due(now).is_some() {}
            }
            let c = line.counts(now);
            assert_eq!(c.offered, c.passed + c.held + c.lost + c.queue_full + c.line_full);
        }
        now += Duration::from_secs(3600);
        while line.take_due(now).is_some() {}
        assert_eq!((line.counts(now).held, line.next_at()), (0, None), "{spec}, seed {seed}");
        assert_eq!((line.queue_bytes, line.under_way_bytes), (0, 0));
    }
}

#[test]
fn who_looks_late_changes_no_plan() {
    let spec = "loss=5%,burst=3,delay=50ms,jitter=10ms,rate=2mbit,queue=300ms";
    let start = Instant::now();
    let play = |look_every: usize| {
        let mut line = Line::new(impairment(spec), 7);
        let mut left = Vec::new();
        for number in 0..3000 {
            let now = start + ms(2) * number as u32;
            let _ = line.accept(now, 1200, number);
            if number % look_every == 0 {
                left.extend(std::iter::from_fn(|| line.take_due(now)));
            }
        }
        left.extend(std::iter::from_fn(|| line.take_due(start + ms(60_000))));
        left
    };
    assert_eq!(play(1), play(100));
    assert!(play(1).len() > 1000);
}

#[test]
fn equal_seeds_give_equal_fates_and_others_others() {
    let spec = "loss=5%,delay=50ms,jitter=10ms,reorder=1%";
    let play = |seed| pass(spec, seed, 2000, ms(1), 200).packets;
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2));
}

#[test]
fn a_rate_that_falls_holds_for_what_waits_already() {
    let start = Instant::now();
    let mut line = Line::new(impairment("rate=10mbit,queue=1s"), 1);
    // 1250 bytes take 1 ms, and later 10.
    for number in 0..100 {
        line.accept(start, 1250, number).unwrap();
    }
    line.set(impairment("rate=1mbit,queue=1s"), start + Duration::from_micros(20_500));
    let left: Vec<Duration> =
        std::iter::from_fn(|| line.take_due(start + ms(10_000))).map(|(left, _)| left - start).collect();
    // Half of the 21st was through.
    assert_eq!(
        (left[19], left[20], left[21]),
        (ms(20), Duration::from_micros(25_500), Duration::from_micros(35_500))
    );
    assert_eq!(left[99], Duration::from_micros(25_500) + ms(10) * 79);

    line.accept(start + ms(20_000), 1250, 0).unwrap();
    line.accept(start + ms(20_000), 1250, 1).unwrap();
    line.set(Impairment::default(), start + ms(20_001));
    assert_eq!(line.take_due(start + ms(20_001)).unwrap().1, 0);
    assert_eq!(line.take_due(start + ms(20_001)).unwrap().1, 1);
}

#[test]
fn a_delay_that_shrinks_bunches_packets_and_keeps_their_order() {
    let start = Instant::now();
    let mut line = Line::new(impairment("delay=100ms"), 1);
    line.accept(start, 100, 0).unwrap();
    line.set(impairment("delay=10ms"), start + ms(1));
    line.accept(start + ms(1), 100, 1).unwrap();
    let left: Vec<_> = std::iter::from_fn(|| line.take_due(start + ms(1000))).collect();
    assert_eq!(left, [(start + ms(100), 0), (start + ms(100), 1)]);
}

#[test]
fn a_line_holds_no_more_than_it_may() {
    let start = Instant::now();
    for len in [40, 1500] {
        let mut line = Line::new(impairment("delay=10s"), 1);
        let taken = (0..PACKETS_MAX + 10).filter(|number| line.accept(start, len, *number).is_ok()).count();
        assert_eq!(taken, PACKETS_MAX.min((BYTES_MAX / len as u64) as usize));
        assert_eq!(line.counts(start).line_full, (PACKETS_MAX + 10 - taken) as u64);
    }
}
