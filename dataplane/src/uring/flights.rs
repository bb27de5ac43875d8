//! Zero-copy sends that the kernel has not given back yet, and the slabs that it still reads.
//!
//! It makes no system call: it keeps what they need alive.
//!
//! # Invariants
//!
//! - Name, control bytes, vector and header of a flight, and every byte of its train, stay as they are until the
//!   completion that says so: the one with `IORING_CQE_F_NOTIF`, or a first one that announces none.
//! - A slab with flights is written only behind its trains, and not begun anew: [`Flights::exchange`] puts a spare in
//!   its place. A send takes off only if there is a spare.
//! - What is in the air when all of this ends is leaked, not freed: the memory could hold a secret next.
#![forbid(unsafe_code)]

use io_uring::cqueue;

use crate::limits::{SEND_SLAB_BYTES, ZERO_COPY_FLIGHTS_MAX, ZERO_COPY_SLABS_MAX};
use crate::udp::system::empty_header;
use crate::udp::train::Train;
use crate::udp::waybill::Waybill;
use crate::uring::ring::Completion;

/// In the result of a notification (linux/io_uring.h, `IORING_NOTIF_USAGE_ZC_COPIED`).
const COPIED: u32 = 1 << 31;

/// See the module.
#[derive(Debug)]
pub struct Flights {
    places: Box<[Flight]>,
    free: Vec<usize>,
    /// Of the slab that is being written.
    generation: u64,
    parked: Vec<Parked>,
    spares: Vec<Box<[u8]>>,
}

#[derive(Debug)]
struct Flight {
    waybill: Waybill,
    header: libc::msghdr,
    socket: usize,
    /// Its place among the trains that are being tried.
    train: usize,
    /// Of the slab that its bytes lie in; `None` on the ground.
    generation: Option<u64>,
}

/// A slab that waits for its flights to land.
#[derive(Debug)]
struct Parked {
    generation: u64,
    slab: Box<[u8]>,
}

/// What a completion says of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The kernel did not take the train.
    Refused {
        /// Its place among the trains that were tried.
        train: usize,
        /// The index of its socket.
        socket: usize,
        /// Why.
        error: i32,
    },
    /// It has left, and its memory is free.
    Landed {
        /// The index of its socket.
        socket: usize,
        /// Whether the kernel made a copy after all.
        was_copied: bool,
    },
    /// Nothing that matters here.
    Nothing,
}

impl Flights {
    /// Room for all flights and slabs that there may be at once.
    pub fn new() -> Self {
        let flight = || Flight {
            waybill: Waybill::EMPTY,
            header: empty_header(),
            socket: 0,
            train: 0,
            generation: None,
        };
        Self {
            places: (0..ZERO_COPY_FLIGHTS_MAX).map(|_| flight()).collect(),
            free: (0..ZERO_COPY_FLIGHTS_MAX).collect(),
            generation: 0,
            parked: Vec::with_capacity(ZERO_COPY_SLABS_MAX),
            spares: (0..ZERO_COPY_SLABS_MAX).map(|_| vec![0; SEND_SLAB_BYTES].into_boxed_slice()).collect(),
        }
    }

    /// Readies a train for take-off, the `index`th of those that are tried. Answers its flight and the header to
    /// send; `None` if there is no room in the air or no spare for its slab.
    pub fn board(
        &mut self,
        index: usize,
        train: &Train,
        slab: &[u8],
        names_source: bool,
    ) -> Option<(usize, *const libc::msghdr)> {
        if self.spares.is_empty() {
            return None;
        }
        let number = self.free.pop()?;
        let flight = &mut self.places[number];
        flight.waybill.describe(train, slab, names_source);
        flight.waybill.fill(&mut flight.header);
        flight.socket = train.socket;
        flight.train = index;
        flight.generation = Some(self.generation);
        Some((number, &raw const flight.header))
    }

    /// Takes a flight back that could not even be pushed.
    pub fn unboard(&mut self, number: usize) {
        self.land(number);
    }

    /// Reads a completion of a flight.
    pub fn note(&mut self, number: usize, completion: &Completion) -> Report {
        let Some(flight) = self.places.get(number).filter(|flight| flight.generation.is_some()) else {
            return Report::Nothing;
        };
        let (socket, train) = (flight.socket, flight.train);
        let is_notification = cqueue::notif(completion.flags);
        if is_notification || !completion.has_more() {
            self.land(number);
        }
        if is_notification {
            return Report::Landed { socket, was_copied: completion.result as u32 & COPIED != 0 };
        }
        completion.error().map_or(Report::Nothing, |error| Report::Refused { train, socket, error })
    }

