//! What the kernel is told of a train beside its bytes: where it goes, how it is cut, where it comes from.
#![forbid(unsafe_code)]

use std::ptr;

use crate::udp::message::{Control, Name};
use crate::udp::train::Train;

/// The parts that a message header points to. They have to stay where they are until the kernel has read them.
#[derive(Clone, Copy, Debug)]
pub struct Waybill {
    /// Where the train goes.
    pub name: Name,
    /// How it is cut, and the address that it comes from.
    pub control: Control,
    vector: libc::iovec,
}

impl Waybill {
    /// Of no train.
    pub const EMPTY: Waybill = Waybill {
        name: Name::EMPTY,
        control: Control::EMPTY,
        vector: libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 },
    };

    /// Describes a train whose bytes lie in `slab`; `names_source` on a socket that is bound to all addresses.
    pub fn describe(&mut self, train: &Train, slab: &[u8], names_source: bool) {
        let bytes = &slab[train.start..][..train.len];
        self.name = Name::new(train.path.remote);
        self.control = Control::EMPTY;
        if train.segments > 1 {
            let segment_len = u16::try_from(train.segment_len).expect("a train is shorter than 64 KiB");
            self.control.push_segment_len(segment_len);
        }
        if names_source {
            self.control.push_source(train.path.local);
        }
        self.vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    }

    /// Writes pointers to these parts into a header. The kernel only reads what they point to.
    pub fn fill(&mut self, header: &mut libc::msghdr) {
        header.msg_name = self.name.as_bytes().as_ptr().cast_mut().cast();
        header.msg_namelen = self.name.as_bytes().len() as _;
        header.msg_iov = &raw mut self.vector;
        header.msg_iovlen = 1;
        let control = self.control.as_bytes();
        header.msg_control =
            if control.is_empty() { ptr::null_mut() } else { control.as_ptr().cast_mut().cast() };
        header.msg_controllen = control.len() as _;
    }
}
