//! What waits to be written to a socket.

use std::cell::RefCell;
use std::task::{Context, Poll};

use super::stream::Stream;

/// Buffers that nobody uses at the moment: a connection borrows one while it has something to write, so that an idle
/// one holds none.
#[derive(Debug, Default)]
pub(super) struct Spares(RefCell<Vec<Vec<u8>>>);

/// A worker writes to a few connections at a time; more buffers than that would only be kept for a burst long past.
const SPARES: usize = 64;
/// A buffer that grew beyond this goes back to the allocator.
const SPARE_BYTES: usize = 64 << 10;

impl Spares {
    fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    fn give(&self, mut buffer: Vec<u8>) {
        let mut spares = self.0.borrow_mut();
        if buffer.capacity() > 0 && buffer.capacity() <= SPARE_BYTES && spares.len() < SPARES {
            buffer.clear();
            spares.push(buffer);
        }
    }
}

/// Bytes waiting for a socket.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    written: usize,
}

impl Output {
    /// Where to append.
    pub(super) fn buffer(&mut self, spares: &Spares) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = spares.take();
        }
        &mut self.bytes
    }

    /// Bytes not yet taken by the socket.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Writes until nothing is left or the socket takes no more. `Ok` in `Ready`: all is out; how many bytes went out
    /// is added to `sent`.
    pub(super) fn poll_flush(
        &mut self,
        stream: &mut Stream,
        spares: &Spares,
        sent: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        while self.len() > 0 {
            match stream.poll_write(cx, &self.bytes[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => {
                    self.written += n;
                    *sent += n as u64;
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    self.compact();
                    return Poll::Pending;
                }
            }
        }
        self.clear(spares);
        stream.poll_flush(cx)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, spares: &Spares) {
        spares.give(std::mem::take(&mut self.bytes));
        self.written = 0;
    }

    /// What is written need not be kept; moving the rest is worth it only when it is the smaller part.
    fn compact(&mut self) {
        if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}
