//! `find`: the largest number at which a scenario still holds an objective.
//!
//! The search itself ([`search`]) and the objective ([`objective`]) are pure; here rounds are played and
//! judged.

pub(crate) mod objective;
pub(crate) mod search;

use crate::failure::Failure;
use crate::report::document::{Document, Measured, Round, Search as Found, Summary, Verdict};
use crate::scenario::{Point, Value};
use crate::schedule::{Order, Player, name_of_target, values_of};
use crate::targets::Starter;
use objective::Objective;
use search::{Bounds, Outcome, Search};

/// What is searched for.
pub(crate) struct Quest {
    /// What has to hold.
    pub(crate) objective: Objective,
    /// Where it is searched.
    pub(crate) bounds: Bounds,
}

/// Searches for each target, one after another. The scale of the order's scenario is searched, all other
/// parameters have one value.
pub(crate) fn find(order: &Order, quest: &Quest, starter: &Starter) -> Result<Vec<Document>, Failure> {
    let scenario = order.scenario;
    let scale = scenario.scale().ok_or_else(|| {
        Failure::new(format!("{} has nothing to search over", scenario.name), "`list` shows what has")
    })?;
    let objective = quest.objective.clone().of(scenario)?;
    let base = base_point(order, scale)?;
    order
        .targets
        .iter()
        .map(|target| {
            let mut document =
                Document::begin(scenario, order.size, order.rounds, values_of(std::slice::from_ref(&base)));
            let name = name_of_target(Some(target));
            let mut search = Search::new(quest.bounds);
            while let Some(number) = search.next() {
                let mut point = base.clone();
                point.insert(scale.to_owned(), Value::Number(number));
                let mut player = Player::new(order, starter, order.rounds as usize);
                player.tolerate_failures(!search.tried().is_empty());
                for round in 1..=order.rounds {
                    let round = player.play(Some(target), &point, round)?;
                    document.add(&name, &point, round);
                }
                let measured = document.results.last().expect("a round was added");
                let outcome = judge(&objective, measured);
                eprintln!("{name}, {scale} {number}: {outcome}");
                search.tell(outcome);
            }
            document.parameters =
                values_of(&document.results.iter().map(|one| one.point.clone()).collect::<Vec<_>>());
            document.search = Some(Found {
                target: name,
                objective: objective.to_string(),
                over: scale.to_owned(),
                largest: search.largest(),
                ended: search.ended(),
                tried: search.tried().to_vec(),
            });
            Ok(document)
        })
        .collect()
}

/// The one value of every parameter but the scale.
fn base_point(order: &Order, scale: &str) -> Result<Point, Failure> {
    let mut points = order.scenario.points(order.size, &order.chosen);
    points.iter_mut().for_each(|point| {
        point.remove(scale);
    });
    points.dedup();
    match <[Point; 1]>::try_from(points) {
        Ok([point]) => Ok(point),
        Err(_) => Err(Failure::new(
            "a parameter has several values, and only one can be searched over",
            format!("give one value to each parameter but --{scale}"),
        )),
    }
}

/// Most rounds decide; where they hold figures, the medians of those that are not invalid are judged.
fn judge(objective: &Objective, measured: &Measured) -> Outcome {
    let is = |verdict| measured.rounds.iter().filter(move |round| round.verdict == verdict);
    let all = measured.rounds.len();
    if is(Verdict::Invalid).count() * 2 > all {
        return Outcome::Invalid(reasons(is(Verdict::Invalid)));
    }
    if is(Verdict::Over).count() * 2 > all {
        return Outcome::Fails(reasons(is(Verdict::Over)));
    }
    let counted = || measured.rounds.iter().filter(|round| round.verdict != Verdict::Invalid);
    let value = |name: &str| {
        let values: Vec<f64> = counted().filter_map(|round| round.figures.get(name).copied()).collect();
        Summary::of(values.into_iter()).map(|summary| summary.median)
    };
    match objective.broken(value).as_slice() {
        [] => Outcome::Holds,
        broken => Outcome::Fails(broken.join(", ")),
    }
}

