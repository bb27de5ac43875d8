//! Tracks, their encodings and who watches them. Knows no sockets, no SRTP, no SDP.
#![forbid(unsafe_code)]

pub mod arrival;
pub mod carried;
pub mod crossing;
pub mod demand;
pub mod dependency;
pub mod dependency_line;
pub mod encoding;
pub mod format;
pub mod keyframe;
pub mod ladder;
pub mod loss;
pub mod meter;
pub mod numbering;
pub mod overwrite;
pub mod packet;
pub mod packet_cache;
pub mod picture;
pub mod picture_line;
pub mod selector;
pub mod sent_log;
pub mod subscription;
pub mod timeline;
pub mod track;
pub mod wish;
