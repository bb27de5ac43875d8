//! Recorded streams of real browsers: RTP packets in the clear, and the offer that names what stands in them.
//!
//! A capture is two files of one name. `NAME.rtpdump` has the packets, header and extensions included, in the
//! format of rtptools, which Wireshark reads too. `NAME.sdp` is the offer of the browser, cut down to the
//! section that was recorded: payload types and extension ids are those of the offer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dataplane::id::ShardId;
use dataplane::transport::description::Description;
use dataplane::transport::negotiate::{AnswerSettings, NegotiateError, Negotiator, PeerRole};

/// First line of the format; the address is of no meaning here.
const MAGIC: &[u8] = b"#!rtpplay1.0 127.0.0.1/9\n";
/// Start time, source and port of the file header, none of them kept.
const FILE_HEADER_LEN: usize = 16;
/// Length of the record, length of the packet, offset in ms.
const RECORD_HEADER_LEN: usize = 8;

/// One recorded packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedPacket {
    /// When it arrived, counted from the first packet of the capture; whole milliseconds.
    pub at: Duration,
    /// The whole packet, opened.
    pub bytes: Vec<u8>,
}

/// One recorded stream.
#[derive(Clone, Debug)]
pub struct Capture {
    /// Name of its two files.
    pub name: String,
    /// The packets, in the order of their arrival.
    pub packets: Vec<CapturedPacket>,
    /// The offer of the browser.
    pub offer: String,
}

/// Where the captures are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures")
}

impl Capture {
    /// Every capture, by name.
    pub fn all() -> Vec<Capture> {
        let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|it| it == "rtpdump")).collect();
        paths.sort();
        paths.iter().map(|path| Capture::read(path).unwrap()).collect()
    }

    /// The capture `name`.
    pub fn load(name: &str) -> Capture {
        Self::read(&folder().join(name).with_extension("rtpdump"))
            .unwrap_or_else(|error| panic!("capture {name}: {error}"))
    }

    fn read(path: &Path) -> io::Result<Capture> {
        let packets = parse(&std::fs::read(path)?)
            .ok_or_else(|| io::Error::other(format!("{} is no rtpdump", path.display())))?;
        let offer = std::fs::read_to_string(path.with_extension("sdp"))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Capture { name, packets, offer })
    }

    /// Writes both files beside each other; `path` ends in `.rtpdump`.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, format(&self.packets))?;
        std::fs::write(path.with_extension("sdp"), &self.offer)
    }

    /// What the server makes of the offer: as a publisher's, or, turned around, as that of a viewer that takes
    /// just what the publisher sends.
    ///
    /// # Errors
    ///
    /// Those of [`Negotiator::answer`].
    pub fn describe(&self, role: PeerRole) -> Result<Description, NegotiateError> {
        let now = Instant::now();
        let offer = match role {
            PeerRole::Publisher => self.offer.clone(),
            PeerRole::Subscriber => turned_around(&self.offer),
        };
        let candidates = [([127, 0, 0, 1], 9).into()];
        let settings = AnswerSettings { role, shard: ShardId(0), candidates: &candidates };
        let answered = Negotiator::new(now)?.answer(&offer, &settings, now)?;
        Ok(answered.transport.description().clone())
    }
}

/// The offer of a viewer: the same codecs and extensions, received instead of sent.
fn turned_around(offer: &str) -> String {
    const OF_SENDERS: [&str; 4] = ["a=rid:", "a=simulcast:", "a=ssrc", "a=msid:"];
    let kept = offer.lines().filter(|line| !OF_SENDERS.iter().any(|start| line.starts_with(start)));
    let turned = kept.map(|line| if line == "a=sendonly" { "a=recvonly" } else { line });
    turned.flat_map(|line| [line, "\r\n"]).collect()
}

fn format(packets: &[CapturedPacket]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend([0; FILE_HEADER_LEN]);
    for packet in packets {
        let len = u16::try_from(packet.bytes.len()).expect("a datagram is shorter than 64 KiB");
        out.extend((len + RECORD_HEADER_LEN as u16).to_be_bytes());
        out.extend(len.to_be_bytes());
        out.extend((packet.at.as_millis() as u32).to_be_bytes());
        out.extend(&packet.bytes);
    }
    out
}

fn parse(file: &[u8]) -> Option<Vec<CapturedPacket>> {
    let mut rest = file.strip_prefix(MAGIC)?.get(FILE_HEADER_LEN..)?;
    let mut packets = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<RECORD_HEADER_LEN>() {
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let millis = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let (bytes, behind) = behind.split_at_checked(len)?;
        packets.push(CapturedPacket { at: Duration::from_millis(millis.into()), bytes: bytes.to_vec() });
        rest = behind;
    }
    rest.is_empty().then_some(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_cut_off_is_not() {
        let packet = |millis, len| CapturedPacket {
            at: Duration::from_millis(millis),
            bytes: (0..len).map(|byte| byte as u8).collect(),
        };
        let packets = vec![packet(0, 12), packet(70_000, 1_200)];
        let file = format(&packets);
        assert_eq!(parse(&file), Some(packets));
        assert_eq!(parse(&file[..file.len() - 1]), None);
        assert_eq!(parse(b"#!rtpplay2"), None);
    }
}
