//! Who takes part in a round.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::traffic::Recipe;

/// Media flows for this long before it is measured, or as long as it is measured if that is shorter.
const WARM_UP: Duration = Duration::from_secs(2);

/// All who take part.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    /// Each with a publisher and its viewers.
    pub(crate) rooms: Vec<Room>,
    /// For how long media flows before it is measured.
    pub(crate) warm_up: Duration,
    /// For how long it is measured.
    pub(crate) window: Duration,
}

/// A room before the window.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// What it is called on the server.
    pub(crate) name: String,
    /// What its publisher sends, one recipe a track. Empty: there is no publisher.
    pub(crate) publishes: Vec<Recipe>,
    /// How many watch.
    pub(crate) viewers: u64,
}

impl Cast {
    /// One room.
    pub(crate) fn of_one_room(publishes: &[Recipe], viewers: u64, window: Duration) -> Self {
        Self::of_rooms(1, publishes, viewers, window)
    }

    /// Several rooms that are all alike.
    pub(crate) fn of_rooms(rooms: u64, publishes: &[Recipe], viewers: u64, window: Duration) -> Self {
        let room = |number| Room { name: format!("bench-{number}"), publishes: publishes.to_vec(), viewers };
        Self { rooms: (1..=rooms).map(room).collect(), warm_up: WARM_UP.min(window), window }
    }

    /// Whether anybody gets media.
    pub(super) fn has_media(&self) -> bool {
        self.rooms.iter().any(|room| !room.publishes.is_empty() && room.viewers > 0)
    }
}
