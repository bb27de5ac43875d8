//! Whether the ports of media and of HTTP can be had.
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::net::SocketAddr;

use crate::doctor::finding::{Finding, Verdict};

/// What came of binding one port on all its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It is free.
    Free,
    /// It is not to be had: the kind of the error, and its text.
    Refused(ErrorKind, String),
}

/// The UDP ports of all shards, in order. `is_running` says that a Sluice with these settings runs.
pub fn media(ports: &[(u16, Bound)], is_running: bool) -> Finding {
    let all = range(ports.iter().map(|(port, _)| *port));
    let wrong = ports.iter().find_map(|(port, bound)| match bound {
        Bound::Free => None,
        Bound::Refused(kind, text) => Some((*port, *kind, text)),
    });
    match wrong {
        None => Finding::ok("udp ports", format!("{all} free")),
        Some((_, ErrorKind::AddrInUse, _)) if is_running => {
            Finding::ok("udp ports", format!("{all}: in use, and a Sluice answers on the HTTP port"))
        }
        Some((port, kind, text)) => {
            let remedy = match kind {
                ErrorKind::AddrInUse => {
                    format!(
                        "ss -lunp 'sport = :{port}' names the program that has it: stop it, or set SLUICE_RTC_PORT"
                    )
                }
                ErrorKind::AddrNotAvailable => {
                    "ip -brief address lists those there are: set SLUICE_RTC_LISTEN".to_owned()
                }
                ErrorKind::PermissionDenied => {
                    "SLUICE_RTC_PORT=7000: ports below 1024 are reserved".to_owned()
                }
                _ => "set SLUICE_RTC_LISTEN and SLUICE_RTC_PORT".to_owned(),
            };
            Finding::new(Verdict::Fail, "udp ports", text).wanted(format!("{all} free")).remedy(remedy)
        }
    }
}

/// The TCP port of a listener, named by `setting`.
pub fn http(setting: &str, address: SocketAddr, bound: &Bound, is_running: bool) -> Finding {
    let check = if setting == "http_listen" { "http port" } else { "metrics port" };
    let variable = format!("SLUICE_{}", setting.to_ascii_uppercase());
    match bound {
        Bound::Free => Finding::ok(check, format!("{address} free")),
        Bound::Refused(ErrorKind::AddrInUse, _) if is_running => {
            Finding::ok(check, format!("{address}: a Sluice answers there"))
        }
        Bound::Refused(kind, text) => {
            let port = address.port();
            let remedy = match kind {
                ErrorKind::AddrInUse => {
                    format!(
                        "ss -ltnp 'sport = :{port}' names the program that has it: stop it, or set {variable}"
                    )
                }
                ErrorKind::AddrNotAvailable => {
                    format!("ip -brief address lists those there are: set {variable}")
                }
                ErrorKind::PermissionDenied => {
                    format!(
                        "setcap cap_net_bind_service=+ep $(command -v sluice), or set {variable} to a port above 1023"
                    )
                }
                _ => format!("set {variable}"),
            };
            Finding::new(Verdict::Fail, check, text).wanted(format!("{address} free")).remedy(remedy)
        }
    }
}

/// `7000-7003`, or `7000`.
pub fn range(ports: impl Iterator<Item = u16>) -> String {
    let ports: Vec<u16> = ports.collect();
    match (ports.first(), ports.last()) {
        (Some(first), Some(last)) if first != last => format!("{first}-{last}"),
        (Some(first), _) => first.to_string(),
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::doctor::checks::testing::check;
    use Verdict::{Fail, Ok};

    fn refused(kind: ErrorKind) -> Bound {
        Bound::Refused(kind, "cannot listen on UDP 0.0.0.0:7001".to_owned())
    }

    #[test]
    fn a_taken_port_is_a_failure_unless_a_sluice_has_it() {
        let ports = |second| [(7000, Bound::Free), (7001, second)];
        let free = media(&ports(Bound::Free), false);
        check(&free, Ok, "");
        assert_eq!(free.found, "7000-7001 free");
        check(&media(&ports(refused(ErrorKind::AddrInUse)), false), Fail, "sport = :7001");
        check(&media(&ports(refused(ErrorKind::AddrInUse)), true), Ok, "");
        check(&media(&ports(refused(ErrorKind::AddrNotAvailable)), true), Fail, "SLUICE_RTC_LISTEN");
        check(&media(&ports(refused(ErrorKind::PermissionDenied)), false), Fail, "SLUICE_RTC_PORT");
    }

    #[test]
    fn a_listener_that_cannot_be_had_names_its_setting() {
        let address = "127.0.0.1:80".parse().unwrap();
        check(&http("http_listen", address, &Bound::Free, false), Ok, "");
        check(&http("http_listen", address, &refused(ErrorKind::AddrInUse), true), Ok, "");
        check(&http("http_listen", address, &refused(ErrorKind::AddrInUse), false), Fail, "sport = :80");
        check(&http("http_listen", address, &refused(ErrorKind::PermissionDenied), false), Fail, "setcap");
        check(
            &http("metrics_listen", address, &refused(ErrorKind::AddrNotAvailable), false),
            Fail,
            "SLUICE_METRICS_LISTEN",
        );
    }
}
