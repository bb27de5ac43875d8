//! The HTTP API of Janus, as far as its VideoRoom is needed: make a room, publish, subscribe, detach.
//!
//! All clients are handles of one session, so that one long poll fetches the events of all.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::signalling::Signalling;
use crate::failure::{Failure, OrFail};
use crate::scenario::fold;
use crate::traffic::RIDS;

/// The plugin.
const PLUGIN: &str = "janus.plugin.videoroom";
/// Publishers of one room.
const PUBLISHERS_MAX: u64 = 1000;
/// Events that are looked through for the answer to one request.
const EVENTS_MAX: usize = 1000;
/// The VideoRoom says this of a room that is there.
const ROOM_EXISTS: u64 = 427;
/// What to do when Janus refuses.
const REMEDY: &str =
    "look at the log of Janus; the URL is that of its HTTP API, such as http://HOST:8088/janus";

/// One room of a VideoRoom plugin.
#[derive(Debug)]
pub(crate) struct VideoRoom {
    session: Url,
    number: u64,
    /// The publisher that subscribers get; 0 until there is one.
    feed: AtomicU64,
    transactions: AtomicU64,
    /// Held from a request to its event: whoever polls takes the events of all.
    asking: Mutex<()>,
}

impl VideoRoom {
    /// Makes a session and, if it is not there, the room: `number`, or one that follows from `name`.
    pub(crate) async fn open(
        signalling: &Signalling,
        api: &Url,
        name: &str,
        number: Option<u64>,
    ) -> Result<Self, Failure> {
        let created = signalling.post_json(api, &json!({"janus": "create", "transaction": "create"})).await?;
        let id = id_of(&created)?;
        let session = Url::parse(&format!("{api}/{id}")).or_fail(api, REMEDY)?;
        let of_name = || name.bytes().fold(1, |hash, byte| fold(hash, byte.into())) % (1 << 31);
        let number = number.unwrap_or_else(of_name);
        let room = Self {
            session,
            number,
            feed: AtomicU64::new(0),
            transactions: AtomicU64::new(1),
            asking: Mutex::default(),
        };
        room.make(signalling).await?;
        Ok(room)
    }

    async fn make(&self, signalling: &Signalling) -> Result<(), Failure> {
        let handle = self.attach(signalling).await?;
        let body = json!({
            "request": "create", "room": self.number, "publishers": PUBLISHERS_MAX, "videocodec": "vp8",
            "bitrate": 0, "transport_wide_cc_ext": true, "notify_joining": false,
        });
        let made = self.post(signalling, Some(handle), json!({"janus": "message", "body": body})).await?;
        let data = &made["plugindata"]["data"];
        match data["error_code"].as_u64() {
            None | Some(ROOM_EXISTS) => {
                self.detach(signalling, handle).await;
                Ok(())
            }
            Some(code) => Err(Failure::new(format!("Janus makes no room: {code} {}", data["error"]), REMEDY)),
        }
    }

    /// Publishes: the SDP answer and the handle.
    pub(crate) async fn publish(
        &self,
        signalling: &Signalling,
        offer: &str,
    ) -> Result<(String, u64), Failure> {
        let handle = self.attach(signalling).await?;
        let body = json!({"request": "joinandconfigure", "ptype": "publisher", "room": self.number});
        let jsep = json!({"type": "offer", "sdp": offer});
        let event = self.ask(signalling, handle, body, Some(jsep)).await?;
        let feed = event["plugindata"]["data"]["id"].as_u64();
        self.feed.store(feed.ok_or_else(|| strange(&event))?, Ordering::Relaxed);
        Ok((sdp_of(&event)?, handle))
    }

    /// Subscribes to the publisher: its SDP offer and the handle.
    pub(crate) async fn subscribe(&self, signalling: &Signalling) -> Result<(String, u64), Failure> {
        let handle = self.attach(signalling).await?;
        let feed = self.feed.load(Ordering::Relaxed);
        let body = json!({
            "request": "join", "ptype": "subscriber", "room": self.number, "streams": [{"feed": feed}],
        });
        let event = self.ask(signalling, handle, body, None).await?;
        Ok((sdp_of(&event)?, handle))
    }

