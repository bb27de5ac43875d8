//! Every bound of the data plane, in one place, with how they relate.
#![forbid(unsafe_code)]

use std::time::Duration;

/// The largest UDP payload that is read or written, bytes. A larger datagram is dropped.
pub const DATAGRAM_SIZE_BYTES_MAX: usize = 1500;
/// What sealing may add to an opened packet: extensions, RTX original sequence number, tag; bytes.
pub const EGRESS_GROWTH_BYTES_MAX: usize = 128;
/// Room that the egress slab guarantees for one datagram, bytes.
pub const EGRESS_SLOT_BYTES: usize = DATAGRAM_SIZE_BYTES_MAX + EGRESS_GROWTH_BYTES_MAX;

/// Received datagrams handled in one turn of a shard.
pub const PACKETS_PER_TURN: usize = 256;
/// Commands applied in one turn of a shard.
pub const COMMANDS_PER_TURN: usize = 64;
/// Hops of other shards taken in one turn of a shard, over all of them.
pub const HOPS_PER_TURN: usize = 256;
/// Shards that can be meshed: each has a ring to each other.
pub const MESH_SHARDS_MAX: usize = 32;
/// Hops that may wait for one shard, over all rings to it: a hop is about 2 KiB.
pub const MESH_HOPS_PER_SHARD: usize = 4096;
/// Hops that one ring holds at least; that is less than the share of [`MESH_HOPS_PER_SHARD`] in a large mesh.
pub const MESH_RING_LEN_MIN: usize = 128;
/// Hops that one ring holds at most: four turns of a publisher's shard.
pub const MESH_RING_LEN_MAX: usize = 1024;
/// Packets that leave for other shards in one turn: what came, and what was recovered from redundancy.
pub const CROSSINGS_PER_TURN_MAX: usize = 1024;
/// Subscriptions of other shards to tracks that are not here yet: their command and ours come in any order.
pub const EARLY_MIRRORS_MAX: usize = 1024;
/// Mirrors that have gone and whose home is still to be told. A home that is not told hears it with its next packet.
pub const LEFT_MIRRORS_MAX: usize = 256;
/// Commands waiting for one shard. A full mailbox is answered with 503 at once.
pub const MAILBOX_LEN_MAX: usize = 1024;
/// Events waiting for the control plane. A full queue drops the event and counts it.
pub const EVENTS_LEN_MAX: usize = 4096;

/// Datagrams asked of the kernel in one receive call.
pub const RECEIVE_BATCH_LEN: usize = 64;
/// One receive buffer, bytes. What does not fit is truncated by the kernel and dropped here.
pub const RECEIVE_BUFFER_BYTES: usize = 2048;
/// Receive buffers of a ring, a power of two: they have to stay in the L2 cache.
pub const RING_BUFFERS_LEN: u16 = 512;
/// Requests that wait for the next enter of a ring: a batch of sends, and the receives that are armed again.
pub const RING_SUBMISSIONS_LEN: u32 = 128;
/// Completions that wait in a ring. What does not fit is kept by the kernel, at a price.
pub const RING_COMPLETIONS_LEN: u32 = 2048;
/// Shorter trains are always copied, unless they have [`ZERO_COPY_BYTES_MIN`] bytes: below, the notification costs
/// more than the copy.
pub const ZERO_COPY_SEGMENTS_MIN: usize = 32;
/// See [`ZERO_COPY_SEGMENTS_MIN`].
pub const ZERO_COPY_BYTES_MIN: usize = 32 * 1024;
/// Zero-copy sends that the kernel has not given back yet.
pub const ZERO_COPY_FLIGHTS_MAX: usize = 64;
/// Send slabs that the kernel may be reading while another is written.
pub const ZERO_COPY_SLABS_MAX: usize = 4;
/// If more than half of the zero-copy sends of a socket were copied in this time, they are switched off.
pub const ZERO_COPY_WATCH: Duration = Duration::from_secs(1);
/// Segments of one GSO train: UDP_MAX_SEGMENTS of Linux before 6.9.
pub const TRAIN_SEGMENTS_MAX: usize = 64;
/// Bytes of one GSO train: what fits one IPv4 packet beside its headers.
pub const TRAIN_BYTES_MAX: usize = 65_507;
/// Trains handed to the kernel in one send call. Measured on Linux 6.18: 32 is best.
pub const TRAINS_PER_SEND_MAX: usize = 32;
/// The send slab, bytes: it is written and read once per batch and has to stay in the L2 cache.
pub const SEND_SLAB_BYTES: usize = 256 * 1024;
/// Asked of the kernel for each socket and direction, bytes.
pub const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// Forwarding latency is recorded up to here; what took longer is recorded as this.
pub const LATENCY_MAX: Duration = Duration::from_secs(10);

