// Why packets end in the server, in words. The names are those of `sluice_packets_dropped_total`.

/** @typedef {{means: string, isNormal?: boolean}} Reason */

/** @type {Record<string, Reason>} */
export const REASONS = {
  unknown_protocol: { means: "The first byte belongs to no protocol of WebRTC. Scanners send such things." },
  bad_size: { means: "Empty, or larger than any datagram of WebRTC." },
  unknown_address: { means: "Media or DTLS from an address that has not proven itself by ICE: a stranger, or somebody who left.", isNormal: true },
  malformed_stun: { means: "STUN that cannot be read, or asks for something else than a check." },
  unknown_ufrag: { means: "An ICE check for a session that does not exist, mostly one that has just ended.", isNormal: true },
  stun_integrity: { means: "An ICE check whose signature is wrong: a forgery, or an outdated password." },
  too_many_paths: { means: "A client uses more addresses than a session may have." },
  unexpected_client_hello: { means: "A second, different beginning of a DTLS handshake." },
  handshake_too_long: { means: "A DTLS handshake of more bytes than any honest one takes." },
  dtls_refused: { means: "DTLS refused the datagram. Is the client's certificate RSA? Only ECDSA is taken." },
  not_connected: { means: "Media that came before its handshake was done: a few at each start.", isNormal: true },
  malformed_rtp: { means: "RTP whose header cannot be read." },
  malformed_rtcp: { means: "RTCP that cannot be read." },
  authentication_failed: { means: "Encrypted media whose tag is wrong: forged, or damaged on the way." },
  replayed: { means: "Encrypted media that was seen before: doubled by the network, or sent again by somebody else." },
  too_many_ssrcs: { means: "A publisher uses more streams than a session may have. It has to connect again." },
  unbound_ssrc: { means: "A stream that cannot be matched to a track yet: a few at each start.", isNormal: true },
  unknown_payload_type: { means: "A format that was not agreed on." },
  malformed_payload: { means: "Padding or a repeat that does not fit into its packet." },
  duplicate: { means: "A packet that the server has already: repaired twice, or sent again by a browser to probe its link.", isNormal: true },
  padding_only: { means: "Nothing but padding, with which a browser probes its link.", isNormal: true },
  awaiting_keyframe: { means: "A viewer waits for the next whole picture before it can begin.", isNormal: true },
  other_encoding: { means: "Another size of the same camera is forwarded: simulcast costs one of these for each other size.", isNormal: true },
  temporal_layer: { means: "A frame rate above what a viewer asked for.", isNormal: true },
  spatial_layer: { means: "A part of the picture that is larger than what a viewer asked for.", isNormal: true },
  missing_reference: { means: "A picture that cannot be shown because one before it was left out for this viewer.", isNormal: true },
  paused: { means: "A viewer that has paused this track.", isNormal: true },
  too_late: { means: "Older than what a viewer can still use." },
  codec_not_negotiated: { means: "A viewer's browser cannot decode what is published. Choose VP8 or H.264." },
  redundant: { means: "Sound recovered from redundancy (RED), for a viewer that gets the redundancy itself.", isNormal: true },
  outbox_full: { means: "More packets for one viewer in one turn than there is place for." },
  too_much_rtcp: { means: "A client sends more feedback than is read." },
  mesh_full: { means: "Another shard with viewers of this publisher does not keep up: it is overloaded, or hangs." },
  no_subscriber: { means: "Handed to another shard whose last viewer had just left.", isNormal: true },
  send_buffer_full: { means: "The kernel had no room to send: raise net.core.wmem_max, or the network is too slow for the load." },
  send_refused: { means: "The kernel refused to send: no route, or a firewall on this machine." },
  foreign_srtcp: { means: "RTCP of the handshake library, which must not leave.", isNormal: true },
  panicked: { means: "A session was closed because of a mistake in Sluice. The log has the place; please report it." },
};

/** @param {string} name @returns {Reason} */
export function reasonOf(name) {
  return REASONS[name] ?? { means: "A reason that this page does not know; its name says it." };
}
