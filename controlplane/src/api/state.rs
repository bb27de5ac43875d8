//! `GET /api/rooms`, `/api/rooms/{room}` and `/api/sessions/{id}`: what is going on.
#![forbid(unsafe_code)]

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::App;
use super::problem::Problem;
use crate::service::Error;
use crate::service::name::{RoomName, SessionId};
use crate::service::view::{RoomView, SessionView};

/// The answer of `GET /api/rooms`.
#[derive(Debug, Serialize)]
pub struct RoomList {
    rooms: Vec<RoomView>,
}

/// Every room, by name.
pub async fn rooms(State(app): State<App>) -> Json<RoomList> {
    Json(RoomList { rooms: app.service.rooms_view().await })
}

/// One room.
pub async fn room(State(app): State<App>, Path(name): Path<String>) -> Result<Json<RoomView>, Problem> {
    let name = RoomName::new(&name).ok_or_else(Problem::room_name)?;
    Ok(Json(app.service.room_view(&name).await?))
}

/// One session. Its id is a capability, and the token is asked for all the same.
pub async fn session(State(app): State<App>, Path(id): Path<String>) -> Result<Json<SessionView>, Problem> {
    let id = SessionId::parse(&id).ok_or(Error::UnknownSession)?;
    Ok(Json(app.service.session_view(id).await?))
}