/// Transports on one shard.
pub const TRANSPORTS_PER_SHARD_MAX: usize = 8192;
/// Tracks on one shard.
pub const TRACKS_PER_SHARD_MAX: usize = 8192;
/// Tracks of one kind (audio, video) that a room carries: cameras, screens, or the languages of an event.
pub const TRACKS_PER_KIND_MAX: usize = 12;
/// Media sections in one offer that are answered.
pub const SECTIONS_PER_OFFER_MAX: usize = 16;
/// Encodings (RIDs) of one track.
pub const ENCODINGS_PER_TRACK_MAX: usize = 4;
/// Payload formats kept per media section.
pub const FORMATS_PER_SECTION_MAX: usize = 48;
/// SSRCs with an SRTP receive context, per transport. docs/SECURITY.md T4.
pub const INGRESS_SSRCS_PER_TRANSPORT_MAX: usize = 64;
/// For how long late packets of an SSRC that another has replaced are not taken for a change back: longer than
/// any network holds a packet, and its retransmissions.
pub const SSRC_RETIREMENT: Duration = Duration::from_secs(2);
/// Replaced SSRCs remembered per transport; the oldest are forgotten.
pub const RETIRED_SSRCS_MAX: usize = 16;
/// Verified remote addresses remembered per transport.
pub const PATHS_PER_TRANSPORT_MAX: usize = 8;

/// Packets kept per video track for retransmission. At 250 packets/s this is 4 s.
pub const VIDEO_CACHE_LEN: usize = 1024;
/// Packets kept per audio track for retransmission.
pub const AUDIO_CACHE_LEN: usize = 128;
/// Sent packets that a subscription can map a NACK to.
pub const SENT_LOG_LEN: usize = 512;
/// Redundant blocks in one payload of redundant audio (RFC 2198): browsers send one, and up to nine if asked.
pub const RED_BLOCKS_MAX: usize = 16;
/// Packets waiting to be sealed for one transport within one turn.
pub const OUTBOX_LEN_MAX: usize = 1024;

/// SRTP replay window per SSRC, packets (RFC 3711, section 3.3.2 asks for at least 64).
pub const REPLAY_WINDOW_LEN: usize = 1024;

/// Missing packets that a receiver of NACKs remembers per encoding.
pub const NACK_LIST_LEN_MAX: usize = 512;
/// How often one missing packet is asked for.
pub const NACK_TRIES_MAX: u8 = 10;
/// Wait before a gap is taken for a loss: reordering heals itself.
pub const NACK_REORDER_WAIT: Duration = Duration::from_millis(10);
/// Wait between two NACKs for one packet while no round trip is measured.
pub const NACK_RETRY_DEFAULT: Duration = Duration::from_millis(100);
/// The shortest round trip that a peer is believed.
pub const ROUND_TRIP_MIN: Duration = Duration::from_millis(20);
/// NACK entries accepted in one RTCP packet; the rest is not read. docs/SECURITY.md M2.
pub const NACK_ENTRIES_PER_PACKET_MAX: usize = 32;
/// Times that one packet is sent again to one subscriber.
pub const RTX_SENDS_MAX: u8 = 5;
/// Repeats that one subscription gets in a second beside half of what it was sent in that second: a burst of
/// loss heals, and a hostile viewer cannot pull more than one and a half times the stream. docs/SECURITY.md M2.
pub const RTX_BURST_MAX: u32 = 64;
/// RTCP packets that are read from one compound. docs/SECURITY.md M4.
pub const RTCP_PACKETS_PER_COMPOUND_MAX: usize = 64;
/// RTCP datagrams accepted from one transport per second. docs/SECURITY.md M4.
pub const RTCP_PER_SECOND_MAX: u32 = 200;

