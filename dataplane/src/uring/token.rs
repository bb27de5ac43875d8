//! What a completion belongs to, as the 64 bits that the ring carries along.
#![forbid(unsafe_code)]

/// Which request a completion answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The multishot receive of a socket.
    Receive(usize),
    /// The poll of the wake-up.
    Wake,
    /// A send of the running batch, by its place in it.
    Send(usize),
    /// A zero-copy send, by its flight.
    ZeroCopy(usize),
}

const KIND_SHIFT: u32 = 56;
const INDEX_MASK: u64 = (1 << KIND_SHIFT) - 1;

impl Token {
    /// The 64 bits.
    pub fn bits(self) -> u64 {
        let (kind, index) = match self {
            Token::Receive(index) => (1, index),
            Token::Wake => (2, 0),
            Token::Send(index) => (3, index),
            Token::ZeroCopy(index) => (4, index),
        };
        kind << KIND_SHIFT | (index as u64 & INDEX_MASK)
    }

    /// What they say; `None` if they are none of ours.
    pub fn read(bits: u64) -> Option<Self> {
        let index = (bits & INDEX_MASK) as usize;
        match bits >> KIND_SHIFT {
            1 => Some(Token::Receive(index)),
            2 => Some(Token::Wake),
            3 => Some(Token::Send(index)),
            4 => Some(Token::ZeroCopy(index)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_ring() {
        for token in [Token::Receive(3), Token::Wake, Token::Send(31), Token::ZeroCopy(63)] {
            assert_eq!(Token::read(token.bits()), Some(token));
        }
        assert_eq!(Token::read(0), None);
    }
}
