//! HTTP as a client: WHIP and WHEP (RFC 9725), where an offer goes out and an answer comes back, and JSON.
#![forbid(unsafe_code)]

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::clerk::Clerk;
use crate::failure::{Failure, OrFail};

/// A server that has not answered by then will not.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP client.
#[derive(Clone, Debug)]
pub(crate) struct Signalling {
    http: reqwest::Client,
}

/// An accepted offer.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The SDP answer.
    pub(crate) answer: String,
    /// Where the session may be deleted, if the server said so.
    pub(crate) session: Option<Url>,
}

impl Signalling {
    /// Makes the client.
    pub(crate) fn new() -> Result<Self, Failure> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build();
        Ok(Self { http: http.or_fail("the HTTP client could not start", "")? })
    }

    /// Posts an offer.
    pub(crate) async fn post(&self, url: &Url, offer: String) -> Result<Accepted, Failure> {
        let remedy = "check that the server runs and that the URL is its WHIP or WHEP endpoint (http only)";
        let request = self.http.post(url.clone()).header(CONTENT_TYPE, "application/sdp").body(offer);
        let response = request.send().await.or_fail(format!("POST {url}"), remedy)?;
        let status = response.status();
        let session = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| url.join(location).ok());
        let body = response.text().await.or_fail(format!("POST {url}"), remedy)?;
        match status {
            StatusCode::CREATED | StatusCode::OK => Ok(Accepted { answer: body, session }),
            _ => Err(Failure::new(format!("POST {url}: {status}: {}", body.trim()), remedy)),
        }
    }

    /// Gets a text.
    pub(crate) async fn get(&self, url: &Url) -> Result<String, Failure> {
        let response = self.http.get(url.clone()).send().await.or_fail(format!("GET {url}"), "")?;
        let status = response.status();
        let body = response.text().await.or_fail(format!("GET {url}"), "")?;
        match status.is_success() {
            true => Ok(body),
            false => Err(Failure::new(format!("GET {url}: {status}: {}", body.trim()), "")),
        }
    }

    /// Posts JSON and reads JSON.
    pub(crate) async fn post_json(&self, url: &Url, body: &Value) -> Result<Value, Failure> {
        let remedy = "check that the server runs and that the URL is its HTTP API";
        let request = self.http.post(url.clone()).header(CONTENT_TYPE, "application/json");
        let response = request.body(body.to_string()).send().await.or_fail(format!("POST {url}"), remedy)?;
        let text = response.text().await.or_fail(format!("POST {url}"), remedy)?;
        serde_json::from_str(&text).or_fail(format!("the answer to POST {url}"), remedy)
    }

    /// Changes something by JSON.
    pub(crate) async fn patch_json(&self, url: &Url, body: &Value) -> Result<(), Failure> {
        let request = self.http.patch(url.clone()).header(CONTENT_TYPE, "application/json");
        let response = request.body(body.to_string()).send().await.or_fail(format!("PATCH {url}"), "")?;
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        match status.is_success() {
            true => Ok(()),
            false => Err(Failure::new(format!("PATCH {url}: {status}: {}", text.trim()), "")),
        }
    }

    /// Deletes a session. A server that has already forgotten it is no failure of ours.
    pub(crate) async fn delete(&self, session: &Url) {
        let _ = self.http.delete(session.clone()).send().await;
    }
}

/// Gets a text, and waits for it.
pub(crate) fn fetch(url: &Url) -> Result<String, Failure> {
    Clerk::start()?.wait_for(Signalling::new()?.get(url))
}
