//! `PATCH /api/sessions/{id}`: a viewer asks for another layer, or for a pause.
#![forbid(unsafe_code)]

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use dataplane::id::{Mid, Rid, Token};
use dataplane::media::wish::Wish;
use serde::Deserialize;

use super::App;
use super::media::{check_media_type, read_text};
use super::problem::Problem;
use crate::service::Error;
use crate::service::name::SessionId;
use crate::service::view::SessionView;

const JSON: &str = "application/json";

/// What is asked for from now on; what is left out is left to the server. The names in camel case are those of the
/// WHEP layer extension (draft-ietf-wish-whep-extensions).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerRequest {
    /// The media section that shows the track; all video, if it is left out.
    #[serde(default, alias = "mediaId")]
    mid: Option<String>,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    rid: Option<String>,
    #[serde(default, alias = "maxSpatialLayerId", alias = "spatialLayerId")]
    max_spatial_layer: Option<u8>,
    #[serde(default, alias = "maxTemporalLayerId", alias = "temporalLayerId")]
    max_temporal_layer: Option<u8>,
    #[serde(default, alias = "maxWidth")]
    max_width: Option<u16>,
    #[serde(default, alias = "maxHeight")]
    max_height: Option<u16>,
}

/// Takes the request to the shard, and answers with the session as it is then.
pub async fn request(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<SessionView>, Problem> {
    let id = SessionId::parse(&id).ok_or(Error::UnknownSession)?;
    check_media_type(request.headers(), JSON)?;
    let text = read_text(request).await?.map_err(malformed)?;
    let asked: LayerRequest = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    let wish = Wish {
        is_paused: asked.paused,
        rid: token("rid", asked.rid.as_deref())?.map(Rid),
        spatial_max: asked.max_spatial_layer,
        temporal_max: asked.max_temporal_layer,
        width_max: asked.max_width,
        height_max: asked.max_height,
    };
    let mid = token("mid", asked.mid.as_deref())?.map(Mid);
    app.service.request_layer(id, mid, wish).await?;
    Ok(Json(app.service.session_view(id).await?))
}

fn token(member: &str, text: Option<&str>) -> Result<Option<Token>, Problem> {
    let read = |text: &str| {
        let detail = format!("{member} is {text:?}; it has 1 to {} characters of ASCII", Token::LEN_MAX);
        Token::new(text.as_bytes()).ok_or_else(|| malformed(detail))
    };
    text.map(read).transpose()
}

fn malformed(detail: String) -> Problem {
    let title = "The request for layers is malformed";
    Problem::new(StatusCode::BAD_REQUEST, "malformed_layer_request", title, detail)
}
