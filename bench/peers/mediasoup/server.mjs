// A minimal WHIP/WHEP front of mediasoup: a peer that the bench suite compares with.
//
// One worker, one router per room, one WebRtcTransport per session, and mediasoup's own way for the rest.
// mediasoup speaks RTP parameters and no SDP, so offers are read and answers written here, for one VP8 and one
// Opus section. What the router numbers is the router's choice and what an answer may number is the offer's, so
// payload types are taken from the first offer of a room, and a header extension is used only where both
// numbers agree. A publisher has to be there before subscribers come. It must never serve the public.

import http from 'node:http'
import * as mediasoup from 'mediasoup'
import * as sdp from 'sdp-transform'

const [ip, port] = (process.env.LISTEN ?? '127.0.0.1:8092').split(':')
const OFFER_BYTES_MAX = 256 * 1024

const worker = await mediasoup.createWorker({ logLevel: 'warn' })
worker.on('died', () => process.exit(1))
const rooms = new Map()
const sessions = new Map()
let nextSession = 1

/** The router of a room, with the payload types of the first offer. */
async function roomOf(name, offer) {
  const known = rooms.get(name)
  if (known) return known
  const mediaCodecs = offer.media.flatMap((section) => {
    const codec = codecOf(section)
    if (!codec) return []
    const clock = { clockRate: codec.rate, ...(section.type === 'audio' && { channels: 2 }) }
    return [{ kind: section.type, mimeType: mimeOf(section.type), preferredPayloadType: codec.payload, ...clock }]
  })
  const room = { router: await worker.createRouter({ mediaCodecs }), producers: new Map() }
  rooms.set(name, room)
  return room
}

const mimeOf = (kind) => (kind === 'audio' ? 'audio/opus' : 'video/VP8')
const nameOf = (kind) => mimeOf(kind).split('/')[1]

/** The rtpmap of the codec that we forward in this section. */
function codecOf(section) {
  return section.rtp.find((codec) => codec.codec.toLowerCase() === nameOf(section.type)?.toLowerCase())
}

/** The rtpmap of the retransmissions of `codec`. */
function rtxOf(section, codec) {
  const format = section.fmtp?.find((line) => line.config === `apt=${codec.payload}`)
  return section.rtp.find((other) => other.payload === format?.payload && other.codec.toLowerCase() === 'rtx')
}

function feedbackOf(section, payload) {
  return (section.rtcpFb ?? [])
    .filter((line) => line.payload === payload)
    .map((line) => ({ type: line.type, parameter: line.subtype ?? '' }))
}

/** Codecs in the form of mediasoup, as a producer or a consumer of this section has them. */
function codecsOf(section, numbered) {
  const codec = codecOf(section)
  const rtx = rtxOf(section, codec)
  const base = { mimeType: mimeOf(section.type), clockRate: codec.rate, parameters: {} }
  if (section.type === 'audio') base.channels = 2
  const codecs = [{ ...base, [numbered]: codec.payload, rtcpFeedback: feedbackOf(section, codec.payload) }]
  if (rtx) {
    const parameters = { apt: codec.payload }
    const mimeType = `${section.type}/rtx`
    codecs.push({ mimeType, clockRate: codec.rate, parameters, [numbered]: rtx.payload, rtcpFeedback: [] })
  }
  return codecs
}

async function publish(room, transport, section) {
  const ssrcs = [...new Set((section.ssrcs ?? []).map((line) => Number(line.id)))]
  const encoding = { ssrc: ssrcs[0], ...(ssrcs[1] && { rtx: { ssrc: ssrcs[1] } }) }
  const headerExtensions = (section.ext ?? [])
    .filter(({ uri }) => room.router.rtpCapabilities.headerExtensions.some((known) => known.uri === uri))
    .map(({ uri, value }) => ({ uri, id: value }))
  const producer = await transport.produce({
    kind: section.type,
    rtpParameters: {
      mid: String(section.mid),
      codecs: codecsOf(section, 'payloadType'),
      headerExtensions,
      encodings: [encoding],
      rtcp: { cname: 'publisher' },
    },
  })
  room.producers.set(section.type, producer)
  return { ...answerOf(section, headerExtensions), direction: 'recvonly' }
}

