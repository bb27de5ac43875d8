//! A real shard on real sockets. The allocator counts what the shard's thread allocates.

#![allow(clippy::unwrap_used)]

mod counting;
mod mesh;
mod sockets;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;
