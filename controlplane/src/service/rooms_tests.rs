#![allow(clippy::unwrap_used)]
use super::*;

const POLICY: Policy = Policy {
    second_publisher: SecondPublisher::Reject,
    without_publisher: WithoutPublisher::Wait,
    publishers_max: 100,
    subscribers_max: 100,
    subscribers_per_room_max: 100,
    pending_max: 100,
    linger: Duration::from_secs(60),
};
const SHARD: ShardId = ShardId(3);

struct Case {
    rooms: Rooms,
    now: Instant,
    next: u8,
    viewer_shards: Vec<ShardId>,
}

impl Case {
    fn new(policy: Policy) -> Self {
        Self { rooms: Rooms::new(policy), now: Instant::now(), next: 1, viewer_shards: Vec::new() }
    }

    fn admit(&mut self, room: &str, role: PeerRole, address: &str) -> Result<SessionId, RoomError> {
        let id = SessionId::new([self.next; 16]);
        self.next += 1;
        let admission = Admission {
            id,
            room: RoomName::new(room).unwrap(),
            role,
            address: address.parse().unwrap(),
            new_shard: SHARD,
            viewer_shards: self.viewer_shards.clone(),
            etag: "tag".to_owned(),
            remote_ufrag: None,
        };
        self.rooms.admit(admission, self.now).map(|_| id)
    }

    fn publish(&mut self, room: &str) -> Result<SessionId, RoomError> {
        self.admit(room, PeerRole::Publisher, "127.0.0.1")
    }

    fn watch(&mut self, room: &str) -> Result<SessionId, RoomError> {
        self.admit(room, PeerRole::Subscriber, "127.0.0.1")
    }

    fn transport(&self, id: SessionId) -> TransportId {
        self.rooms.session(id).unwrap().transport
    }

    fn event(&mut self, event: Event) -> Option<(SessionId, Session, CloseReason)> {
        self.rooms.handle_event(&event, self.now)
    }
}

fn video(codecs: &[Codec]) -> Wanted {
    Wanted { kind: MediaKind::Video, codecs: codecs.to_vec() }
}

fn audio() -> Wanted {
    Wanted { kind: MediaKind::Audio, codecs: vec![Codec::Opus] }
}

fn name(room: &str) -> RoomName {
    RoomName::new(room).unwrap()
}

// S4-03, C11
#[test]
fn a_second_publisher_is_rejected_until_the_first_has_left() {
    let mut case = Case::new(POLICY);
    let first = case.publish("a").unwrap();
    assert_eq!(case.publish("a").unwrap_err(), RoomError::PublisherPresent(name("a")));
    assert!(case.publish("b").is_ok());
    case.rooms.close(first, case.now);
    assert!(case.publish("a").is_ok());
}

// C11
#[test]
fn a_takeover_happens_only_once_the_offer_was_good() {
    let mut case = Case::new(Policy { second_publisher: SecondPublisher::Takeover, ..POLICY });
    let first = case.publish("a").unwrap();
    let first_bound = case.rooms.bind(first, &[audio()]).unwrap();

    let failed = case.publish("a").unwrap();
    case.rooms.close(failed, case.now);
    assert_eq!(case.rooms.room(&name("a")).unwrap().publisher, Some(first));

    let second = case.publish("a").unwrap();
    let bound = case.rooms.bind(second, &[audio()]).unwrap();
    assert_eq!(bound.replaced, Some((first, SHARD, case.transport(first))));
    assert_eq!(bound.tracks, first_bound.tracks);
    assert_eq!(case.rooms.room(&name("a")).unwrap().publisher, Some(second));
    case.rooms.close(first, case.now);
    assert_eq!(case.rooms.room(&name("a")).unwrap().publisher, Some(second));
}

