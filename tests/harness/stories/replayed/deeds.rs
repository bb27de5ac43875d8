//! What people, links, strangers and the machine do in the bad times of a story.

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::command::{Command, Reply};
use dataplane::limits::ENCODING_SILENCE_MAX;
use dataplane::media::wish::Wish;

use super::{Actor, Story, UNDER_WAY_MAX};
use crate::network::Link;
use crate::random::Random;
use crate::world::transport_id;

/// A peer has 64 SSRCs, and three encodings of two tracks with their retransmissions are twelve.
const RESTARTS_MAX: u8 = 3;

impl Story {
    /// One deed.
    pub(super) fn act(&mut self) {
        let room = self.random.below(self.rooms.len() as u64) as usize;
        match self.random.below(29) {
            0..=2 => self.join_viewer(room),
            3..=4 => self.join_publisher(room),
            5 => self.leave(|actor| actor.publishes.is_empty()),
            6 => self.leave(|actor| !actor.publishes.is_empty()),
            7 => self.vanish(),
            8..=9 => self.rebind(),
            10..=12 => self.change_encodings(),
            13 => self.ask_for_everything(),
            14 => self.send_noise(),
            15..=16 => self.stranger(),
            17 => self.set_clock(),
            18 => self.stall(),
            19 => self.describe(),
            20 if self.random.chance(0.3) => self.reopen(room),
            21 => self.pad(),
            24 => self.restart(),
            25 => self.jump(),
            26..=28 => self.ask_for_layers(),
            _ => self.change_link(),
        }
    }

    fn vanish(&mut self) {
        let Some(at) = self.pick(|_| true) else { return };
        self.actors[at].is_here = false;
        self.world.links[at].is_cut = true;
        self.world.clients[at].is_silent = true;
    }

    fn rebind(&mut self) {
        let Some(at) = self.pick(|_| true) else { return };
        let actor = &mut self.actors[at];
        actor.rebinds += 1;
        actor.ready_at = None;
        let public = SocketAddr::from(([10, 7, at as u8, actor.rebinds], 6_000));
        self.world.rebind(at, public);
    }

    fn change_encodings(&mut self) {
        let Some(at) = self.pick(|actor| !actor.publishes.is_empty()) else { return };
        let actor = &mut self.actors[at];
        actor.encodings = 1 + self.random.below(3) as usize;
        actor.settled_at = Some(self.world.now + UNDER_WAY_MAX + ENCODING_SILENCE_MAX);
    }

    /// A hostile viewer asks for keyframes and repeats that it does not need.
    fn ask_for_everything(&mut self) {
        let Some(at) = self.pick(|actor| !actor.watches.is_empty()) else { return };
        for _ in 0..1 + self.random.below(60) {
            if self.random.chance(0.5) {
                self.world.clients[at].send_pli();
            } else {
                let first = self.random.number() as u16;
                let numbers: Vec<u16> = (0..17).map(|step| first.wrapping_add(step)).collect();
                self.world.clients[at].send_nack(&numbers);
            }
        }
    }

    /// A viewer asks for another encoding, for fewer frames, or for nothing at all.
    fn ask_for_layers(&mut self) {
        let Some(at) = self.pick(|actor| !actor.watches.is_empty()) else { return };
        let is_paused = self.random.chance(0.2);
        let bound = |random: &mut Random| Some(random.below(4) as u8).filter(|bound| *bound < 3);
        let spatial_max = bound(&mut self.random);
        let temporal_max = bound(&mut self.random);
        let wish = Wish { is_paused, spatial_max, temporal_max, ..Wish::default() };
        let command = Command::RequestLayer { id: transport_id(at), mid: None, wish };
        if let Reply::Done = self.world.command(command) {
            let now = self.world.now;
            let actor = &mut self.actors[at];
            actor.is_paused = is_paused;
            // It waits for a keyframe from now on, if it was ready at all.
            actor.ready_at = actor.ready_at.map(|ready| ready.max(now));
        }
    }

    /// A member sends bytes that are almost RTP or RTCP.
    fn send_noise(&mut self) {
        let Some(at) = self.pick(|_| true) else { return };
        for _ in 0..1 + self.random.below(30) {
            let second = if self.random.chance(0.7) { 192 + self.random.below(32) } else { 0 };
            let first = 0x80 | self.random.below(64) as u8;
            let bytes = self.bytes(first, second as u8);
            self.world.clients[at].send(bytes);
        }
    }

    /// Somebody unknown sends something of any protocol.
    fn stranger(&mut self) {
        let source = SocketAddr::from(([10, 66, 6, self.random.below(250) as u8], 6_666));
        for _ in 0..1 + self.random.below(20) {
            let first = self.choose(&[0u8, 1, 20, 22, 23, 64, 100, 0x80, 0x90, 0xff]);
            let second = self.random.number() as u8;
            let bytes = self.bytes(first, second);
            self.world.inject(source, &bytes);
        }
    }

    fn bytes(&mut self, first: u8, second: u8) -> Vec<u8> {
        let len = 2 + self.random.below(120) as usize;
        let mut bytes: Vec<u8> = (0..len).map(|_| self.random.number() as u8).collect();
        (bytes[0], bytes[1]) = (first, second);
        bytes
    }

    fn set_clock(&mut self) {
        let Some(at) = self.pick(|actor| !actor.publishes.is_empty()) else { return };
        self.actors[at].clock_error += self.random.below(20_000) as f64 / 10.0 - 1_000.0;
    }

    /// The machine gives the shard no time.
    fn stall(&mut self) {
        let stall = Duration::from_millis(self.random.below(400));
        self.world.stall_for(stall);
    }

    fn describe(&mut self) {
        let id = transport_id(self.random.below(self.actors.len() as u64 + 1) as usize);
        self.world.command(Command::DescribeTransport { id });
        for lane in self.rooms[0].clone() {
            self.world.command(Command::DescribeTrack { track: lane.track });
        }
    }

    /// A room closes, and another opens in its place. Its publisher is sent away, its viewers see nothing.
    fn reopen(&mut self, room: usize) {
        for lane in self.rooms[room].clone() {
            self.world.command(Command::RemoveTrack { track: lane.track });
            for (at, actor) in self.actors.iter_mut().enumerate() {
                if actor.is_here && actor.publishes.iter().any(|published| published.0 == lane.track) {
                    actor.is_here = false;
                    self.world.clients[at].is_silent = true;
                }
            }
        }
        self.rooms[room] = self.new_lanes();
    }

    /// A publisher probes with packets that hold nothing.
    fn pad(&mut self) {
        let Some(at) = self.pick(|actor| !actor.publishes.is_empty()) else { return };
        for _ in 0..1 + self.random.below(4) {
            self.world.clients[at].send_padding();
        }
    }

    /// A publisher's encoder restarts: other SSRCs, other numbers.
    fn restart(&mut self) {
        let is_fit = |actor: &Actor| !actor.publishes.is_empty() && actor.restarts < RESTARTS_MAX;
        let Some(at) = self.pick(is_fit) else { return };
        self.actors[at].restarts += 1;
        let number = self.random.number() as u16;
        self.world.clients[at].restart(number);
    }

    fn jump(&mut self) {
        let Some(at) = self.pick(|actor| !actor.publishes.is_empty()) else { return };
        let step = self.choose(&[1, 3, 70, 600, 1_100, 8_000]);
        self.world.clients[at].jump(step);
    }

    fn change_link(&mut self) {
        let Some(at) = self.pick(|_| true) else { return };
        self.world.links[at] = Link::any(&mut self.random);
    }
}