fn reasons<'a>(rounds: impl Iterator<Item = &'a Round>) -> String {
    let mut reasons: Vec<&str> = rounds.flat_map(|round| &round.reasons).map(String::as_str).collect();
    reasons.dedup();
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scenario::{Bench, Better, Figure, Parameter, Scenario, Sizes, Work, usual_settings};
    use crate::targets::Server;
    use std::collections::BTreeMap;

    fn measured(rounds: &[(Verdict, f64)]) -> Measured {
        let rounds = rounds.iter().map(|&(verdict, loss)| Round {
            verdict,
            reasons: vec!["why".to_owned()],
            figures: BTreeMap::from([("loss".to_owned(), loss)]),
            ..Round::default()
        });
        Measured {
            target: "t".into(),
            point: Point::new(),
            rounds: rounds.collect(),
            summary: BTreeMap::new(),
        }
    }

    #[test]
    fn most_rounds_decide_and_then_their_median() {
        use Verdict::{Invalid, Ok, Over};
        let objective: Objective = "loss<1%".parse().unwrap();
        let check = |rounds: &[(Verdict, f64)]| judge(&objective, &measured(rounds));
        assert_eq!(check(&[(Ok, 0.1), (Ok, 9.0), (Ok, 0.2)]), Outcome::Holds);
        assert_eq!(check(&[(Ok, 0.1), (Invalid, 9.0), (Ok, 0.2)]), Outcome::Holds);
        assert!(
            matches!(check(&[(Ok, 0.1), (Ok, 9.0), (Ok, 8.0)]), Outcome::Fails(why) if why.contains("8"))
        );
        assert!(matches!(check(&[(Over, 0.0), (Ok, 0.0), (Over, 0.0)]), Outcome::Fails(why) if why == "why"));
        assert!(matches!(check(&[(Invalid, 0.0), (Over, 0.0), (Invalid, 0.0)]), Outcome::Invalid(_)));
    }

    /// A server that carries 37 and needs no network to do it; above 100 the generator is at its end.
    const SCENARIO: Scenario = Scenario {
        name: "pretended",
        question: "?",
        parameters: &[Parameter {
            name: "crowd",
            help: "",
            sizes: Sizes::Numbers { smoke: &[1], full: &[1], max: 1000 },
        }],
        figures: &[&[Figure {
            name: "forward_p99",
            unit: "us",
            better: Better::Lower,
            digits: Some(0),
            meaning: "",
        }]],
        charts: &[],
        work: Work::Server { play, scale: "crowd", settings: usual_settings },
    };

    fn play(bench: &mut Bench, _: &Server) -> Result<(), Failure> {
        let crowd = bench.number("crowd");
        bench.figure("forward_p99", crowd as f64 * 1000.0);
        if crowd > 100 {
            bench.invalid("the generator is at its end");
        }
        match crowd {
            60..=100 => Err(Failure::new("subscribers did not connect", "")),
            _ => Ok(()),
        }
    }

    fn found(slo: &str, from: u64) -> Found {
        let target = "whip:http://h/,whep:http://h/".parse().unwrap();
        let order = Order {
            scenario: &SCENARIO,
            size: crate::scenario::Size::Smoke,
            chosen: BTreeMap::new(),
            targets: vec![target],
            rounds: 2,
            generator_threads: 1,
        };
        let bounds = Bounds { start: from, max: 1000, resolution_percent: 1 };
        let quest = Quest { objective: slo.parse().unwrap(), bounds };
        let starter = Starter::prepare(&[], crate::targets::Wishes::default()).unwrap();
        let mut documents = find(&order, &quest, &starter).unwrap();
        assert_eq!(documents[0].results.len(), documents[0].search.as_ref().unwrap().tried.len());
        documents.remove(0).search.unwrap()
    }

    #[test]
    fn it_finds_what_a_server_carries_and_why_not_more() {
        let search = found("forward_p99<=37ms", 10);
        assert_eq!(search.largest, Some(37));
        assert!(search.ended.contains("38 fails: forward_p99 is 38ms"), "{}", search.ended);

        let broken_off = found("forward_p99<1s", 20);
        assert_eq!(broken_off.largest, Some(59));
        assert_eq!(broken_off.ended, "60 fails: subscribers did not connect");

        let invalid = found("forward_p99<1s", 500);
        assert_eq!((invalid.largest, invalid.tried), (None, vec![(500, None)]));
        assert!(invalid.ended.contains("INVALID at 500: the generator is at its end"));
    }
}
