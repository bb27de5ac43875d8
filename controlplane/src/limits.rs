//! Every bound of the control plane, in one place. Those of the shards are in `dataplane::limits`.

use std::time::Duration;

use dataplane::limits::SDP_SIZE_BYTES_MAX;

/// The longest room name, bytes. docs/SECURITY.md H16.
pub const ROOM_NAME_LEN_MAX: usize = 128;
/// Rooms of one process, those that linger empty included.
pub const ROOMS_MAX: usize = 4096;
/// Rooms that a list shows with the figures of their tracks; the others are shown without.
pub const ROOMS_DESCRIBED_MAX: usize = 64;
/// How many sessions more a shard that has a room may have than one that has it not, before the next viewer of the
/// room goes there: a crossing costs about as much as one more viewer of each publisher.
pub const ROOM_SHARD_ADVANCE: usize = 4;
/// Shards of one process: one core each.
pub const SHARDS_MAX: usize = 256;

/// Threads for what must not hold up requests: negotiation above all, which is all CPU. More of them would not
/// answer sooner, and each keeps memory of its own: at 64 joins at once 100 KB more for every viewer.
pub const BLOCKING_THREADS_MAX: usize = 4;

/// The shortest shared token that is accepted, bytes.
pub const TOKEN_LEN_MIN: usize = 16;
/// The longest token that is compared, bytes.
pub const TOKEN_LEN_MAX: usize = 4096;
/// Random bytes of a session id: it is a capability (RFC 9725, section 5). docs/SECURITY.md H2.
pub const SESSION_ID_BYTES: usize = 16;

/// The largest body of an offer, bytes. docs/SECURITY.md H4.
pub const OFFER_BYTES_MAX: usize = SDP_SIZE_BYTES_MAX;
/// Candidate lines in one offer. docs/SECURITY.md H4.
pub const OFFER_CANDIDATES_MAX: usize = 512;
/// The largest trickle fragment, bytes.
pub const FRAGMENT_BYTES_MAX: usize = 16 * 1024;
/// The largest request for layers, bytes.
pub const LAYER_REQUEST_BYTES_MAX: usize = 4 * 1024;
/// Candidate lines in one fragment, and accepted in the life of one session. docs/SECURITY.md H3.
pub const CANDIDATES_PER_SESSION_MAX: usize = 64;

/// Sessions of one address that are not connected yet. docs/SECURITY.md H1.
pub const PENDING_PER_ADDRESS_MAX: usize = 8;
/// One in this many transports of the process may be a session that is not connected yet.
pub const PENDING_SHARE: usize = 20;
/// Addresses that the rate limit remembers. More are refused until old ones are forgotten.
pub const RATE_KEYS_MAX: usize = 65_536;

/// How long a shard may take to answer.
pub const CALL_TIMEOUT: Duration = Duration::from_millis(250);
/// How often empty rooms, forgotten rate buckets and stalled shards are looked for.
pub const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);
/// How often the turns of the shards are looked at. docs/SECURITY.md P3.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(20);
/// A turn that lasts longer than this is a stall; a healthy one takes well below a millisecond.
pub const STALLED_AFTER_TURN: Duration = Duration::from_millis(200);
/// Time from the beginning of a stall to its report, while the watch itself gets CPU.
pub const STALL_REPORTED_WITHIN: Duration = Duration::from_millis(250);
/// Unanswered probes in a row after which a shard counts as stalled.
pub const STALLED_AFTER_PROBES: u32 = 3;

/// Time for the head of a request, and for the next request on a kept connection. docs/SECURITY.md H5.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the body of a request.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for which a client may take nothing of its answer. docs/SECURITY.md H5.
pub const ANSWER_STALL_MAX: Duration = Duration::from_secs(10);
/// Time for a TLS handshake.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of the head of one request that are buffered.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Connections of one address. docs/SECURITY.md H5.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
/// Connections of the process.
pub const CONNECTIONS_MAX: usize = 4096;

/// Time that a stop takes at most.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(5);
/// How often a long stop says what it waits for.
pub const SHUTDOWN_WORD_INTERVAL: Duration = Duration::from_millis(500);
/// Time that open requests get when the server stops.
pub const SHUTDOWN_REQUESTS: Duration = Duration::from_secs(1);
/// Time that sessions get to say goodbye when the server stops.
pub const SHUTDOWN_SESSIONS: Duration = Duration::from_secs(2);
/// Time that the threads of the shards get to end when the server stops.
pub const SHUTDOWN_SHARDS: Duration = Duration::from_secs(1);

const _: () = assert!(
    STALLED_AFTER_TURN.as_millis() + 2 * WATCH_INTERVAL.as_millis() <= STALL_REPORTED_WITHIN.as_millis()
);
const _: () = assert!(
    SHUTDOWN_REQUESTS.as_millis() + SHUTDOWN_SESSIONS.as_millis() + SHUTDOWN_SHARDS.as_millis()
        < SHUTDOWN_MAX.as_millis()
);
