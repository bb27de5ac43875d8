//! Who takes part in a round.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use crate::impair::Group;
use crate::traffic::Recipe;

/// Media flows for this long before it is measured, or as long as it is measured if that is shorter.
const WARM_UP: Duration = Duration::from_secs(2);

/// All who take part.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    /// Each with a publisher and its viewers.
    pub(crate) rooms: Vec<Room>,
    /// Links that some viewers are behind.
    pub(crate) links: Vec<Arc<Group>>,
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
    /// How many watch, without a link between.
    pub(crate) viewers: u64,
    /// How many watch behind each link.
    pub(crate) linked: Vec<u64>,
}

impl Cast {
    /// One room.
    pub(crate) fn of_one_room(publishes: &[Recipe], viewers: u64, window: Duration) -> Self {
        Self::of_rooms(1, publishes, viewers, window)
    }

    /// Several rooms that are all alike.
    pub(crate) fn of_rooms(rooms: u64, publishes: &[Recipe], viewers: u64, window: Duration) -> Self {
        let room = |number| Room {
            name: format!("bench-{number}"),
            publishes: publishes.to_vec(),
            viewers,
            linked: Vec::new(),
        };
        Self {
            rooms: (1..=rooms).map(room).collect(),
            links: Vec::new(),
            warm_up: WARM_UP.min(window),
            window,
        }
    }

    /// The same, with viewers of the first room behind a link.
    pub(crate) fn with_linked(mut self, link: Arc<Group>, viewers: u64) -> Self {
        self.links.push(link);
        self.rooms[0].linked.push(viewers);
        self
    }

    /// Whether anybody gets media.
    pub(super) fn has_media(&self) -> bool {
        self.rooms.iter().any(|room| !room.publishes.is_empty() && room.viewers > 0)
    }
}