/// Least time between two keyframe requests for one encoding. docs/SECURITY.md M1.
pub const KEYFRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(500);
/// Keyframe requests accepted from one subscription within [`KEYFRAME_REQUEST_WINDOW`].
pub const KEYFRAME_REQUESTS_PER_WINDOW_MAX: u32 = 3;
/// The same from one that has just reported loss: a keyframe may be lost again, and whose link heals must not
/// wait for the window to end. Reports can be lies, so this has a bound too.
pub const KEYFRAME_REQUESTS_ON_LOSS_MAX: u32 = 15;
/// For how long a reported loss explains keyframe requests.
pub const LOSS_MEMORY: Duration = Duration::from_secs(3);
/// Keyframes asked for only to learn the size of an encoding.
pub const SIZE_REQUESTS_MAX: u8 = 3;
/// See [`KEYFRAME_REQUESTS_PER_WINDOW_MAX`].
pub const KEYFRAME_REQUEST_WINDOW: Duration = Duration::from_secs(10);
/// An encoding without packets for this long does not flow any more.
pub const ENCODING_SILENCE_MAX: Duration = Duration::from_millis(700);
/// A picture whose link collapses goes on for this long, or for two round trips, while it waits for the keyframe of
/// a lower layer; then it pauses.
pub const COLLAPSE_PAUSE_MIN: Duration = Duration::from_millis(300);
/// An encoding that nobody wants for this long is unwanted: viewers come, go and change their minds.
pub const UNWANTED_AFTER: Duration = Duration::from_secs(2);
/// Wishes for other layers that one subscription may have within [`KEYFRAME_REQUEST_WINDOW`]: each may cost the
/// publisher a keyframe. docs/SECURITY.md M1.
pub const WISHES_PER_WINDOW_MAX: u32 = 15;

/// Time between transport-wide feedback packets to a publisher.
pub const TWCC_INTERVAL: Duration = Duration::from_millis(50);
/// Transport-wide feedback packets sent to one publisher in one turn.
pub const TWCC_PACKETS_PER_TURN_MAX: usize = 8;
/// Packet statuses in one transport-wide feedback packet, so that it stays below the MTU.
pub const TWCC_STATUSES_PER_PACKET_MAX: usize = 400;
/// Arrivals that wait to be reported; when there are more, the oldest are forgotten.
pub const TWCC_PENDING_LEN_MAX: usize = 2048;
/// The largest RTCP datagram that is sent, before sealing, bytes.
pub const RTCP_SIZE_BYTES_MAX: usize = 1200;
/// Receivers of one peer whose reference times are answered (RFC 3611, section 4.5).
pub const REFERENCE_TIMES_LEN_MAX: usize = 8;
/// Report blocks in one report: the count has five bits (RFC 3550, section 6.4.1).
pub const REPORT_BLOCKS_LEN_MAX: usize = 31;
/// What a publisher without transport-wide feedback is told it may send (REMB), bits per second.
pub const PUBLISHER_BITRATE_BPS_MAX: u64 = 12_000_000;
/// Packet statuses that one transport-wide feedback packet may claim to be read: as many as any history
/// of sent packets keeps. A few bytes can claim 65,535 losses.
pub const TWCC_STATUSES_READ_MAX: usize = 16_384;
/// Transport-wide feedback that is read from one subscriber in a second. Browsers send 20; some clients send one
/// per frame.
pub const TWCC_FEEDBACK_PER_SECOND_MAX: u32 = 100;
/// Sent packets that are remembered for transport-wide feedback: at first, and at most. 512 are 2 s of a camera
/// in its best layer, 8192 of 40 Mbit/s.
pub const SENT_HISTORY_LEN_MIN: usize = 512;
/// See [`SENT_HISTORY_LEN_MIN`].
pub const SENT_HISTORY_LEN_MAX: usize = 8192;
/// The history of sent packets grows until it reaches back this far.
pub const SENT_HISTORY_AGE: Duration = Duration::from_secs(2);
/// The estimate of a link of which nothing is known, bits per second.
pub const ESTIMATE_BPS_START: u64 = 300_000;
/// No estimate is below this, bits per second.
pub const ESTIMATE_BPS_MIN: u64 = 5_000;
/// No estimate is above this, bits per second.
pub const ESTIMATE_BPS_MAX: u64 = 30_000_000;
/// How long a probe lasts.
pub const PROBE_LEN: Duration = Duration::from_millis(100);
/// Time between two probes of one subscriber, while they fail: at first, and at most.
pub const PROBE_INTERVAL_MIN: Duration = Duration::from_secs(3);
/// See [`PROBE_INTERVAL_MIN`]. A link that has become wide again is found within this.
pub const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(6);
/// Tracks that one subscriber's bandwidth is shared out to.
pub const ALLOCATED_TRACKS_MAX: usize = 64;
/// Layers of one track that the allocator chooses from: encodings or spatial layers, with their temporal layers.
pub const ALLOCATED_LAYERS_MAX: usize = 16;
/// Time between sender reports of one egress stream, and between receiver reports to a publisher.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Consent (RFC 7675): no authenticated packet for this long ends the transport.
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);
/// A transport that is not connected by then is freed. docs/SECURITY.md H1.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A flight of the handshake is sent again after this, then after twice as long and so on. FFmpeg loses the
/// first ClientHello that it gets, and the default of RFC 6347, section 4.2.4.1, would make it wait for a
/// second; ICE has shown by then that there is a path.
pub const HANDSHAKE_RETRY_AFTER: Duration = Duration::from_millis(200);
/// How often a flight is sent again: until after `CONNECT_TIMEOUT`.
pub const HANDSHAKE_RETRIES_MAX: usize = 7;
const _: () = assert!(
    HANDSHAKE_RETRY_AFTER.as_millis() * ((2 << HANDSHAKE_RETRIES_MAX) - 1)
        > CONNECT_TIMEOUT.as_millis() * 4 / 3,
    "retries that are all a quarter early last for the whole handshake"
);
/// DTLS bytes accepted before the handshake is done. docs/SECURITY.md T6.
pub const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;
/// The largest DTLS datagram that is sent, bytes: it fits an IPv6 path without fragments.
pub const DTLS_SIZE_BYTES_MAX: usize = 1150;
/// What str0m may say in one turn of a transport; one that says more loops and is closed.
pub const OUTPUTS_PER_DRAIN_MAX: usize = 256;
/// Datagrams of STUN and DTLS waiting to leave one transport. A flight of the handshake has under ten.
pub const TRANSMITS_PER_TRANSPORT_MAX: usize = 64;

