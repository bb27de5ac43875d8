//! How a client comes in to a room of a server and goes again, whatever signalling the server speaks.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use serde_json::json;
use tokio::sync::Semaphore;

use super::clerk::Clerk;
use super::client::{Client, Part, Toolkit};
use super::janus::VideoRoom;
use super::local_ip_towards;
use super::signalling::{Accepted, Signalling};
use crate::failure::{Failure, OrFail};
use crate::impair::Group;
use crate::targets::{Entrance, Server};
use crate::traffic::RIDS;

/// Clients of one room that are between their offer and the answer to it.
const ENTERING_MAX: usize = 64;
/// Janus ends a session that is silent for a minute.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// The door of one room.
pub(crate) struct Door {
    signalling: Signalling,
    toolkit: Toolkit,
    room: Arc<Room>,
    entering: Semaphore,
}

enum Room {
    Whip {
        whip: Url,
        whep: Url,
        /// Of Sluice: where sessions are asked for layers.
        api: Option<Url>,
    },
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
    /// The door of `room` of `server`.
    pub(crate) fn open(clerk: &Clerk, server: &Server, room: &str) -> Result<Arc<Self>, Failure> {
        let signalling = Signalling::new()?;
        let ip = match server.client_ip {
            Some(ip) => ip,
            None => local_ip_towards(&server.entrance.url())?,
        };
        let room = match &server.entrance {
            Entrance::Whip { whip, whep, .. } => {
                let api = server.metrics.as_ref().and_then(|metrics| metrics.join("/api/sessions/").ok());
                Room::Whip { whip: Entrance::url_of(whip, room), whep: Entrance::url_of(whep, room), api }
            }
            Entrance::Janus { api, room: number } => {
                Room::Janus(clerk.wait_for(VideoRoom::open(&signalling, api, room, *number))?)
            }
        };
        let entering = Semaphore::new(ENTERING_MAX);
        let door = Arc::new(Self { signalling, toolkit: Toolkit::new(ip)?, room: Arc::new(room), entering });
        if matches!(*door.room, Room::Janus(_)) {
            keep_open(clerk, &door);
        }
        Ok(door)
    }

    /// The door of the same room for clients behind a link.
    pub(crate) fn behind(&self, link: &Arc<Group>) -> Arc<Self> {
        Arc::new(Self {
            signalling: self.signalling.clone(),
            toolkit: self.toolkit.behind(link),
            room: Arc::clone(&self.room),
            entering: Semaphore::new(ENTERING_MAX),
        })
    }

    /// A client that came in; it is not connected yet.
    pub(crate) async fn enter(&self, part: &Part) -> Result<(Client, Seat), Failure> {
        let _turn = self.entering.acquire().await;
        match (&*self.room, part) {
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

    /// Asks for an encoding of what a viewer is shown; 0 is the smallest.
    ///
    /// # Errors
    ///
    /// Also if the server has no way to ask that we know.
    pub(crate) async fn choose(&self, seat: &Seat, encoding: usize) -> Result<(), Failure> {
        match (&*self.room, seat) {
            (Room::Whip { api: Some(api), .. }, Seat::Resource(Some(session))) => {
                let id = session.path().rsplit('/').next().unwrap_or_default();
                let url = api.join(id).or_fail(session, "report it")?;
                let rid = RIDS.get(encoding).copied().unwrap_or_default();
                self.signalling.patch_json(&url, &json!({"rid": rid})).await
            }
            (Room::Janus(room), Seat::Handle(handle)) => {
                room.choose(&self.signalling, *handle, encoding).await
            }
            _ => Err(Failure::new(
                "this server knows no way to ask for an encoding",
                "play it with --target sluice or --target janus",
            )),
        }
    }

    /// Asks the server something by HTTP.
    pub(crate) async fn ask(&self, url: &Url) -> Result<String, Failure> {
        self.signalling.get(url).await
    }

    /// Ends a session. A server that has already forgotten it is no failure of ours.
    pub(crate) async fn leave(&self, seat: &Seat) {
        match (seat, &*self.room) {
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
            if let Room::Janus(room) = &*door.room {
                room.keep_alive(&door.signalling).await;
            }
        }
    });
}
