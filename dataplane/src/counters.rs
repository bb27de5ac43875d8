//! What a shard counts. Nothing dies unnamed: each dropped packet has a [`DropReason`], each reason is
//! a counter.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Declares [`DropReason`] with a stable snake_case name for each reason.
macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a packet ended here. The name is the `reason` label of `sluice_packets_dropped_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// Every reason, in declaration order.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)*];

            /// The stable name of the reason.
            pub fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)* }
            }
        }
    };
}

drop_reasons! {
    /// First byte belongs to no protocol of RFC 7983.
    UnknownProtocol => "unknown_protocol",
    /// Empty or larger than `DATAGRAM_SIZE_BYTES_MAX`.
    BadSize => "bad_size",
    /// From an address that no verified STUN request has vouched for.
    UnknownAddress => "unknown_address",
    /// STUN that does not parse, or is no binding request.
    MalformedStun => "malformed_stun",
    /// STUN for a username fragment that no transport has.
    UnknownUfrag => "unknown_ufrag",
    /// STUN whose MESSAGE-INTEGRITY does not match.
    StunIntegrity => "stun_integrity",
    /// A transport already has `PATHS_PER_TRANSPORT_MAX` addresses.
    TooManyPaths => "too_many_paths",
    /// A second, different ClientHello during a handshake, or one sent to a DTLS client.
    UnexpectedClientHello => "unexpected_client_hello",
    /// More than `HANDSHAKE_BYTES_MAX` before the handshake was done.
    HandshakeTooLong => "handshake_too_long",
    /// DTLS refused the datagram.
    DtlsRefused => "dtls_refused",
    /// Media before the handshake and the fingerprint check were done.
    NotConnected => "not_connected",
    /// RTP header that does not parse.
    MalformedRtp => "malformed_rtp",
    /// RTCP that does not parse.
    MalformedRtcp => "malformed_rtcp",
    /// SRTP or SRTCP whose authentication tag does not match.
    AuthenticationFailed => "authentication_failed",
    /// SRTP or SRTCP index seen before, or too old to tell.
    Replayed => "replayed",
    /// `INGRESS_SSRCS_PER_TRANSPORT_MAX` is reached.
    TooManySsrcs => "too_many_ssrcs",
    /// An authenticated SSRC that matches no negotiated track yet.
    UnboundSsrc => "unbound_ssrc",
    /// A payload type that was not negotiated.
    UnknownPayloadType => "unknown_payload_type",
    /// Padding or original sequence number larger than the payload.
    MalformedPayload => "malformed_payload",
    /// A packet that the track has already.
    Duplicate => "duplicate",
    /// Only padding: nothing to forward.
    PaddingOnly => "padding_only",
    /// The subscription waits for a keyframe.
    AwaitingKeyframe => "awaiting_keyframe",
    /// Another encoding of the track is being forwarded.
    OtherEncoding => "other_encoding",
    /// Of a temporal layer above what the subscriber gets.
    TemporalLayer => "temporal_layer",
    /// Of a spatial layer that the subscriber does not get, or that nothing it gets refers to.
    SpatialLayer => "spatial_layer",
    /// Its frame refers to one that was left out.
    MissingReference => "missing_reference",
    /// The subscriber does not want the track now.
    Paused => "paused",
    /// Older than what the subscription can still number.
    TooLate => "too_late",
    /// The subscriber did not negotiate the codec of the track.
    CodecNotNegotiated => "codec_not_negotiated",
    /// Recovered from redundant audio for those who get none; this subscriber gets the redundancy itself.
    Redundant => "redundant",
    /// More packets in one turn than `OUTBOX_LEN_MAX`.
    OutboxFull => "outbox_full",
    /// More RTCP than `RTCP_PER_SECOND_MAX`.
    TooMuchRtcp => "too_much_rtcp",
    /// The ring to a shard with subscribers had no room left for a packet of this layer.
    MeshFull => "mesh_full",
    /// Crossed to a shard whose last subscriber of the track had left meanwhile.
    NoSubscriber => "no_subscriber",
    /// The kernel had no room for the datagram (EAGAIN, ENOBUFS).
    SendBufferFull => "send_buffer_full",
    /// The kernel refused the datagram for another reason.
    SendRefused => "send_refused",
    /// str0m's own SRTCP, which would reuse a nonce: it has the same keys.
    ForeignSrtcp => "foreign_srtcp",
    /// The transport panicked in this turn and is being closed.
    Panicked => "panicked",
}

/// The counters of one shard. Written by its thread, read by anyone: relaxed is enough, as no counter
/// orders anything.
#[derive(Debug)]
pub struct Counters {
    /// Datagrams received.
    pub packets_received_total: AtomicU64,
    /// Bytes of UDP payload received.
    pub bytes_received_total: AtomicU64,
    /// RTP packets forwarded to a subscriber, retransmissions not counted.
    pub packets_forwarded_total: AtomicU64,
    /// Bytes of UDP payload of forwarded RTP.
    pub bytes_forwarded_total: AtomicU64,
    /// RTP packets sent again over RTX.
    pub packets_retransmitted_total: AtomicU64,
    /// RTCP datagrams sent.
    pub rtcp_sent_total: AtomicU64,
    /// NACKed packets that were asked for by subscribers.
    pub nacks_received_total: AtomicU64,
    /// Packets asked of publishers by NACK.
    pub nacks_sent_total: AtomicU64,
    /// PLI and FIR received from subscribers.
    pub keyframe_requests_received_total: AtomicU64,
    /// PLI and FIR sent to publishers.
    pub keyframe_requests_sent_total: AtomicU64,
    /// Datagrams handed to the kernel.
    pub packets_sent_total: AtomicU64,
    /// Sends that carried them: `packets_sent / trains_sent` is the mean train length.
    pub trains_sent_total: AtomicU64,
    /// Turns of the loop.
    pub turns_total: AtomicU64,
    /// Transports closed because their turn panicked (D14).
    pub panics_total: AtomicU64,
    /// Events that the control plane did not take in time.
    pub events_dropped_total: AtomicU64,
    /// Datagrams that the kernel dropped because the receive buffer was full (SO_RXQ_OVFL).
    pub receive_overflow_total: AtomicU64,
    /// Receive calls that failed for another reason than an empty socket.
    pub receive_errors_total: AtomicU64,
    /// Times that a ring had no buffer left to receive into (ENOBUFS): the socket kept what came meanwhile.
    pub receive_buffers_exhausted_total: AtomicU64,
    /// Sends that asked the kernel to make no copy.
    pub zero_copy_sends_total: AtomicU64,
    /// Those of them that it has copied all the same.
    pub zero_copy_copied_total: AtomicU64,
    /// Hops handed to other shards: packets, once for each shard, and the few words between shards.
    pub hops_sent_total: AtomicU64,
    /// Hops taken from other shards.
    pub hops_received_total: AtomicU64,
    /// Times that another shard slept and was woken for hops.
    pub hop_wakes_total: AtomicU64,
    /// Hops that waited for this shard when it last looked.
    pub hops_waiting: AtomicU64,
    /// Transports on this shard now.
    pub transports: AtomicU64,
    /// Tracks on this shard now.
    pub tracks: AtomicU64,
    /// Transport-wide feedback of subscribers.
    pub feedback_received_total: AtomicU64,
    /// That of it which was not used: too much, or about packets that nobody remembers.
    pub feedback_refused_total: AtomicU64,
    /// What the links of subscribers carry now.
    pub estimates: EstimateGauges,
    drops: Box<[AtomicU64]>,
}

/// How many things an estimate can come from (`congestion::estimator::Cause`).
pub const ESTIMATE_CAUSES: usize = 6;

/// What the links of subscribers carry now, brought up to date once a second.
#[derive(Debug, Default)]
pub struct EstimateGauges {
    /// All estimates together, bits per second.
    pub bitrate_bps: AtomicU64,
    /// How many estimates come from each cause, in the order of its declaration.
    pub by_cause: [AtomicU64; ESTIMATE_CAUSES],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            packets_received_total: AtomicU64::new(0),
            bytes_received_total: AtomicU64::new(0),
            packets_forwarded_total: AtomicU64::new(0),
            bytes_forwarded_total: AtomicU64::new(0),
            packets_retransmitted_total: AtomicU64::new(0),
            rtcp_sent_total: AtomicU64::new(0),
            nacks_received_total: AtomicU64::new(0),
            nacks_sent_total: AtomicU64::new(0),
            keyframe_requests_received_total: AtomicU64::new(0),
            keyframe_requests_sent_total: AtomicU64::new(0),
            packets_sent_total: AtomicU64::new(0),
            trains_sent_total: AtomicU64::new(0),
            turns_total: AtomicU64::new(0),
            panics_total: AtomicU64::new(0),
            events_dropped_total: AtomicU64::new(0),
            receive_overflow_total: AtomicU64::new(0),
            receive_errors_total: AtomicU64::new(0),
            receive_buffers_exhausted_total: AtomicU64::new(0),
            zero_copy_sends_total: AtomicU64::new(0),
            zero_copy_copied_total: AtomicU64::new(0),
            hops_sent_total: AtomicU64::new(0),
            hops_received_total: AtomicU64::new(0),
            hop_wakes_total: AtomicU64::new(0),
            hops_waiting: AtomicU64::new(0),
            transports: AtomicU64::new(0),
            tracks: AtomicU64::new(0),
            feedback_received_total: AtomicU64::new(0),
            feedback_refused_total: AtomicU64::new(0),
            estimates: EstimateGauges::default(),
            drops: DropReason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Counters {
    /// Counts one packet that ended here.
    pub fn note_drop(&self, reason: DropReason) {
        self.note_drops(reason, 1);
    }

    /// Counts `count` packets that ended here.
    pub fn note_drops(&self, reason: DropReason, count: u64) {
        add(&self.drops[reason as usize], count);
    }

    /// How many packets ended for `reason` so far.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].load(Relaxed)
    }
}

/// Adds to a counter that only one thread writes: a load and a store, not a locked instruction.
pub fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}
