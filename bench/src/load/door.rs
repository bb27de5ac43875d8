//! How a client comes in to a room of a server and goes again, whatever signalling the server speaks.
#![forbid(unsafe_code)]

use std::time::Instant;

use reqwest::Url;
use str0m::media::Direction;

use super::client::{Client, Toolkit};
use super::janus::VideoRoom;
use super::local_ip_towards;
use super::signalling::{Accepted, Signalling};
use crate::failure::Failure;
use crate::targets::{Entrance, Server};

/// The door of one room.
pub(crate) struct Door {
    signalling: Signalling,
    toolkit: Toolkit,
    room: Room,
}

enum Room {
    Whip { whip: Url, whep: Url },
    Janus(VideoRoom),
}

/// What a client that came in is known by, so that it can be sent away.
#[derive(Debug)]
pub(crate) enum Seat {
    /// The session resource of WHIP or WHEP, if there is one.
    Resource(Option<Url>),
    /// A handle of Janus.
    Handle(u64),
}

impl Door {
    /// The door of `room` of `server`.
    pub(crate) fn open(server: &Server, room: &str) -> Result<Self, Failure> {
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
                Room::Janus(VideoRoom::open(&signalling, api, room, *number)?)
            }
        };
        Ok(Self { signalling, toolkit: Toolkit::new(ip)?, room })
    }

    /// A client that will send; it is not connected yet.
    pub(crate) fn publish(&self) -> Result<(Client, Seat), Failure> {
        let (mut client, offer) = Client::offer(&self.toolkit, Direction::SendOnly, Instant::now())?;
        let (answer, seat) = match &self.room {
            Room::Whip { whip, .. } => seated(self.signalling.post(whip, offer)?),
            Room::Janus(room) => {
                let (answer, handle) = room.publish(&self.signalling, &offer)?;
                (answer, Seat::Handle(handle))
            }
        };
        client.accept(&answer)?;
        Ok((client, seat))
    }

    /// A client that will receive; it is not connected yet.
    pub(crate) fn watch(&self) -> Result<(Client, Seat), Failure> {
        match &self.room {
            Room::Whip { whep, .. } => {
                let (mut client, offer) = Client::offer(&self.toolkit, Direction::RecvOnly, Instant::now())?;
                let (answer, seat) = seated(self.signalling.post(whep, offer)?);
                client.accept(&answer)?;
                Ok((client, seat))
            }
            Room::Janus(room) => {
                let (offer, handle) = room.subscribe(&self.signalling)?;
                let (client, answer) = Client::answer(&self.toolkit, &offer, Instant::now())?;
                room.start(&self.signalling, handle, &answer)?;
                Ok((client, Seat::Handle(handle)))
            }
        }
    }

    /// Ends a session. A server that has already forgotten it is no failure of ours.
    pub(crate) fn leave(&self, seat: &Seat) {
        match (seat, &self.room) {
            (Seat::Resource(Some(url)), _) => self.signalling.delete(url),
            (Seat::Handle(handle), Room::Janus(room)) => room.detach(&self.signalling, *handle),
            _ => {}
        }
    }
}

fn seated(accepted: Accepted) -> (String, Seat) {
    (accepted.answer, Seat::Resource(accepted.session))
}
