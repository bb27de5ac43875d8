//! What happened in a world, one line an event: the thing that equal seeds must make equal.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The shard sent a datagram.
    Sent,
    /// The shard received a datagram.
    Received,
    /// The shard told the control plane something.
    Told,
    /// Packets ended at the shard, for this reason.
    Dropped,
    /// The control plane told the shard something; the digest is of the answer.
    Commanded,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Since the world began.
    pub at: Duration,
    /// What happened.
    pub what: What,
    /// The other end of a datagram.
    pub peer: Option<SocketAddr>,
    /// What was said.
    pub words: Option<Box<str>>,
    /// First bytes of a datagram.
    pub head: [u8; 12],
    /// Bytes of a datagram, or of the words of an event.
    pub len: usize,
    /// Of all the bytes.
    pub digest: u64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.what, self.head) {
            (What::Told | What::Commanded | What::Dropped, _) => "",
            (_, [0..=3, ..]) => "stun",
            (_, [20..=63, ..]) => "dtls",
            (_, [128..=191, 192..=223, ..]) => "rtcp",
            (_, [128..=191, ..]) => "rtp",
            _ => "?",
        };
        let what = format!("{:?}", self.what).to_lowercase();
        write!(f, "{:>12.6} s  {what:<9} ", self.at.as_secs_f64())?;
        match self.peer {
            Some(peer) => write!(f, "{peer:<18} {kind:<4} {} ", hex(&self.head))?,
            None => return f.write_str(self.words.as_deref().unwrap_or_default()),
        }
        write!(f, "{:>4} B  {:016x}", self.len, self.digest)
    }
}

/// Everything that happened, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    lines: Vec<Line>,
}

impl Trace {
    /// A datagram was sent or received.
    pub fn note_datagram(&mut self, at: Duration, what: What, peer: SocketAddr, bytes: &[u8]) {
        let mut head = [0; 12];
        head.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
        let digest = digest(bytes);
        self.lines.push(Line { at, what, peer: Some(peer), words: None, head, len: bytes.len(), digest });
    }

    /// Something was said.
    pub fn note_words(&mut self, at: Duration, what: What, words: &str) {
        let (len, digest) = (words.len(), digest(words.as_bytes()));
        self.lines.push(Line { at, what, peer: None, words: Some(words.into()), head: [0; 12], len, digest });
    }

    /// How many events there were.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Where two traces part: the place of the first event that differs.
    pub fn first_difference(&self, other: &Trace) -> Option<usize> {
        if self == other {
            return None;
        }
        let same = self.lines.iter().zip(&other.lines).take_while(|(mine, theirs)| mine == theirs);
        Some(same.count())
    }

    /// The last `count` events before the place `end`, one a line.
    pub fn tail(&self, end: usize, count: usize) -> String {
        let end = end.min(self.lines.len());
        let first = end.saturating_sub(count);
        let lines = self.lines[first..end].iter().enumerate();
        lines.map(|(at, line)| format!("{:>7}  {line}\n", first + at)).collect()
    }
}

/// A digest of some bytes; the same on every run of one build.
pub fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn hex(head: &[u8; 12]) -> String {
    head.chunks(4)
        .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + " ")
        .collect()
}
