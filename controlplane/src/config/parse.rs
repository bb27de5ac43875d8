//! Turns the text of a setting into its type. An error says what is wrong with the text, no more: the
//! name, the value and what is allowed are added by the caller.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use dataplane::shard::backend::IoChoice;

use crate::limits::{TOKEN_LEN_MAX, TOKEN_LEN_MIN};

/// A value that must not reach a log or a page: it has no way to be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for comparing.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who may use the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Nothing was said: everyone, and therefore on loopback only.
    Unset,
    /// Everyone, on purpose.
    Open,
    /// Whoever shows this bearer token.
    Token(Secret),
}

/// Whom the log is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// People.
    Text,
    /// Machines: one JSON object a line.
    Json,
}

/// How HTTP is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// With a certificate that is made at the first start and kept in the data directory.
    SelfSigned,
    /// With `tls_certificate` and `tls_key`.
    Files,
}

/// What happens to a second publisher of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondPublisher {
    /// It gets 409.
    Reject,
    /// The first one is closed.
    Takeover,
}

/// What happens to a viewer of a room that nobody publishes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutPublisher {
    /// It is accepted and waits.
    Wait,
    /// It gets 409 with Retry-After (WHEP, section 4.3.8).
    Refuse,
}

/// Which web origins may use the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every origin. There are no cookies, so this gives nothing away.
    Any,
    /// These only.
    Listed(Vec<String>),
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "not an address with a port".to_owned())
}

pub(super) fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    list(text).map(|item| item.parse().map_err(|_| format!("`{item}` is not an IP address"))).collect()
}

pub(super) fn listen_addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let addresses = addresses(text)?;
    if addresses.is_empty() { Err("at least one address is needed".to_owned()) } else { Ok(addresses) }
}

pub(super) fn announced_addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    let addresses = addresses(text)?;
    match addresses.iter().find(|address| address.is_unspecified() || address.is_multicast()) {
        Some(address) => Err(format!("`{address}` cannot be reached by anyone")),
        None => Ok(addresses),
    }
}

pub(super) fn number<const MIN: usize, const MAX: usize>(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "not a whole number".to_owned())?;
    if (MIN..=MAX).contains(&number) { Ok(number) } else { Err("out of range".to_owned()) }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "not a port number".to_owned())
}

/// `None` is `auto`.
pub(super) fn shards(text: &str) -> Result<Option<usize>, String> {
    if text == "auto" {
        return Ok(None);
    }
    number::<1, { crate::limits::SHARDS_MAX }>(text).map(Some)
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("empty".to_owned()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn optional_path(text: &str) -> Result<Option<PathBuf>, String> {
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

pub(super) fn io(text: &str) -> Result<IoChoice, String> {
    match text {
        "auto" => Ok(IoChoice::Auto),
        "uring" => Ok(IoChoice::Uring),
        "mmsg" => Ok(IoChoice::Mmsg),
        _ => Err("unknown backend".to_owned()),
    }
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("neither on nor off".to_owned()),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("unknown format".to_owned()),
    }
}

pub(super) fn auth(text: &str) -> Result<Auth, String> {
    match text.split_once(':') {
        None if text.is_empty() => Ok(Auth::Unset),
        None if text == "open" => Ok(Auth::Open),
        Some(("token", secret)) => {
            let is_fit = (TOKEN_LEN_MIN..=TOKEN_LEN_MAX).contains(&secret.len())
                && secret.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_fit {
                return Err(format!("the token needs at least {TOKEN_LEN_MIN} printable characters"));
            }
            Ok(Auth::Token(Secret::new(secret)))
        }
        _ => Err("unknown kind of authentication".to_owned()),
    }
}

pub(super) fn tls(text: &str) -> Result<Tls, String> {
    match text {
        "off" => Ok(Tls::Off),
        "self-signed" => Ok(Tls::SelfSigned),
        "files" => Ok(Tls::Files),
        _ => Err("unknown mode".to_owned()),
    }
}

pub(super) fn second_publisher(text: &str) -> Result<SecondPublisher, String> {
    match text {
        "reject" => Ok(SecondPublisher::Reject),
        "takeover" => Ok(SecondPublisher::Takeover),
        _ => Err("unknown policy".to_owned()),
    }
}

pub(super) fn without_publisher(text: &str) -> Result<WithoutPublisher, String> {
    match text {
        "wait" => Ok(WithoutPublisher::Wait),
        "refuse" => Ok(WithoutPublisher::Refuse),
        _ => Err("unknown policy".to_owned()),
    }
}

pub(super) fn origins(text: &str) -> Result<Origins, String> {
    if text == "*" {
        return Ok(Origins::Any);
    }
    let origins: Vec<String> = list(text).map(str::to_owned).collect();
    match origins.iter().find(|origin| !is_origin(origin)) {
        Some(origin) => Err(format!("`{origin}` is not an origin")),
        None => Ok(Origins::Listed(origins)),
    }
}

/// Scheme and authority, nothing after it (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    authority.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
    })
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}
