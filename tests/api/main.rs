//! The API, over real sockets: each test starts a server of its own, with real shards, on ports that the
//! kernel chooses. The ids are those of the requirements (W: RFC 9725, E: WHEP, H: threats, C: conflicts).
#![allow(clippy::unwrap_used)]

mod access;
mod layers;
mod limits;
mod live;
mod media;
mod offer;
mod server;
mod sessions;
mod shards;
mod spread;
mod state;
mod status;
mod whep;
mod whip;
