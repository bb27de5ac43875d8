//! A planted bug that shows whether the fuzzer finds any.

/// What the planted parser waits for, one byte after the other.
const MAGIC: &[u8; 6] = b"sluice";

/// Panics on input that begins with six certain bytes. Blind chance needs 2^48 tries for that; a fuzzer that
/// is told which branch was new finds one byte after the other.
///
/// # Panics
///
/// On purpose.
pub fn canary(bytes: &[u8]) {
    let mut found = 0;
    for (byte, wanted) in bytes.iter().zip(MAGIC) {
        if !is_wanted(found, *byte, *wanted) {
            return;
        }
        found += 1;
    }
    assert!(found < MAGIC.len(), "the planted bug was found");
}

/// Each place is a branch of its own, so that getting further is seen as new coverage.
fn is_wanted(place: usize, byte: u8, wanted: u8) -> bool {
    match place {
        0 => byte == wanted,
        1 => byte == wanted,
        2 => byte == wanted,
        3 => byte == wanted,
        4 => byte == wanted,
        _ => byte == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the planted bug was found")]
    fn the_planted_bug_is_there() {
        canary(b"sluice gate");
    }

    #[test]
    fn the_planted_bug_needs_all_of_its_bytes() {
        [&b""[..], b"sluic", b"sluicf", b"xluice"].into_iter().for_each(canary);
    }
}