#[test]
fn the_kth_section_of_a_kind_gets_the_kth_track_of_that_kind_whoever_comes_first() {
    let mut case = Case::new(POLICY);
    let viewer = case.watch("a").unwrap();
    let seen = case.rooms.bind(viewer, &[video(&[Codec::Vp8]), audio(), video(&[Codec::Vp8])]).unwrap();
    assert_eq!(seen.new_tracks.len(), 3);
    let publisher = case.publish("a").unwrap();
    let fed = case.rooms.bind(publisher, &[audio(), video(&[Codec::Vp8])]).unwrap();
    assert_eq!(fed.tracks, [seen.tracks[1], seen.tracks[0]]);
    assert!(fed.new_tracks.is_empty());
}

// W28
#[test]
fn as_many_sections_of_a_kind_as_a_room_has_tracks_are_bound_and_one_more_is_refused() {
    let mut case = Case::new(POLICY);
    let publisher = case.publish("a").unwrap();
    let many = vec![audio(); TRACKS_PER_KIND_MAX + 1];
    assert_eq!(case.rooms.bind(publisher, &many).unwrap_err(), RoomError::TooManySections("audio"));
    assert!(case.rooms.room(&name("a")).unwrap().tracks.is_empty());
    let bound = case.rooms.bind(publisher, &many[1..]).unwrap();
    assert_eq!(bound.tracks.len(), TRACKS_PER_KIND_MAX);
}

#[test]
fn a_publisher_that_comes_back_feeds_the_tracks_that_viewers_have() {
    let mut case = Case::new(POLICY);
    let publisher = case.publish("a").unwrap();
    let fed = case.rooms.bind(publisher, &[video(&[Codec::H264])]).unwrap();
    let viewer = case.watch("a").unwrap();
    case.rooms.bind(viewer, &[video(&[Codec::H264])]).unwrap();
    let id = case.transport(publisher);
    case.event(Event::TransportClosed { id, reason: CloseReason::PeerLeft }).unwrap();
    assert!(case.rooms.session(viewer).is_some());
    let again = case.publish("a").unwrap();
    let bound = case.rooms.bind(again, &[video(&[Codec::H264])]).unwrap();
    assert_eq!((bound.tracks, bound.new_tracks), (fed.tracks, vec![]));
}

// E10
#[test]
fn a_viewer_before_its_publisher_waits_or_is_refused_by_policy() {
    assert!(Case::new(POLICY).watch("a").is_ok());
    let mut case = Case::new(Policy { without_publisher: WithoutPublisher::Refuse, ..POLICY });
    assert_eq!(case.watch("a").unwrap_err(), RoomError::NoPublisher(name("a")));
    assert!(case.rooms.room(&name("a")).is_none());
    case.publish("a").unwrap();
    assert!(case.watch("a").is_ok());
}

#[test]
fn a_viewer_without_the_codec_that_flows_is_told_its_name() {
    let mut case = Case::new(POLICY);
    let publisher = case.publish("a").unwrap();
    let track = case.rooms.bind(publisher, &[video(&[Codec::H264, Codec::Vp8])]).unwrap().tracks[0];
    case.event(Event::TrackStarted { track, codec: Codec::H264 });
    let viewer = case.watch("a").unwrap();
    let error = case.rooms.bind(viewer, &[video(&[Codec::Vp8, Codec::Vp9])]).unwrap_err().to_string();
    assert!(error.contains("H264 video") && error.contains("VP8, VP9"), "{error}");
    case.event(Event::TrackStopped { track });
    assert!(case.rooms.bind(viewer, &[video(&[Codec::Vp8])]).is_ok());
}

#[test]
fn a_codec_problem_is_kept_until_another_codec_flows() {
    let mut case = Case::new(POLICY);
    let viewer = case.watch("a").unwrap();
    let track = case.rooms.bind(viewer, &[video(&[Codec::Vp8])]).unwrap().tracks[0];
    let id = case.transport(viewer);
    case.event(Event::TrackStarted { track, codec: Codec::H264 });
    case.event(Event::CodecNotNegotiated { id, track, codec: Codec::H264 });
    let (_, problem) = case.rooms.session(viewer).unwrap().problem.clone().unwrap();
    assert_eq!((problem.codec, problem.kind), (Codec::H264, MediaKind::Video));
    assert_eq!(problem.offered, [Codec::Vp8]);
    case.event(Event::TrackStarted { track, codec: Codec::Vp8 });
    assert!(case.rooms.session(viewer).unwrap().problem.is_none());
}