async function watch(room, transport, section) {
  const producer = room.producers.get(section.type)
  if (!producer) throw new Error('nobody publishes yet')
  const headerExtensions = room.router.rtpCapabilities.headerExtensions.filter((known) =>
    (section.ext ?? []).some(({ uri, value }) => uri === known.uri && value === known.preferredId))
  const kinds = codecsOf(section, 'preferredPayloadType').map((codec) => ({ kind: section.type, ...codec }))
  const rtpCapabilities = { codecs: kinds, headerExtensions }
  const consumer = await transport.consume({ producerId: producer.id, rtpCapabilities, paused: false })
  const [encoding] = consumer.rtpParameters.encodings
  const ssrcs = [encoding.ssrc, encoding.rtx?.ssrc].filter(Boolean)
  const used = consumer.rtpParameters.headerExtensions
  return {
    ...answerOf(section, used),
    direction: 'sendonly',
    ssrcs: ssrcs.map((id) => ({ id, attribute: 'cname', value: consumer.rtpParameters.rtcp.cname })),
    ...(ssrcs.length > 1 && { ssrcGroups: [{ semantics: 'FID', ssrcs: ssrcs.join(' ') }] }),
  }
}

/** The section of the answer, without direction and transport. */
function answerOf(section, headerExtensions) {
  const codec = codecOf(section)
  const rtx = rtxOf(section, codec)
  const payloads = [codec.payload, ...(rtx ? [rtx.payload] : [])]
  return {
    type: section.type,
    port: 9,
    protocol: section.protocol,
    payloads: payloads.join(' '),
    connection: { version: 4, ip: '0.0.0.0' },
    mid: section.mid,
    rtp: rtx ? [codec, rtx] : [codec],
    fmtp: (section.fmtp ?? []).filter((line) => payloads.includes(line.payload)),
    rtcpFb: (section.rtcpFb ?? []).filter((line) => payloads.includes(line.payload)),
    ext: headerExtensions.map(({ uri, id }) => ({ uri, value: id })),
    rtcpMux: 'rtcp-mux',
  }
}

/** Answers an offer: its SDP and the session's id. */
async function answer(name, text, begin) {
  const offer = sdp.parse(text)
  const room = await roomOf(name, offer)
  const transport = await room.router.createWebRtcTransport({ listenInfos: [{ protocol: 'udp', ip }] })
  try {
    const fingerprint = offer.fingerprint ?? offer.media[0].fingerprint
    const fingerprints = [{ algorithm: fingerprint.type, value: fingerprint.hash }]
    await transport.connect({ dtlsParameters: { role: 'client', fingerprints } })
    const media = []
    for (const section of offer.media) media.push(await begin(room, transport, section))
    const id = String(nextSession++)
    sessions.set(id, transport)
    return { id, text: sdp.write(described(transport, media)) }
  } catch (error) {
    transport.close()
    throw error
  }
}

function described(transport, media) {
  const own = transport.dtlsParameters.fingerprints.find(({ algorithm }) => algorithm === 'sha-256')
  const shared = {
    iceUfrag: transport.iceParameters.usernameFragment,
    icePwd: transport.iceParameters.password,
    fingerprint: { type: own.algorithm, hash: own.value },
    setup: 'passive',
    candidates: transport.iceCandidates.map((candidate) => ({
      foundation: candidate.foundation,
      component: 1,
      transport: candidate.protocol,
      priority: candidate.priority,
      ip: candidate.address ?? candidate.ip,
      port: candidate.port,
      type: candidate.type,
    })),
    endOfCandidates: 'end-of-candidates',
  }
  return {
    version: 0,
    origin: { username: '-', sessionId: 1, sessionVersion: 1, netType: 'IN', ipVer: 4, address: '0.0.0.0' },
    name: '-',
    timing: { start: 0, stop: 0 },
    icelite: 'ice-lite',
    groups: [{ type: 'BUNDLE', mids: media.map((section) => section.mid).join(' ') }],
    media: media.map((section) => ({ ...section, ...shared })),
  }
}

async function bodyOf(request) {
  let text = ''
  for await (const chunk of request) {
    text += chunk
    if (text.length > OFFER_BYTES_MAX) throw new Error('the offer is too long')
  }
  return text
}

async function handle(request) {
  const [, resource, name] = request.url.split('/')
  if (resource === 'worker') return { status: 200, text: String(worker.pid) }
  if (request.method === 'DELETE' && resource === 'session') {
    sessions.get(name)?.close()
    return { status: sessions.delete(name) ? 200 : 404, text: '' }
  }
  const begin = { whip: publish, whep: watch }[resource]
  if (request.method !== 'POST' || !begin || !name) return { status: 404, text: 'POST /whip/ROOM or /whep/ROOM\n' }
  const { id, text } = await answer(name, await bodyOf(request), begin)
  return { status: 201, text, headers: { 'content-type': 'application/sdp', location: `/session/${id}` } }
}

http
  .createServer((request, response) => {
    handle(request)
      .catch((error) => ({ status: 400, text: `${error.message}\n` }))
      .then(({ status, text, headers }) => response.writeHead(status, headers).end(text))
  })
  .listen(Number(port), ip, () => console.log(`mediasoup: http://${ip}:${port}, worker ${worker.pid}`))
