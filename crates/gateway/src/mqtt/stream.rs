//! The byte stream of a connection. Plain TCP stays plain; what else there is (TLS, WebSocket) is boxed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream that is not plain TCP.
pub(super) trait Duplex: AsyncRead + AsyncWrite {}

impl<T: AsyncRead + AsyncWrite> Duplex for T {}

/// The byte stream of a connection.
pub(super) enum Stream {
    Tcp(TcpStream),
    Other(Pin<Box<dyn Duplex>>),
    /// Nothing any more: the socket is closed.
    Closed,
}

impl Stream {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        let polled = match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Self::Other(stream) => stream.as_mut().poll_read(cx, &mut buffer),
            Self::Closed => Poll::Ready(Ok(())),
        };
        polled.map_ok(|()| buffer.filled().len())
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Other(stream) => stream.as_mut().poll_write(cx, bytes),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// TLS and WebSocket keep bytes of their own.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Closed => Poll::Ready(Ok(())),
            Self::Other(stream) => stream.as_mut().poll_flush(cx),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Other(stream) => stream.as_mut().poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

/// A TCP socket that can go from the runtime of one thread to that of another, with the TLS around it.
#[derive(Debug)]
pub(super) enum Portable {
    /// Served by the runtime of this thread.
    Here(TcpStream),
    /// On its way.
    Packed(std::net::TcpStream),
    /// The system did not take it along.
    Lost,
}

impl From<TcpStream> for Portable {
    fn from(stream: TcpStream) -> Self {
        Self::Here(stream)
    }
}

impl Portable {
    /// Takes it out of the runtime of this thread.
    ///
    /// # Errors
    /// The system's; then it is lost.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        if let Self::Here(stream) = std::mem::replace(self, Self::Lost) {
            *self = Self::Packed(stream.into_std()?);
        }
        Ok(())
    }

    /// Makes it part of the runtime of this thread.
    ///
    /// # Errors
    /// The system's; then it is lost.
    pub(super) fn arrive(&mut self) -> io::Result<()> {
        if let Self::Packed(stream) = std::mem::replace(self, Self::Lost) {
            *self = Self::Here(TcpStream::from_std(stream)?);
        }
        Ok(())
    }

    fn here(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        match self.get_mut() {
            Self::Here(stream) => Ok(Pin::new(stream)),
            Self::Packed(_) | Self::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Portable {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.here()?.poll_read(cx, out)
    }
}

impl AsyncWrite for Portable {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.here()?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.here()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.here()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.here()?.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