// docs/SECURITY.md H1
#[test]
fn an_address_has_8_sessions_that_are_still_connecting_and_not_9() {
    let mut case = Case::new(POLICY);
    let sessions: Vec<_> =
        (0..8).map(|_| case.admit("a", PeerRole::Subscriber, "192.0.2.1").unwrap()).collect();
    let ninth = case.admit("a", PeerRole::Subscriber, "192.0.2.1");
    assert_eq!(ninth.unwrap_err(), RoomError::TooManyPending);
    assert!(case.admit("a", PeerRole::Subscriber, "192.0.2.2").is_ok());
    let id = case.transport(sessions[0]);
    case.event(Event::TransportConnected { id });
    assert!(case.admit("a", PeerRole::Subscriber, "192.0.2.1").is_ok());
}

// S4-03
#[test]
fn caps_hold_at_their_limit_and_refuse_one_more() {
    let policy = Policy { subscribers_per_room_max: 2, subscribers_max: 3, publishers_max: 1, ..POLICY };
    let mut case = Case::new(policy);
    case.watch("a").unwrap();
    case.watch("a").unwrap();
    assert_eq!(case.watch("a").unwrap_err(), RoomError::RoomFull(name("a")));
    case.watch("b").unwrap();
    assert_eq!(case.watch("b").unwrap_err(), RoomError::ServerFull("subscribers"));
    case.publish("a").unwrap();
    assert_eq!(case.publish("b").unwrap_err(), RoomError::ServerFull("publishers"));

    let mut case = Case::new(Policy { pending_max: 1, ..POLICY });
    case.watch("a").unwrap();
    assert!(matches!(case.watch("a").unwrap_err(), RoomError::ServerFull(_)));
}

#[test]
fn a_room_is_forgotten_when_it_was_empty_for_as_long_as_it_may_linger() {
    let mut case = Case::new(POLICY);
    let viewer = case.watch("a").unwrap();
    let track = case.rooms.bind(viewer, &[audio()]).unwrap().tracks[0];
    assert!(case.rooms.remove(&name("a")).is_none());
    case.rooms.close(viewer, case.now);
    case.now += Duration::from_secs(59);
    assert!(case.rooms.expired(case.now).is_empty());
    case.now += Duration::from_secs(1);
    assert_eq!(case.rooms.expired(case.now), [name("a")]);
    let room = case.rooms.remove(&name("a")).unwrap();
    assert_eq!((room.shard, room.tracks[0].id), (SHARD, track));
    assert!(case.rooms.room(&name("a")).is_none());
}

#[test]
fn a_room_that_someone_enters_again_is_not_forgotten() {
    let mut case = Case::new(POLICY);
    let viewer = case.watch("a").unwrap();
    case.rooms.close(viewer, case.now);
    case.watch("a").unwrap();
    case.now += Duration::from_secs(3600);
    assert!(case.rooms.expired(case.now).is_empty());
}

#[test]
fn a_session_that_was_closed_while_it_was_made_is_not_bound() {
    let mut case = Case::new(POLICY);
    let viewer = case.watch("a").unwrap();
    case.rooms.close(viewer, case.now);
    assert_eq!(case.rooms.bind(viewer, &[audio()]).unwrap_err(), RoomError::ClosedMeanwhile);
}

#[test]
fn every_session_of_a_room_is_on_the_shard_of_the_room() {
    let mut case = Case::new(POLICY);
    let first = case.watch("a").unwrap();
    let second = case.publish("a").unwrap();
    assert_eq!(case.rooms.session(first).unwrap().shard, SHARD);
    assert_eq!(case.rooms.session(second).unwrap().shard, SHARD);
}

/// Sessions on shards 3 to 5, of which 3 is the home of every room.
fn spread() -> Case {
    Case { viewer_shards: vec![ShardId(3), ShardId(4), ShardId(5)], ..Case::new(POLICY) }
}

