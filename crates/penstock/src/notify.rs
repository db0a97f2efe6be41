//! Tells systemd where the server is (sd_notify(3)): a unit of `Type=notify` counts as started once it is ready, so
//! that what is ordered after it finds it recovered.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where a server is.
pub(crate) enum State {
    Ready,
    Stopping,
}

/// Says so to who started us, if they asked for it. That they do not hear it is no reason to stop.
pub(crate) fn notify(state: State) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(socket = %socket.display(), %error, "the service manager is not told");
    }
}

fn send(socket: &OsStr, state: State) -> io::Result<()> {
    let text: &[u8] = match state {
        State::Ready => b"READY=1",
        State::Stopping => b"STOPPING=1",
    };
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address).map(drop)
}
