//! What the loop needs of an engine: the steps of one turn. Tests drive the loop with engines of their own.
#![forbid(unsafe_code)]

use std::time::Instant;

use crate::command::{Envelope, Event};
use crate::engine::{Engine, Hop, Outlets};
use crate::id::ShardId;
use crate::transport::path::{Datagram, Egress};

/// The steps of one turn, in the order in which the loop takes them.
pub trait Turn {
    /// Does what it is told and replies.
    fn apply(&mut self, envelope: Envelope, now: Instant);
    /// Takes one datagram.
    fn receive(&mut self, datagram: Datagram<'_>, now: Instant);
    /// Takes one hop of another shard.
    fn receive_hop(&mut self, _from: ShardId, _hop: &Hop, _now: Instant) {}
    /// Hands over what other shards are to have.
    fn poll_hops(&mut self, _outlets: &mut impl Outlets, _now: Instant) {}
    /// Does what is due.
    fn expire(&mut self, now: Instant);
    /// Seals all that must leave.
    fn transmit(&mut self, egress: &mut impl Egress, now: Instant);
    /// What it has to say, until there is nothing.
    fn poll_event(&mut self) -> Option<Event>;
    /// When [`Turn::expire`] has something to do again.
    fn next_deadline(&self) -> Option<Instant>;
}

impl Turn for Engine {
    fn apply(&mut self, envelope: Envelope, now: Instant) {
        Engine::apply(self, envelope, now);
    }

    fn receive(&mut self, datagram: Datagram<'_>, now: Instant) {
        Engine::receive(self, datagram, now);
    }

    fn receive_hop(&mut self, from: ShardId, hop: &Hop, now: Instant) {
        Engine::receive_hop(self, from, hop, now);
    }

    fn poll_hops(&mut self, outlets: &mut impl Outlets, now: Instant) {
        Engine::poll_hops(self, outlets, now);
    }

    fn expire(&mut self, now: Instant) {
        Engine::expire(self, now);
    }

    fn transmit(&mut self, egress: &mut impl Egress, now: Instant) {
        Engine::transmit(self, egress, now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        Engine::poll_event(self)
    }

    fn next_deadline(&self) -> Option<Instant> {
        Engine::next_deadline(self)
    }
}
