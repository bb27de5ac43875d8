//! How clients come in to a server: where its signalling is reached and which way it speaks.
#![forbid(unsafe_code)]

use std::fmt;

use reqwest::Url;

/// Stands for the name of the room in a URL.
const ROOM_MARK: &str = "{room}";

/// Where the signalling of a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// WHIP and WHEP; the texts are URLs that may hold `{room}`.
    Whip {
        whip: String,
        whep: String,
        /// Whether subscribers are refused while there is no publisher.
        is_publisher_first: bool,
    },
    /// The HTTP API of Janus, for its VideoRoom.
    Janus {
        api: Url,
        /// Where the room is given. Otherwise one is made for each name.
        room: Option<u64>,
    },
}

impl Entrance {
    /// By WHIP and WHEP.
    ///
    /// # Errors
    ///
    /// If one is not a URL.
    pub(crate) fn whip(whip: String, whep: String, is_publisher_first: bool) -> Result<Self, String> {
        parse(&whip, "a")?;
        parse(&whep, "a")?;
        Ok(Self::Whip { whip, whep, is_publisher_first })
    }

    /// By the HTTP API of Janus.
    ///
    /// # Errors
    ///
    /// If it is not a URL.
    pub(crate) fn janus(api: String, room: Option<u64>) -> Result<Self, String> {
        Ok(Self::Janus { api: parse(api.trim_end_matches('/'), "")?, room })
    }

    /// Some URL of it, to find the way to the server.
    pub(crate) fn url(&self) -> Url {
        match self {
            Self::Whip { whep, .. } => Self::url_of(whep, "a"),
            Self::Janus { api, .. } => api.clone(),
        }
    }

    /// The URL of a room: `text` is one of those in [`Entrance::Whip`].
    pub(crate) fn url_of(text: &str, room: &str) -> Url {
        parse(text, room).expect("it was parsed with a room before")
    }

    /// Whether a publisher has to be there before subscribers come.
    pub(crate) fn is_publisher_first(&self) -> bool {
        match self {
            Self::Whip { is_publisher_first, .. } => *is_publisher_first,
            // A subscriber of a VideoRoom subscribes to a publisher, not to the room.
            Self::Janus { .. } => true,
        }
    }
}

fn parse(text: &str, room: &str) -> Result<Url, String> {
    let url = Url::parse(&text.replace(ROOM_MARK, room));
    url.map_err(|error| format!("{text:?} is not a URL: {error}"))
}

impl fmt::Display for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url();
        if matches!(self, Self::Janus { .. }) {
            write!(f, "janus ")?;
        }
        write!(f, "{}", url.host_str().unwrap_or_default())?;
        url.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
