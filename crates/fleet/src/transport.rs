//! A non-blocking byte stream to the server: TCP, with or without TLS.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use mio::net::TcpStream;
use rustls::ClientConnection;
use socket2::{Domain, Protocol, Socket, Type};

use crate::target::Tls;

/// An open (or opening) connection.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Transport {
    /// Starts to connect; the socket becomes writable when that is done.
    pub(crate) fn open(to: SocketAddr, from: Option<IpAddr>, tls: Option<&Tls>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = from {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        let tls = match tls {
            Some(tls) => {
                let client = ClientConnection::new(tls.config.clone(), tls.name.clone());
                Some(Box::new(client.map_err(io::Error::other)?))
            }
            None => None,
        };
        Ok(Self { stream: TcpStream::from_std(socket.into()), tls })
    }

    /// A short read has emptied a plain socket; a TLS one is empty only at `WouldBlock`.
    pub(crate) fn short_read_is_all(&self) -> bool {
        self.tls.is_none()
    }

    /// Reads plain bytes; 0 is the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.read(into) };
        loop {
            match tls.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if tls.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            let processed = tls.process_new_packets();
            // Handshake answers, or the alert that says what was wrong.
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            processed.map_err(io::Error::other)?;
        }
    }

    /// Takes plain bytes and sends what the socket takes. Returns how many were taken.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return if bytes.is_empty() { Ok(0) } else { self.stream.write(bytes) };
        };
        let taken = tls.writer().write(bytes)?;
        while tls.wants_write() {
            match tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Makes the coming close a reset, as when a device loses power: no TIME_WAIT stays behind.
    pub(crate) fn reset_on_close(&self) {
        // When it fails the close is an ordinary one, which serves as well.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO));
    }
}
