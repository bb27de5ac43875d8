//! HTTP as a client: WHIP and WHEP (RFC 9725), where an offer goes out and an answer comes back, and JSON.
#![forbid(unsafe_code)]

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::failure::{Failure, OrFail};

/// A server that has not answered by then will not.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP client that may be called from a thread without a runtime.
#[derive(Debug)]
pub(crate) struct Signalling {
    runtime: Runtime,
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .or_fail("the HTTP client could not start", "")?;
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .build()
            .or_fail("the HTTP client could not start", "")?;
        Ok(Self { runtime, http })
    }

    /// Posts an offer.
    pub(crate) fn post(&self, url: &Url, offer: String) -> Result<Accepted, Failure> {
        let remedy = "check that the server runs and that the URL is its WHIP or WHEP endpoint (http only)";
        self.wait_for(async {
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
        })
    }

    /// Gets a text.
    pub(crate) fn get(&self, url: &Url) -> Result<String, Failure> {
        self.wait_for(async {
            let response = self.http.get(url.clone()).send().await.or_fail(format!("GET {url}"), "")?;
            let status = response.status();
            let body = response.text().await.or_fail(format!("GET {url}"), "")?;
            match status.is_success() {
                true => Ok(body),
                false => Err(Failure::new(format!("GET {url}: {status}: {}", body.trim()), "")),
            }
        })
    }

    /// Posts JSON and reads JSON.
    pub(crate) fn post_json(&self, url: &Url, body: &Value) -> Result<Value, Failure> {
        let remedy = "check that the server runs and that the URL is its HTTP API";
        self.wait_for(async {
            let request = self.http.post(url.clone()).header(CONTENT_TYPE, "application/json");
            let response =
                request.body(body.to_string()).send().await.or_fail(format!("POST {url}"), remedy)?;
            let text = response.text().await.or_fail(format!("POST {url}"), remedy)?;
            serde_json::from_str(&text).or_fail(format!("the answer to POST {url}"), remedy)
        })
    }

    /// Waits for HTTP from a thread that has no runtime.
    fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Deletes a session. A server that has already forgotten it is no failure of ours.
    pub(crate) fn delete(&self, session: &Url) {
        let _ = self.wait_for(async { self.http.delete(session.clone()).send().await });
    }
}