    /// Gives the answer to the offer of [`VideoRoom::subscribe`].
    pub(crate) async fn start(
        &self,
        signalling: &Signalling,
        handle: u64,
        answer: &str,
    ) -> Result<(), Failure> {
        let jsep = json!({"type": "answer", "sdp": answer});
        self.ask(signalling, handle, json!({"request": "start"}), Some(jsep)).await.map(drop)
    }

    /// Asks for an encoding of the one video that a subscriber gets; 0 is the smallest.
    pub(crate) async fn choose(
        &self,
        signalling: &Signalling,
        handle: u64,
        encoding: usize,
    ) -> Result<(), Failure> {
        // Janus counts from the encoding that the offer names last, and takes that for the smallest.
        let substream = (RIDS.len() - 1).saturating_sub(encoding);
        let body = json!({"request": "configure", "substream": substream});
        self.ask(signalling, handle, body, None).await.map(drop)
    }

    /// Tells Janus that its session is still in use: it ends those that nobody polls for a minute.
    pub(crate) async fn keep_alive(&self, signalling: &Signalling) {
        let _ = self.post(signalling, None, json!({"janus": "keepalive"})).await;
    }

    /// Ends a handle.
    pub(crate) async fn detach(&self, signalling: &Signalling, handle: u64) {
        let _ = self.post(signalling, Some(handle), json!({"janus": "detach"})).await;
    }

    async fn attach(&self, signalling: &Signalling) -> Result<u64, Failure> {
        id_of(&self.post(signalling, None, json!({"janus": "attach", "plugin": PLUGIN})).await?)
    }

    /// Sends a message that is answered by an event, and waits for that.
    async fn ask(
        &self,
        signalling: &Signalling,
        handle: u64,
        body: Value,
        jsep: Option<Value>,
    ) -> Result<Value, Failure> {
        let mut message = json!({"janus": "message", "body": body});
        if let Some(jsep) = jsep {
            message["jsep"] = jsep;
        }
        let _turn = self.asking.lock().await;
        let acknowledged = self.post(signalling, Some(handle), message).await?;
        let transaction = &acknowledged["transaction"];
        for _ in 0..EVENTS_MAX {
            let text = signalling.get(&self.session).await?;
            let event: Value = serde_json::from_str(&text).or_fail("an event of Janus", REMEDY)?;
            if &event["transaction"] != transaction {
                continue;
            }
            return match event["plugindata"]["data"]["error"].as_str() {
                Some(error) => Err(Failure::new(format!("Janus refuses: {error}"), REMEDY)),
                None => Ok(event),
            };
        }
        Err(Failure::new("Janus does not answer", REMEDY))
    }

    async fn post(
        &self,
        signalling: &Signalling,
        handle: Option<u64>,
        mut message: Value,
    ) -> Result<Value, Failure> {
        let transaction = self.transactions.fetch_add(1, Ordering::Relaxed).to_string();
        message["transaction"] = Value::String(transaction);
        let mut url = self.session.clone();
        if let Some(handle) = handle {
            url.set_path(&format!("{}/{handle}", self.session.path()));
        }
        let answer = signalling.post_json(&url, &message).await?;
        match answer["janus"].as_str() {
            Some("success" | "ack") => Ok(answer),
            _ => Err(strange(&answer)),
        }
    }
}

fn id_of(answer: &Value) -> Result<u64, Failure> {
    answer["data"]["id"].as_u64().ok_or_else(|| strange(answer))
}

fn sdp_of(event: &Value) -> Result<String, Failure> {
    event["jsep"]["sdp"].as_str().map(str::to_owned).ok_or_else(|| strange(event))
}

fn strange(answer: &Value) -> Failure {
    Failure::new(format!("Janus says {answer}"), REMEDY)
}
