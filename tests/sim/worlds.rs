//! Both worlds, played for many seeds under the eyes of the oracle, and canaries that prove that it sees
//! (docs/TESTING.md).

use std::time::Instant;

use dataplane::engine::Occupancy;
use dataplane::transport::negotiate::Negotiator;
use harness::checker::{Checker, Rule};
use harness::meddling::{Meddler, Meddling};
use harness::seeds;
use harness::stories::{replayed, sealed};

#[test]
fn the_replayed_world_keeps_its_promises_and_equal_seeds_give_equal_traces() {
    let test = "worlds::the_replayed_world_keeps_its_promises_and_equal_seeds_give_equal_traces";
    seeds::run(test, 30, replayed::play_twice);
}

#[test]
fn the_sealed_world_keeps_its_promises() {
    let negotiator = Negotiator::new(Instant::now()).unwrap();
    let test = "worlds::the_sealed_world_keeps_its_promises";
    seeds::run(test, 60, |seed| sealed::play(seed, &negotiator, None));
}

#[test]
fn different_seeds_give_different_traces() {
    let first = replayed::play(1, None).trace;
    assert!(first.first_difference(&replayed::play(2, None).trace).is_some());
}

/// The canary of equal traces: the shard drops one packet that it had decided to send.
#[test]
fn one_decision_that_differs_parts_the_traces_where_it_differs() {
    let as_decided = replayed::play(1, None).trace;
    let mut parted_at = Vec::new();
    for packet in [50, 500, 1_500] {
        let meddled = replayed::play(1, Some(Meddler::new(Meddling::LeaveOut, packet))).trace;
        parted_at.push(as_decided.first_difference(&meddled).expect("the traces part"));
    }
    assert!(parted_at.is_sorted_by(|a, b| a < b), "{parted_at:?}");
    assert!(parted_at[0] > 50, "up to there they are equal");
}

/// The canaries of the oracle: each meddling breaks the rule that forbids it.
#[test]
fn the_oracle_sees_what_a_shard_must_not_do() {
    let negotiator = Negotiator::new(Instant::now()).unwrap();
    let cases = [
        (Meddling::LeaveOut, Rule::Numbers, Some(Rule::Numbers)),
        // A sealed packet that is spoiled on its way is a lost one, and is repaired.
        (Meddling::Corrupt, Rule::Conservation, None),
        (Meddling::Renumber, Rule::Numbers, Some(Rule::Numbers)),
        (Meddling::Misdirect, Rule::Conservation, Some(Rule::Conservation)),
        (Meddling::SendToStranger, Rule::Consent, Some(Rule::Consent)),
        (Meddling::Repeat, Rule::Numbers, Some(Rule::Numbers)),
        (Meddling::Silence, Rule::Picture, Some(Rule::Picture)),
    ];
    for (meddling, in_the_clear, sealed) in cases {
        let meddler = || Some(Meddler::new(meddling, 300));
        check(meddling, Some(in_the_clear), replayed::play(3, meddler()).failure);
        check(meddling, sealed, sealed::play(3, &negotiator, meddler()).failure);
    }
}

/// The canaries of what no meddling with datagrams brings about.
#[test]
fn the_oracle_sees_what_overflows_what_spins_and_what_is_left_behind() {
    let now = Instant::now();
    let broken = |look: &dyn Fn(&mut Checker)| {
        let mut checker = Checker::new(true);
        look(&mut checker);
        checker.violation.map(|violation| violation.rule)
    };
    let empty = Occupancy::default();
    let full = Occupancy { outbox_max: 1, ..empty };
    let left = Occupancy { paths: 1, ..empty };
    assert_eq!(broken(&|checker| checker.check_turn(&empty, None, now)), None);
    assert_eq!(broken(&|checker| checker.check_turn(&full, None, now)), Some(Rule::Bounds));
    let spin = |checker: &mut Checker| (0..20).for_each(|_| checker.check_turn(&empty, Some(now), now));
    assert_eq!(broken(&spin), Some(Rule::Bounds));
    assert_eq!(broken(&|checker| checker.check_empty(&empty, 0)), None);
    assert_eq!(broken(&|checker| checker.check_empty(&left, 0)), Some(Rule::Leak));
}

#[track_caller]
fn check(meddling: Meddling, rule: Option<Rule>, failure: Option<String>) {
    let broken = failure.as_ref().and_then(|failure| failure.split(':').next());
    let expected = rule.map(|rule| format!("{rule:?}"));
    assert_eq!(broken, expected.as_deref(), "{meddling:?}: {failure:?}");
}