/// Candidates in one answer.
pub const CANDIDATES_PER_ANSWER_MAX: usize = 32;

/// SDP accepted in one offer, bytes. docs/SECURITY.md H4.
pub const SDP_SIZE_BYTES_MAX: usize = 128 * 1024;

const _: () = assert!(EGRESS_SLOT_BYTES <= u16::MAX as usize);
const _: () = assert!(VIDEO_CACHE_LEN.is_power_of_two() && AUDIO_CACHE_LEN.is_power_of_two());
const _: () = assert!(SENT_LOG_LEN.is_power_of_two() && SENT_LOG_LEN <= VIDEO_CACHE_LEN);
const _: () = assert!(REPLAY_WINDOW_LEN.is_multiple_of(64) && REPLAY_WINDOW_LEN < 1 << 15);
const _: () = assert!(NACK_LIST_LEN_MAX <= VIDEO_CACHE_LEN);
const _: () = assert!(KEYFRAME_REQUESTS_PER_WINDOW_MAX <= KEYFRAME_REQUESTS_ON_LOSS_MAX);
const _: () = assert!(OUTBOX_LEN_MAX >= PACKETS_PER_TURN);
const _: () = assert!(TWCC_STATUSES_PER_PACKET_MAX <= TWCC_STATUSES_READ_MAX);
const _: () = assert!(SENT_HISTORY_LEN_MIN.is_power_of_two() && SENT_HISTORY_LEN_MAX.is_power_of_two());
const _: () = assert!(SENT_HISTORY_LEN_MAX <= TWCC_STATUSES_READ_MAX && SENT_HISTORY_LEN_MAX < 1 << 15);
const _: () = assert!(ALLOCATED_TRACKS_MAX >= SECTIONS_PER_OFFER_MAX);
const _: () = assert!(RECEIVE_BUFFER_BYTES > DATAGRAM_SIZE_BYTES_MAX);
const _: () = assert!(RING_BUFFERS_LEN.is_power_of_two() && RING_BUFFERS_LEN as usize >= PACKETS_PER_TURN);
const _: () = assert!(RING_SUBMISSIONS_LEN as usize >= 2 * TRAINS_PER_SEND_MAX);
const _: () = assert!(
    RING_COMPLETIONS_LEN as usize
        >= RING_BUFFERS_LEN as usize + TRAINS_PER_SEND_MAX + 2 * ZERO_COPY_FLIGHTS_MAX,
    "what a turn can complete has a place"
);
const _: () = assert!(SEND_SLAB_BYTES >= 2 * EGRESS_SLOT_BYTES);
const _: () = assert!(TRAIN_BYTES_MAX >= EGRESS_SLOT_BYTES && TRAIN_BYTES_MAX < 1 << 16);
const _: () = assert!(RECEIVE_BATCH_LEN <= PACKETS_PER_TURN);
const _: () = assert!(HOPS_PER_TURN >= MESH_SHARDS_MAX, "each ring has its share of a turn");
const _: () = assert!(MESH_RING_LEN_MIN * (MESH_SHARDS_MAX - 1) <= MESH_HOPS_PER_SHARD);
const _: () = assert!(MESH_RING_LEN_MAX >= PACKETS_PER_TURN && CROSSINGS_PER_TURN_MAX >= PACKETS_PER_TURN);
