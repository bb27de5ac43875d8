//! What comes by HTTP: offers and trickle fragments.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;

use controlplane::api::fragment::{self, ufrag_of_offer};
use controlplane::limits::{CANDIDATES_PER_SESSION_MAX, FRAGMENT_BYTES_MAX, OFFER_BYTES_MAX};
use dataplane::id::ShardId;
use dataplane::limits::{ENCODINGS_PER_TRACK_MAX, SECTIONS_PER_OFFER_MAX};
use dataplane::transport::description::SectionRole;
use dataplane::transport::negotiate::{
    AnswerSettings, Answered, NegotiateError, Negotiator, PeerRole, shard_of_ufrag,
};

const SHARD: ShardId = ShardId(3);
/// An error is shown to a person.
const ERROR_LEN_MAX: usize = 4096;

/// Offers of WHIP and WHEP, as the control plane has them answered: one that is taken gets an answer of plain
/// lines with a section for each of its own, and one that is not gets a reason.
pub fn whip_offer(bytes: &[u8]) {
    static NEGOTIATOR: OnceLock<Negotiator> = OnceLock::new();
    let Ok(offer) = std::str::from_utf8(bytes) else { return };
    if offer.len() > OFFER_BYTES_MAX {
        return;
    }
    if let Some(ufrag) = ufrag_of_offer(offer) {
        assert!(offer.contains(ufrag) && !ufrag.contains('\n'));
    }
    let now = Instant::now();
    let negotiator = NEGOTIATOR.get_or_init(|| Negotiator::new(now).expect("cryptography comes up"));
    let candidates: [SocketAddr; 2] = [([203, 0, 113, 7], 7003).into(), ([203, 0, 113, 8], 7003).into()];
    for role in [PeerRole::Publisher, PeerRole::Subscriber] {
        let settings = AnswerSettings { role, shard: SHARD, candidates: &candidates };
        match negotiator.answer(offer, &settings, now) {
            Ok(answered) => check_answer(offer, role, &answered),
            Err(error) => check_error(&error),
        }
    }
}

fn check_answer(offer: &str, role: PeerRole, answered: &Answered) {
    let Answered { sdp, transport } = answered;
    let count = |text: &str, start| text.lines().filter(|line| line.starts_with(start)).count();
    let sections = &transport.description().sections;
    assert!((1..=SECTIONS_PER_OFFER_MAX).contains(&sections.len()));
    assert_eq!(sections.len(), count(offer, "m="), "no section is left out");
    assert_eq!(sections.len(), count(sdp, "m="));
    assert!(sdp.starts_with("v=0\r\n") && sdp.ends_with("\r\n"));
    for line in sdp.split_terminator("\r\n") {
        let is_plain = line.len() > 2 && line.as_bytes()[1] == b'=' && !line.contains(['\r', '\n', '\0']);
        assert!(is_plain, "{line:?}");
    }
    assert_eq!(count(sdp, "a=ice-lite"), 1);
    assert_eq!(count(sdp, "a=candidate:"), 2);
    assert_eq!(shard_of_ufrag(transport.local_ufrag().as_bytes()), Some(SHARD));
    for section in sections {
        assert!(!section.formats.is_empty());
        match (&section.role, role) {
            (SectionRole::Ingress { rids, .. }, PeerRole::Publisher) => {
                assert!(rids.len() <= ENCODINGS_PER_TRACK_MAX);
            }
            (SectionRole::Egress { ssrc, rtx_ssrc }, PeerRole::Subscriber) => {
                assert_ne!(Some(*ssrc), *rtx_ssrc);
            }
            other => panic!("media flows the wrong way: {other:?}"),
        }
    }
    assert!(!transport.is_connected() && transport.paths().is_empty());
}

fn check_error(error: &NegotiateError) {
    let text = error.to_string();
    assert!((1..=ERROR_LEN_MAX).contains(&text.len()), "{} bytes of {text:.200}", text.len());
    assert_ne!(
        *error,
        NegotiateError::Malformed("the offer contradicts itself".to_owned()),
        "negotiation panicked"
    );
}

/// Trickle fragments: what is taken has bounds, what is refused has a short reason, and line ends do not
/// matter.
pub fn sdpfrag(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.len() > FRAGMENT_BYTES_MAX {
        return;
    }
    let parsed = fragment::parse(text);
    match &parsed {
        Ok(fragment) => {
            let lines = text.lines().filter(|line| line.starts_with("a=candidate:")).count();
            assert!(fragment.candidate_count == lines && lines <= CANDIDATES_PER_SESSION_MAX);
            assert!(fragment.ufrag.as_ref().is_none_or(|ufrag| (4..=256).contains(&ufrag.len())));
            assert!(!fragment.is_restart(fragment.ufrag.as_deref()));
        }
        Err(reason) => assert!((1..=ERROR_LEN_MAX).contains(&reason.len()), "{reason}"),
    }
    let other_ends: String = text.lines().flat_map(|line| [line.trim_end(), "\r\n\r\n"]).collect();
    assert_eq!(fragment::parse(&other_ends), parsed);
}