fn shard_of(case: &Case, id: SessionId) -> u16 {
    case.rooms.session(id).unwrap().shard.0
}

// D7
#[test]
fn a_small_room_stays_together_and_a_large_one_uses_all_shards() {
    let mut case = spread();
    let publisher = case.publish("a").unwrap();
    assert_eq!(shard_of(&case, publisher), 3);
    let shards: Vec<u16> = (0..50)
        .map(|_| {
            let viewer = case.watch("a").unwrap();
            shard_of(&case, viewer)
        })
        .collect();
    assert_eq!(shards[..3], [3; 3]);
    let counts = [3, 4, 5].map(|shard| shards.iter().filter(|on| **on == shard).count());
    assert!(counts.iter().all(|count| (15..=18).contains(count)), "{counts:?}");
    let publisher = case.publish("b").unwrap();
    assert_eq!(shard_of(&case, publisher), 3, "a publisher goes to the shard of its room");
}

// D7
#[test]
fn without_shards_to_go_to_a_viewer_is_on_the_shard_of_its_room() {
    let mut case = Case::new(POLICY);
    assert!((0..50).all(|_| {
        let viewer = case.watch("a").unwrap();
        shard_of(&case, viewer) == SHARD.0
    }));
}

/// A viewer that is on another shard than its room, bound.
fn far_viewer(case: &mut Case) -> (SessionId, Bound) {
    case.viewer_shards = vec![ShardId(4)];
    let viewer = case.watch("a").unwrap();
    let bound = case.rooms.bind(viewer, &[audio(), video(&[Codec::Vp8])]).unwrap();
    (viewer, bound)
}

// D7
#[test]
fn a_track_is_mirrored_once_for_each_shard_and_until_its_last_session_left() {
    let mut case = spread();
    let (first, bound) = far_viewer(&mut case);
    assert_eq!((bound.home, bound.new_tracks.len()), (SHARD, 2));
    assert_eq!(bound.new_mirrors, bound.new_tracks, "the shard of the viewer has none of them either");
    let (second, bound) = far_viewer(&mut case);
    assert!(bound.new_tracks.is_empty() && bound.new_mirrors.is_empty());
    case.rooms.close(first, case.now);
    assert!(case.rooms.idle_mirrors().is_empty(), "there is another");
    case.rooms.close(second, case.now);
    let idle = case.rooms.idle_mirrors();
    assert_eq!(idle, bound.tracks.iter().map(|track| (ShardId(4), *track)).collect::<Vec<_>>());
    for (shard, track) in idle {
        case.rooms.forget_mirror(shard, track);
    }
    let (_, bound) = far_viewer(&mut case);
    assert_eq!(bound.new_mirrors.len(), 2, "made again");
}

// P3, D7
#[test]
fn a_room_survives_the_end_of_a_shard_of_its_viewers_but_not_of_its_own() {
    let mut case = spread();
    let publisher = case.publish("a").unwrap();
    case.rooms.bind(publisher, &[audio(), video(&[Codec::Vp8])]).unwrap();
    let (viewer, bound) = far_viewer(&mut case);
    let lost = case.rooms.forget_shard(ShardId(4), case.now);
    assert_eq!(lost.sessions.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [viewer]);
    assert!(lost.mirrors.is_empty());
    let room = case.rooms.room(&name("a")).unwrap();
    assert_eq!((room.subscriber_count, room.publisher), (0, Some(publisher)));

    let (viewer, _) = far_viewer(&mut case);
    let lost = case.rooms.forget_shard(SHARD, case.now);
    let mut sessions: Vec<SessionId> = lost.sessions.iter().map(|(id, _)| *id).collect();
    sessions.sort_unstable_by_key(|id| *id == viewer);
    assert_eq!(sessions, [publisher, viewer], "who watched elsewhere is lost, too");
    let mirrors: Vec<_> = bound.tracks.iter().map(|track| (ShardId(4), *track)).collect();
    assert_eq!(lost.mirrors, mirrors);
    assert!(case.rooms.room(&name("a")).is_none());
}
