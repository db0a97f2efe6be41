//! Sans-I/O codecs: what bytes on a socket mean. No sockets, no clocks, no allocation beyond what is returned.

pub mod mqtt;
pub mod payload;
pub mod template;
