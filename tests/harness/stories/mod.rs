//! What happens in a world, from a seed: who comes and goes, what they send, what their links do.

pub mod replayed;
pub mod sealed;

use std::time::Duration;

use crate::network::Link;
use crate::world::World;

/// From this long after a link has healed on, a picture is there and moves.
pub const PICTURE_BACK: Duration = Duration::from_secs(1);
/// The longest time that a picture may stand still on a link without fault.
pub const FREEZE_MAX: Duration = Duration::from_millis(250);
/// How long after the last has left everything is free: consent, and a little.
const CLEARING: Duration = Duration::from_secs(33);

/// The links of those clients who are there.
fn links_of<C>(world: &mut World<C>, is_here: impl Fn(usize) -> bool) -> impl Iterator<Item = &mut Link> {
    world.links.iter_mut().enumerate().filter(move |(at, _)| is_here(*at)).map(|(_, link)| link)
}
