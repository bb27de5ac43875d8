//! A bounded queue from one thread to another, whose items are written and read where they lie.
#![forbid(unsafe_code)]

use rtrb::{Consumer, Producer, RingBuffer};

/// The end that is written.
#[derive(Debug)]
pub struct Writer<T>(Producer<T>);

/// The end that is read.
#[derive(Debug)]
pub struct Reader<T>(Consumer<T>);

/// A ring of `len` places.
pub fn ring<T>(len: usize) -> (Writer<T>, Reader<T>) {
    let (producer, consumer) = RingBuffer::new(len);
    (Writer(producer), Reader(consumer))
}

impl<T: Default> Writer<T> {
    /// Lets `write` fill the next place; false if there is none.
    pub fn write(&mut self, write: impl FnOnce(&mut T)) -> bool {
        let Ok(mut chunk) = self.0.write_chunk(1) else { return false };
        if let [item] = chunk.as_mut_slices().0 {
            write(item);
        }
        chunk.commit_all();
        true
    }
}

impl<T> Writer<T> {
    /// How many places there are.
    pub fn len_max(&self) -> usize {
        self.0.buffer().capacity()
    }

    /// Whether more than `reserve` places are free. The reader's memory is looked at only if it was not so when it
    /// was looked at last.
    pub fn has_room_beside(&self, reserve: usize) -> bool {
        self.0.cached_slots() > reserve || self.0.slots() > reserve
    }

    /// Whether the reader is gone.
    pub fn is_abandoned(&self) -> bool {
        self.0.is_abandoned()
    }
}

impl<T> Reader<T> {
    /// Shows at most `limit` items to `on_item` and takes them out; gives how many there were.
    pub fn read(&mut self, limit: usize, mut on_item: impl FnMut(&T)) -> usize {
        let waiting = self.0.slots();
        let Ok(chunk) = self.0.read_chunk(waiting.min(limit)) else { return waiting };
        let (first, second) = chunk.as_slices();
        first.iter().chain(second).for_each(&mut on_item);
        chunk.commit_all();
        waiting
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