    /// A slab to begin anew: the same one, or a spare while the kernel still reads it.
    pub fn exchange(&mut self, slab: Box<[u8]>) -> Box<[u8]> {
        if !self.has_flights(self.generation) {
            return slab;
        }
        self.parked.push(Parked { generation: self.generation, slab });
        self.generation += 1;
        self.spares.pop().expect("a send takes off only if there is a spare for its slab")
    }

    /// Whether the kernel has given everything back.
    pub fn are_over(&self) -> bool {
        self.free.len() == self.places.len()
    }

    fn land(&mut self, number: usize) {
        let generation = self.places[number].generation.take();
        self.free.push(number);
        let Some(generation) = generation.filter(|generation| !self.has_flights(*generation)) else { return };
        if let Some(index) = self.parked.iter().position(|parked| parked.generation == generation) {
            let parked = self.parked.swap_remove(index);
            self.spares.push(parked.slab);
        }
    }

    fn has_flights(&self, generation: u64) -> bool {
        !self.are_over() && self.places.iter().any(|flight| flight.generation == Some(generation))
    }
}

impl Drop for Flights {
    fn drop(&mut self) {
        if !self.are_over() {
            std::mem::forget(std::mem::take(&mut self.places));
            self.parked.drain(..).for_each(std::mem::forget);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::transport::path::Path;
    use crate::udp::train::Batch;

    // linux/io_uring.h
    const MORE: u32 = 1 << 1;
    const NOTIFICATION: u32 = 1 << 3;

    fn said(result: i32, flags: u32) -> Completion {
        Completion { token: 0, result, flags }
    }

    fn take_off(flights: &mut Flights, slab: &[u8]) -> Option<usize> {
        let address = "192.0.2.1:7".parse().unwrap();
        let mut batch = Batch::default();
        batch.push(Path { local: address, remote: address }, 3, 100, None);
        flights.board(5, &batch.parts().1[0], slab, false).map(|(flight, _)| flight)
    }

    fn slab() -> Box<[u8]> {
        vec![0; SEND_SLAB_BYTES].into_boxed_slice()
    }

    #[test]
    fn a_slab_comes_back_only_after_the_last_notification() {
        let mut flights = Flights::new();
        let first = slab();
        let address = first.as_ptr();
        let flown = [take_off(&mut flights, &first).unwrap(), take_off(&mut flights, &first).unwrap()];
        let second = flights.exchange(first);
        assert_ne!(second.as_ptr(), address);
        for flight in flown {
            assert_eq!(flights.note(flight, &said(100, MORE)), Report::Nothing);
        }
        assert_eq!(flights.parked.len(), 1, "both have only been sent");
        let landed = |was_copied| Report::Landed { socket: 3, was_copied };
        assert_eq!(flights.note(flown[0], &said(0, NOTIFICATION)), landed(false));
        assert_eq!(flights.parked.len(), 1, "one is still in the air");
        assert_eq!(flights.note(flown[1], &said(COPIED as i32, NOTIFICATION)), landed(true));
        assert!(flights.parked.is_empty() && flights.are_over());
        assert_eq!(flights.spares.last().unwrap().as_ptr(), address);
    }

    #[test]
    fn a_refused_train_lands_with_its_refusal_or_with_the_notification_that_it_announces() {
        let mut flights = Flights::new();
        let slab = slab();
        let refused = Report::Refused { train: 5, socket: 3, error: libc::EINVAL };
        let flight = take_off(&mut flights, &slab).unwrap();
        assert_eq!(flights.note(flight, &said(-libc::EINVAL, 0)), refused);
        assert!(flights.are_over());
        let flight = take_off(&mut flights, &slab).unwrap();
        assert_eq!(flights.note(flight, &said(-libc::EINVAL, MORE)), refused);
        assert!(!flights.are_over());
        flights.note(flight, &said(0, NOTIFICATION));
        assert!(flights.are_over());
    }

    #[test]
    fn nothing_takes_off_without_a_spare_slab_or_a_place() {
        let mut flights = Flights::new();
        let mut writing = slab();
        for _ in 0..ZERO_COPY_SLABS_MAX {
            take_off(&mut flights, &writing).unwrap();
            writing = flights.exchange(writing);
        }
        assert_eq!(take_off(&mut flights, &writing), None, "every spare is in the air");
        let address = writing.as_ptr();
        let writing = flights.exchange(writing);
        assert_eq!(writing.as_ptr(), address, "what did not fly is used again");

        let mut flights = Flights::new();
        let writing = slab();
        let count = std::iter::from_fn(|| take_off(&mut flights, &writing)).count();
        assert_eq!(count, ZERO_COPY_FLIGHTS_MAX);
    }
}
