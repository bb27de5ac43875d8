//! Reads the SDP fragments of trickle ICE (RFC 8840), and the one attribute of an offer that they are
//! compared with.
//!
//! The server is ICE-lite: it answers checks and starts none (RFC 8445, section 2.5), so it learns the
//! peer's address from the checks and has nothing to do with candidates. They are read to refuse what is
//! malformed, and forgotten.
#![forbid(unsafe_code)]

use crate::limits::CANDIDATES_PER_SESSION_MAX;

/// What a fragment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// The username fragment that its candidates belong to.
    pub ufrag: Option<String>,
    /// Whether there is a password beside it.
    pub has_password: bool,
    /// How many candidates it has.
    pub candidate_count: usize,
}

impl Fragment {
    /// Whether it is an ICE restart of a session whose peer had `known` before (RFC 9725, section 4.3.3).
    pub fn is_restart(&self, known: Option<&str>) -> bool {
        self.ufrag.is_some() && self.has_password && known.is_some() && self.ufrag.as_deref() != known
    }
}

/// Reads a fragment (RFC 8840, section 9).
///
/// # Errors
///
/// With what is wrong, if it is not a fragment or has more than [`CANDIDATES_PER_SESSION_MAX`] candidates.
pub fn parse(text: &str) -> Result<Fragment, String> {
    let mut fragment = Fragment::default();
    let mut line_count = 0;
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        line_count += 1;
        let Some((kind, value)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
            return Err(format!("`{}` is not a line of SDP", shortened(line)));
        };
        match kind {
            "a" => read_attribute(&mut fragment, value)?,
            "m" => {}
            _ => return Err(format!("a fragment has no `{}` lines", shortened(kind))),
        }
    }
    if line_count == 0 {
        return Err("the fragment is empty".to_owned());
    }
    if fragment.candidate_count > CANDIDATES_PER_SESSION_MAX {
        return Err(format!("more than {CANDIDATES_PER_SESSION_MAX} candidates"));
    }
    Ok(fragment)
}

fn read_attribute(fragment: &mut Fragment, attribute: &str) -> Result<(), String> {
    let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
    match name {
        "ice-ufrag" if is_ice_chars(value, 4) => fragment.ufrag = Some(value.to_owned()),
        "ice-pwd" if is_ice_chars(value, 22) => fragment.has_password = true,
        "ice-ufrag" | "ice-pwd" => return Err(format!("{name} is malformed")),
        "candidate" => {
            check_candidate(value)?;
            fragment.candidate_count += 1;
        }
        _ => {}
    }
    Ok(())
}

/// RFC 8839, section 5.1: the form only. An unknown transport or a name for an address is well formed,
/// and nothing is done with it (RFC 9725, section 4.3.2).
fn check_candidate(value: &str) -> Result<(), String> {
    let wrong = || format!("`{}` is not a candidate", shortened(value));
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    let mut next = || words.next().ok_or_else(wrong);
    let foundation = next()?;
    let component: u16 = next()?.parse().map_err(|_| wrong())?;
    next()?;
    let _priority: u32 = next()?.parse().map_err(|_| wrong())?;
    next()?;
    let _port: u16 = next()?.parse().map_err(|_| wrong())?;
    let is_typed = next()? == "typ";
    next()?;
    let is_fit = is_ice_chars(foundation, 1) && foundation.len() <= 32 && (1..=256).contains(&component);
    if is_fit && is_typed { Ok(()) } else { Err(wrong()) }
}

/// RFC 8839, section 5.4: letters, digits, `+` and `/`; some clients use `-` and `_` too.
fn is_ice_chars(text: &str, len_min: usize) -> bool {
    let is_ice = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    (len_min..=256).contains(&text.len()) && text.bytes().all(is_ice)
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The first username fragment of an offer.
pub fn ufrag_of_offer(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.trim_end().strip_prefix("a=ice-ufrag:"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CANDIDATE: &str = "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0";

    fn credentials(ufrag: &str) -> String {
        format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n")
    }

    // W17: the example of RFC 9725, section 4.3.2
    #[test]
    fn a_trickle_fragment_is_read() {
        let text = format!(
            "{}m=audio 9 RTP/AVP 0\r\na=mid:0\r\n{CANDIDATE}\r\n{CANDIDATE}\r\na=end-of-candidates\r\n",
            credentials("EsAw")
        );
        let fragment = parse(&text).unwrap();
        assert_eq!((fragment.ufrag.as_deref(), fragment.candidate_count), (Some("EsAw"), 2));
    }

    // W20
    #[test]
    fn candidates_that_cannot_be_used_are_well_formed() {
        for address in ["5b9dd2f1-8f1a-4b0e-a8b1-9d0d3a3e4b2c.local", "2001:db8::1", "256.256.256.256"] {
            let line = format!("a=candidate:1 1 tcp 1 {address} 9 typ host tcptype active");
            assert_eq!(parse(&line).unwrap().candidate_count, 1, "{address}");
        }
    }

    // W11
    #[test]
    fn what_is_no_fragment_is_refused() {
        let wrong = [
            "",
            "\r\n",
            "hello",
            "v=0",
            "a=ice-ufrag:abc",
            "a=ice-pwd:short",
            "a=candidate:",
            "a=candidate:1 1 udp 1 192.0.2.1 9",
            "a=candidate:1 1 udp 1 192.0.2.1 70000 typ host",
            "a=candidate:1 1 udp 4294967296 192.0.2.1 9 typ host",
            "a=candidate:1 0 udp 1 192.0.2.1 9 typ host",
            "a=candidate:$ 1 udp 1 192.0.2.1 9 typ host",
        ];
        for text in wrong {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    // docs/SECURITY.md H3
    #[test]
    fn a_fragment_has_64_candidates_and_not_65() {
        assert!(parse(&format!("{CANDIDATE}\r\n").repeat(64)).is_ok());
        assert!(parse(&format!("{CANDIDATE}\r\n").repeat(65)).is_err());
    }

    // W21
    #[test]
    fn new_credentials_are_a_restart_and_known_ones_are_not() {
        let fragment = parse(&credentials("EsAw")).unwrap();
        assert!(!fragment.is_restart(Some("EsAw")));
        assert!(fragment.is_restart(Some("OLDu")));
        assert!(!parse(CANDIDATE).unwrap().is_restart(Some("OLDu")));
    }

    #[test]
    fn the_ufrag_of_an_offer_is_the_first_one() {
        assert_eq!(ufrag_of_offer("v=0\r\na=ice-ufrag:abcd\r\na=ice-ufrag:efgh\r\n"), Some("abcd"));
        assert_eq!(ufrag_of_offer("v=0\r\n"), None);
    }
}
