//! The packets of one track, kept once for all who watch it (D11).
//!
//! Payloads are opened straight into a slot, and sealed from it for each subscriber and each
//! retransmission. The slot that is written next is always vacant, so a packet that turns out to be
//! forged destroys nothing.
#![forbid(unsafe_code)]

use super::packet::Packet;
use crate::limits::DATAGRAM_SIZE_BYTES_MAX;

/// Names a stored packet. Stays unambiguous after the slot was reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheKey(u64);

/// A ring of the newest packets of a track.
#[derive(Debug)]
pub struct PacketCache {
    slots: Vec<Slot>,
    /// The serial that the next packet gets; its slot is `serial % slots.len()`.
    next_serial: u64,
    len: usize,
}

#[derive(Debug)]
struct Slot {
    packet: Option<Packet>,
    payload: Box<[u8]>,
}

impl PacketCache {
    /// A cache of `len` packets. Its memory is taken when the first packet comes.
    pub fn new(len: usize) -> Self {
        Self { slots: Vec::new(), next_serial: 0, len }
    }

    /// How many packets are kept.
    pub fn kept(&self) -> usize {
        self.next_serial.min(self.len as u64 - 1) as usize
    }

    /// The space that the next packet is opened into.
    pub fn vacant_payload(&mut self) -> &mut [u8] {
        if self.slots.is_empty() {
            self.slots.resize_with(self.len, || Slot {
                packet: None,
                payload: vec![0; DATAGRAM_SIZE_BYTES_MAX].into_boxed_slice(),
            });
        }
        let at = self.at(self.next_serial);
        &mut self.slots[at].payload
    }

    /// Keeps the packet whose payload is in [`PacketCache::vacant_payload`].
    pub fn commit(&mut self, packet: Packet) -> CacheKey {
        let serial = self.next_serial;
        let at = self.at(serial);
        self.slots[at].packet = Some(packet);
        self.next_serial += 1;
        let vacated = self.at(self.next_serial);
        self.slots[vacated].packet = None;
        CacheKey(serial)
    }

    /// The packet and its payload, unless it was overwritten.
    pub fn get(&self, key: CacheKey) -> Option<(&Packet, &[u8])> {
        let age = self.next_serial.checked_sub(key.0)?;
        if age == 0 || age >= self.len as u64 {
            return None;
        }
        let slot = &self.slots[self.at(key.0)];
        let packet = slot.packet.as_ref()?;
        Some((packet, &slot.payload[..usize::from(packet.payload_len)]))
    }

    /// The dependency descriptor of a packet, as it came; empty if it has none or was overwritten.
    pub fn dependency(&self, key: CacheKey) -> &[u8] {
        let Some((packet, payload)) = self.get(key) else { return &[] };
        let (start, len) = (payload.len(), usize::from(packet.dependency_len));
        self.slots[self.at(key.0)].payload.get(start..start + len).unwrap_or_default()
    }

    /// The newest `count` packets, newest first.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = (CacheKey, &Packet)> {
        let count = (count as u64).min(self.next_serial).min(self.len as u64 - 1);
        (1..=count).filter_map(|age| {
            let key = CacheKey(self.next_serial - age);
            self.get(key).map(|(packet, _)| (key, packet))
        })
    }

    fn at(&self, serial: u64) -> usize {
        (serial % self.slots.len() as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::packet::Source;

    #[test]
    fn a_packet_stays_until_its_slot_is_needed_again() {
        let mut cache = PacketCache::new(4);
        let keys: Vec<CacheKey> = (0..5).map(|index| push(&mut cache, index)).collect();
        assert_eq!(indices(&cache, &keys), [None, None, Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn a_forged_packet_in_the_vacant_slot_destroys_nothing() {
        let mut cache = PacketCache::new(4);
        let keys: Vec<CacheKey> = (0..3).map(|index| push(&mut cache, index)).collect();
        cache.vacant_payload().fill(0xff);
        assert_eq!(indices(&cache, &keys), [Some(0), Some(1), Some(2)]);
        assert!(cache.get(keys[0]).is_some_and(|(_, payload)| payload == [0; 3]));
    }

    #[test]
    fn the_newest_come_first() {
        let mut cache = PacketCache::new(8);
        for index in 0..5 {
            push(&mut cache, index);
        }
        let newest: Vec<u64> = cache.newest(3).map(|(_, packet)| packet.index).collect();
        assert_eq!(newest, [4, 3, 2]);
    }

    fn push(cache: &mut PacketCache, index: u64) -> CacheKey {
        cache.vacant_payload()[..3].fill(index as u8);
        cache.commit(Packet {
            source: Source { encoding: 0, epoch: 0 },
            index,
            timestamp: 0,
            marker: false,
            payload_len: 3,
            picture: Default::default(),
            dependency_len: 0,
            carried: Default::default(),
            is_recovered: false,
            received_at: None,
        })
    }

    fn indices(cache: &PacketCache, keys: &[CacheKey]) -> Vec<Option<u64>> {
        keys.iter().map(|key| cache.get(*key).map(|(packet, _)| packet.index)).collect()
    }
}
