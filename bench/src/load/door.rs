//! How a client comes in to a room of a server and goes again, whatever signalling the server speaks.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::Semaphore;

use super::clerk::Clerk;
use super::client::{Client, Part, Toolkit};
use super::janus::VideoRoom;
use super::local_ip_towards;
use super::signalling::{Accepted, Signalling};
use crate::failure::Failure;
use crate::impair::Group;
use crate::targets::{Entrance, Server};

/// Clients of one room that are between their offer and the answer to it.
const ENTERING_MAX: usize = 64;
/// Janus ends a session that is silent for a minute.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// The door of one room.
pub(crate) struct Door {
    signalling: Signalling,
    toolkit: Toolkit,
    room: Room,
    entering: Semaphore,
}

enum Room {
    Whip { whip: Url, whep: Url },
    Janus(VideoRoom),
}

/// What a client that came in is known by, so that it can be sent away.
#[derive(Clone, Debug)]
pub(crate) enum Seat {
    /// The session resource of WHIP or WHEP, if there is one.
    Resource(Option<Url>),
    /// A handle of Janus.
    Handle(u64),
}

impl Door {
    /// The door of `room` of `server`, for clients behind `link` if there is one.
    pub(crate) fn open(
        clerk: &Clerk,
        server: &Server,
        room: &str,
        link: Option<&Arc<Group>>,
    ) -> Result<Arc<Self>, Failure> {
        let signalling = Signalling::new()?;
        let ip = match server.client_ip {
            Some(ip) => ip,
            None => local_ip_towards(&server.entrance.url())?,
        };
        let room = match &server.entrance {
            Entrance::Whip { whip, whep, .. } => {
                Room::Whip { whip: Entrance::url_of(whip, room), whep: Entrance::url_of(whep, room) }
            }
            Entrance::Janus { api, room: number } => {
                Room::Janus(clerk.wait_for(VideoRoom::open(&signalling, api, room, *number))?)
            }
        };
        let entering = Semaphore::new(ENTERING_MAX);
        let door = Arc::new(Self { signalling, toolkit: Toolkit::new(ip, link.cloned())?, room, entering });
        if matches!(door.room, Room::Janus(_)) {
            keep_open(clerk, &door);
        }
        Ok(door)
    }

    /// A client that came in; it is not connected yet.
    pub(crate) async fn enter(&self, part: &Part) -> Result<(Client, Seat), Failure> {
        let _turn = self.entering.acquire().await;
        match (&self.room, part) {
            (Room::Whip { whip, .. }, Part::Gives(_)) => self.knock(whip, part).await,
            (Room::Whip { whep, .. }, Part::Takes(_)) => self.knock(whep, part).await,
            (Room::Janus(room), Part::Gives(_)) => {
                let (mut client, offer) = Client::offer(&self.toolkit, part, Instant::now())?;
                let (answer, handle) = room.publish(&self.signalling, &offer).await?;
                client.accept(&answer)?;
                Ok((client, Seat::Handle(handle)))
            }
            (Room::Janus(room), Part::Takes(_)) => {
                let (offer, handle) = room.subscribe(&self.signalling).await?;
                let (client, answer) = Client::answer(&self.toolkit, part, &offer, Instant::now())?;
                room.start(&self.signalling, handle, &answer).await?;
                Ok((client, Seat::Handle(handle)))
            }
        }
    }

    /// Offers by WHIP or WHEP.
    async fn knock(&self, url: &Url, part: &Part) -> Result<(Client, Seat), Failure> {
        let (mut client, offer) = Client::offer(&self.toolkit, part, Instant::now())?;
        let Accepted { answer, session } = self.signalling.post(url, offer).await?;
        client.accept(&answer)?;
        Ok((client, Seat::Resource(session)))
    }

    /// Asks the server something by HTTP.
    pub(crate) async fn ask(&self, url: &Url) -> Result<String, Failure> {
        self.signalling.get(url).await
    }

    /// Ends a session. A server that has already forgotten it is no failure of ours.
    pub(crate) async fn leave(&self, seat: &Seat) {
        match (seat, &self.room) {
            (Seat::Resource(Some(url)), _) => self.signalling.delete(url).await,
            (Seat::Handle(handle), Room::Janus(room)) => room.detach(&self.signalling, *handle).await,
            _ => {}
        }
    }
}

fn keep_open(clerk: &Clerk, door: &Arc<Door>) {
    let door = Arc::downgrade(door);
    clerk.spawn(async move {
        loop {
            tokio::time::sleep(KEEP_ALIVE_INTERVAL).await;
            let Some(door) = door.upgrade() else { return };
            if let Room::Janus(room) = &door.room {
                room.keep_alive(&door.signalling).await;
            }
        }
    });
}
