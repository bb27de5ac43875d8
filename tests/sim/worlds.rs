//! Both worlds, played for many seeds under the eyes of the oracle (docs/TESTING.md).

use std::time::Instant;

use dataplane::transport::negotiate::Negotiator;
use harness::seeds;
use harness::stories::sealed;

#[test]
fn the_sealed_world_keeps_its_promises() {
    let negotiator = Negotiator::new(Instant::now()).unwrap();
    seeds::run("worlds::the_sealed_world_keeps_its_promises", 40, |seed| {
        sealed::play(seed, &negotiator, None)
    });
}
