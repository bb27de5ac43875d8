//! A server in this process, and a client for it.

use controlplane::config::Config;
use controlplane::shards::StartShard;
use controlplane::start::{Running, start_with};
use dataplane::shard::ShardHandle;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

use crate::offer::Offer;

pub struct Server {
    pub running: Running,
    client: Client,
}

impl Server {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_shards(change, ShardHandle::start).await
    }

    pub async fn with_shards(change: impl FnOnce(&mut Config), start_shard: StartShard) -> Self {
        let mut config = Config::defaults();
        config.http_listen = "127.0.0.1:0".parse().unwrap();
        config.rtc_listen = vec!["127.0.0.1".parse().unwrap()];
        config.rtc_port = 0;
        config.shards = Some(1);
        change(&mut config);
        let running = start_with(config, start_shard).await.unwrap();
        Self { running, client: Client::new() }
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("http://{}{path}", self.running.http))
    }

    pub async fn send(&self, method: &str, path: &str) -> Response {
        self.request(method, path).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, offer: impl Into<String>) -> Response {
        let request = self.request("POST", path).header("content-type", "application/sdp");
        request.body(offer.into()).send().await.unwrap()
    }

    pub async fn patch(&self, path: &str, if_match: Option<&str>, fragment: &str) -> Response {
        let mut request =
            self.request("PATCH", path).header("content-type", "application/trickle-ice-sdpfrag");
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        request.body(fragment.to_owned()).send().await.unwrap()
    }

    /// Publishes and gives the session URL.
    pub async fn publish(&self, room: &str) -> String {
        let response = self.post(&format!("/whip/{room}"), Offer::publisher().to_sdp()).await;
        assert_eq!(response.status(), 201);
        header(&response, "location").to_owned()
    }

    /// Watches and gives the session URL.
    pub async fn watch(&self, room: &str) -> String {
        let response = self.post(&format!("/whep/{room}"), Offer::subscriber().to_sdp()).await;
        assert_eq!(response.status(), 201);
        header(&response, "location").to_owned()
    }

    pub async fn stop(self) {
        self.running.shutdown(|_| {}).await;
    }
}

#[track_caller]
pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}

/// Asserts a problem of this status and code (RFC 9457, C6) and gives its body.
#[track_caller]
pub fn problem(response: Response, status: u16, code: &str) -> impl Future<Output = Value> {
    assert_eq!(response.status(), status);
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    let code = code.to_owned();
    async move {
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(body["code"], code.as_str());
        assert_eq!(body["error"], body["code"]);
        assert_eq!(body["message"], body["detail"]);
        assert_eq!(body["status"], status);
        for member in ["type", "title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}");
        }
        body
    }
}
