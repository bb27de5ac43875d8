//! The table of settings: one row is one setting, and everything about it. The struct [`Config`], the
//! keys of the file, the environment variables, `sluice config explain` and the list in `--help` all
//! come from these rows.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use dataplane::shard::backend::IoChoice;

use super::parse;
use super::parse::{Auth, LogFormat, Origins, SecondPublisher, Tls, WithoutPublisher};
use super::{Fault, Source, Text};

/// One row of the table, without its type.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key in the file. The environment variable is `SLUICE_` and this in capitals.
    pub name: &'static str,
    /// The text of its default.
    pub default: &'static str,
    /// What is allowed.
    pub allowed: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Whether its value must not be shown.
    pub is_secret: bool,
}

impl Setting {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("SLUICE_{}", self.name.to_ascii_uppercase())
    }
}

macro_rules! settings {
    ($($(#[doc = $help:literal])+ $name:ident: $type:ty = $default:literal, $parser:expr, $allowed:literal $(, $secret:ident)?;)*) => {
        /// Every setting, checked.
        #[derive(Clone, Debug)]
        pub struct Config { $($(#[doc = $help])+ pub $name: $type,)* }

        /// Every row, in the order in which people read them.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            name: stringify!($name),
            default: $default,
            allowed: $allowed,
            help: concat!($($help),+),
            is_secret: settings!(@secret $($secret)?),
        },)*];

        /// Every setting that could be parsed.
        #[derive(Debug)]
        pub(super) struct Draft { $(pub(super) $name: Option<$type>,)* }

        impl Draft {
            /// Parses the text of every setting; gives what could be parsed, and every fault of the rest.
            pub(super) fn parse(texts: &[Text]) -> (Self, Vec<Fault>) {
                let mut faults = Vec::new();
                let mut rows = SETTINGS.iter().zip(texts);
                $(let $name = {
                    let (setting, text) = rows.next().expect("there is one text for each row");
                    let parsed: Result<$type, String> = $parser(&text.value);
                    parsed.map_err(|why| faults.push(Fault::of_setting(setting, text, &why))).ok()
                };)*
                (Self { $($name,)* }, faults)
            }

            /// The settings, if every one could be parsed.
            pub(super) fn complete(self) -> Option<Config> {
                Some(Config { $($name: self.$name?,)* })
            }
        }
    };
    (@secret) => { false };
    (@secret secret) => { true };
}

settings! {
    /// Where the pages and the API are served.
    http_listen: SocketAddr = "127.0.0.1:8080", parse::socket_address, "address:port, such as 0.0.0.0:8080 or [::]:8080";
    /// Addresses that media is received on, one socket each and per shard.
    rtc_listen: Vec<IpAddr> = "0.0.0.0,::", parse::listen_addresses, "IP addresses, separated by commas";
    /// UDP port of the first shard; shard i has this port plus i. 0 lets the kernel choose.
    rtc_port: u16 = "7000", parse::port, "0 to 65535";
    /// Addresses that clients are told to send media to, behind a NAT or a load balancer. Empty: those of the interfaces.
    rtc_announced: Vec<IpAddr> = "", parse::announced_addresses, "IP addresses, separated by commas";
    /// How many shards (threads that forward media) run.
    shards: Option<usize> = "auto", parse::shards, "auto (one per core that this process may use), or 1 to 256";
    /// Whether the viewers of a room are spread over the shards, so that one room can use all cores.
    room_spread: bool = "on", parse::switch, "on or off; with one shard, or more than 32, it is off";
    /// How datagrams are moved: io_uring, or epoll with recvmmsg and sendmmsg. They cost about the same.
    io: IoChoice = "auto", parse::io, "auto (io_uring where the kernel allows it, else mmsg), uring or mmsg; a named backend that cannot run is an error";
    /// Whether io_uring sends trains of 32 packets or more without a copy. Switched off by itself on a socket where the kernel copies all the same.
    io_zero_copy: bool = "off", parse::switch, "on or off; needs io_uring";
    /// Where files are kept: the self-signed certificate.
    data_dir: PathBuf = "sluice-data", parse::path, "a directory";
    /// Who may use the API. Needed as soon as http_listen is not loopback.
    auth: Auth = "", parse::auth, "open (everyone), or token:<secret> with a secret of at least 16 characters that clients send as bearer token", secret;
    /// HTTPS. A browser opens the camera only over HTTPS or on localhost.
    tls: Tls = "off", parse::tls, "off, self-signed or files";
    /// Certificate chain, PEM, for tls = files.
    tls_certificate: Option<PathBuf> = "", parse::optional_path, "a file";
    /// Private key, PEM, for tls = files.
    tls_key: Option<PathBuf> = "", parse::optional_path, "a file";
    /// Where /metrics is served while http_listen is not loopback. It asks for no token.
    metrics_listen: SocketAddr = "127.0.0.1:9090", parse::socket_address, "address:port";
    /// How the log and the messages of a start are written: for people, or one JSON object a line for machines.
    log_format: LogFormat = "text", parse::log_format, "text or json";
    /// Web origins that may use the API from a browser.
    cors_origins: Origins = "*", parse::origins, "*, or origins such as https://example.org, separated by commas";
    /// What happens when someone publishes to a room that has a publisher.
    second_publisher: SecondPublisher = "reject", parse::second_publisher, "reject (409) or takeover (the first one is closed)";
    /// What happens when someone watches a room that has no publisher.
    whep_without_publisher: WithoutPublisher = "wait", parse::without_publisher, "wait (accepted, the picture follows) or refuse (409 with Retry-After)";
    /// Seconds that an empty room is kept.
    room_linger_seconds: usize = "60", parse::number::<0, 86_400>, "0 to 86400";
    /// Publishers of this server.
    publishers_max: usize = "1000", parse::number::<1, 1_000_000>, "1 to 1000000";
    /// Subscribers of this server.
    subscribers_max: usize = "10000", parse::number::<1, 1_000_000>, "1 to 1000000";
    /// Subscribers of one room.
    subscribers_per_room_max: usize = "5000", parse::number::<1, 1_000_000>, "1 to 1000000";
    /// Requests to the API per second and address (IPv6: per /64), on average.
    rate_limit_per_second: usize = "10", parse::number::<1, 1_000_000>, "1 to 1000000";
    /// Requests to the API from one address in a burst.
    rate_limit_burst: usize = "60", parse::number::<1, 1_000_000>, "1 to 1000000";
    /// Addresses without rate limit, such as a reverse proxy that has its own.
    rate_limit_exempt: Vec<IpAddr> = "127.0.0.1,::1", parse::addresses, "IP addresses, separated by commas";
}

/// The text of every setting where nobody said anything.
pub(super) fn defaults() -> Vec<Text> {
    SETTINGS.iter().map(|row| Text { value: row.default.to_owned(), source: Source::Default }).collect()
}
