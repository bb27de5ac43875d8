//! Plays every scenario at smoke size, so that none rots, and none gets faster by doing something else.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::ALL;
use crate::impair::World;
use crate::report::document::Verdict;
use crate::report::progress::Progress;
use crate::scenario::{Bench, Played, Point, Scenario, Size, Work};
use crate::targets::{Entrance, Running, Server};

fn play(
    scenario: &'static Scenario,
    point: &Point,
    server: Option<&Server>,
    world: Option<&World>,
) -> Played {
    let progress = Progress::silent();
    let mut bench = Bench::new(scenario, point, &progress);
    match scenario.work {
        Work::Pure(play) => play(&mut bench),
        Work::Local(play) => play(&mut bench).unwrap(),
        Work::Server { play, .. } => play(&mut bench, server.unwrap()).unwrap(),
        Work::Linked { play, .. } => play(&mut bench, server.unwrap(), world.unwrap()).unwrap(),
    }
    bench.finish()
}

fn points(scenario: &Scenario) -> Vec<Point> {
    scenario.points(Size::Smoke, &BTreeMap::new())
}

#[test]
fn a_scenario_without_sockets_computes_the_same_whenever_it_is_played() {
    for scenario in ALL {
        if let Work::Pure(_) = scenario.work {
            let mut hashes = BTreeSet::new();
            for point in points(scenario) {
                let first = play(scenario, &point, None, None);
                let second = play(scenario, &point, None, None);
                assert!(first.hash.is_some(), "{} computes nothing", scenario.name);
                assert_eq!(first.hash, second.hash, "{}", scenario.name);
                assert_eq!(first.figures.len(), scenario.figures().count(), "{}", scenario.name);
                hashes.insert(first.hash);
            }
            assert_eq!(hashes.len(), points(scenario).len(), "{}: points compute the same", scenario.name);
        }
    }
}

#[test]
fn a_scenario_with_sockets_of_its_own_gives_every_figure() {
    for scenario in ALL {
        if let Work::Local(_) = scenario.work {
            for point in points(scenario) {
                let played = play(scenario, &point, None, None);
                if played.verdict == Verdict::Invalid {
                    // A machine that refuses io_uring is told so, and the rest is played.
                    assert!(!played.reasons.is_empty(), "{}", scenario.name);
                    eprintln!("{} without some of its figures: {:?}", scenario.name, played.reasons);
                    continue;
                }
                assert_eq!(played.figures.len(), scenario.figures().count(), "{}", scenario.name);
            }
        }
    }
}

/// What a smoke run need not know: a short window may hold too few ticks to tell user from system time, and
/// nobody may have come in it.
const MAY_BE_UNKNOWN: [&str; 2] = ["cpu_user", "cpu_system"];

/// Real sockets and real time, and a server in this very process; whether the figures are good does not
/// matter on a busy machine, whether packets arrive and are what was sent does. Most of the time is waiting, so
/// all are played at once.
#[test]
fn a_scenario_with_a_server_forwards_what_was_sent() {
    let scenarios = ALL.iter().filter(|scenario| scenario.needs_server());
    std::thread::scope(|scope| {
        for scenario in scenarios {
            scope.spawn(|| match scenario.work {
                Work::Linked { .. } => match World::make() {
                    Ok(world) => world.enter(|| forwards_what_was_sent(scenario, Some(&world))).unwrap(),
                    Err(failure) => eprintln!("SKIPPED {}: {failure}", scenario.name),
                },
                _ => forwards_what_was_sent(scenario, None),
            });
        }
    });
}

fn forwards_what_was_sent(scenario: &'static Scenario, world: Option<&World>) {
    let name = scenario.name;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let running = runtime.block_on(controlplane::start::start(config(world))).unwrap();
    let base = format!("http://{}", running.http);
    let entrance =
        Entrance::whip(format!("{base}/whip/{{room}}"), format!("{base}/whep/{{room}}"), false).unwrap();
    let mut server = Server::running(&Running { entrance, pid: Some(std::process::id()) });
    server.client_ip = world.map(|world| world.address().into());
    server.metrics = Some(format!("{base}/metrics").parse().unwrap());
    for point in points(scenario) {
        let played = play(scenario, &point, Some(&server), world);
        assert!(played.figures["forwarded"] > 0.0, "{name}");
        assert_eq!(played.generator["damaged_packets"], 0.0, "{name}");
        assert!(played.verdict != Verdict::Over, "{name}: {:?}", played.reasons);
        let is_missing =
            |figure: &&str| !played.figures.contains_key(*figure) && !MAY_BE_UNKNOWN.contains(figure);
        let missing: Vec<_> = scenario.figures().map(|figure| figure.name).filter(is_missing).collect();
        assert!(missing.is_empty(), "{name}: no {missing:?}");
        assert!(!played.curves["trains"].points.is_empty(), "{name}");
    }
    drop(runtime);
}

fn config(world: Option<&World>) -> controlplane::config::Config {
    let mut config = controlplane::config::Config::defaults();
    config.http_listen = "127.0.0.1:0".parse().unwrap();
    config.rtc_listen = vec![world.map_or(Ipv4Addr::LOCALHOST, World::address).into()];
    config.rtc_port = 0;
    config.shards = Some(1);
    config
}

#[test]
fn scenarios_have_names_of_their_own_and_declare_what_they_draw() {
    let names: BTreeSet<_> = ALL.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), ALL.len());
    for scenario in ALL {
        assert!(scenario.question.ends_with('?'), "{}", scenario.name);
        assert!(
            scenario.scale().is_none_or(|scale| scenario.parameter(scale).is_some()),
            "{}",
            scenario.name
        );
        for chart in scenario.charts {
            use crate::scenario::ChartShape::{Bars, Lines, Percentiles, Shares};
            match chart.shape {
                Bars { figures, whole, by } => {
                    assert!(figures.iter().chain([&whole]).all(|figure| scenario.figure(figure).is_some()));
                    assert!(scenario.parameter(by).is_some());
                }
                Lines { figure, over } => {
                    assert!(scenario.figure(figure).is_some() && scenario.parameter(over).is_some());
                }
                Percentiles { .. } | Shares { .. } => {}
            }
        }
    }
}
