//! WHIP and WHEP (RFC 9725) as a client: an offer goes out, an answer comes back.
#![forbid(unsafe_code)]

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{StatusCode, Url};
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
        self.runtime.block_on(async {
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

    /// Deletes a session. A server that has already forgotten it is no failure of ours.
    pub(crate) fn delete(&self, session: &Url) {
        let _ = self.runtime.block_on(async { self.http.delete(session.clone()).send().await });
    }
}
