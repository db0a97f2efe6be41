//! What explains and checks payloads beyond their own words: the seam to schemas. The compilers of schema languages are
//! heavy, so the gateway knows a function only; `server` hands it in.

use std::fmt;
use std::sync::Arc;

use record::Encoding;

/// A telemetry payload, and what is known of it before it is read.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'p> {
    /// Whose it is.
    pub tenant: &'p str,
    /// Its topic; for HTTP the pseudo-topic.
    pub topic: &'p str,
    /// What kind of device sent it, where the topic says so.
    pub device_type: Option<&'p str>,
    /// The device's firmware, where the message says so.
    pub firmware: Option<&'p str>,
    /// What the payload looks like, or is said to be.
    pub encoding: Encoding,
    /// What was sent.
    pub payload: &'p [u8],
}

/// A payload that `wire` can read.
#[derive(Clone, Copy, Debug)]
pub struct Readable<'p> {
    /// The encoding of what was sent.
    pub sent: Encoding,
    /// How to read `payload`.
    pub encoding: Encoding,
    /// What was sent, or what it means.
    pub payload: &'p [u8],
}

type Explain = dyn for<'p> Fn(&Offered<'p>, &'p mut String) -> Result<Readable<'p>, String> + Send + Sync;

/// Checks payloads by their schemas and brings them into a shape that `wire` can read. What needs room is written to the
/// buffer; the error is for the device's developer. Must not block.
#[derive(Clone, Default)]
pub struct Schemas(Option<Arc<Explain>>);

impl Schemas {
    /// By this function.
    pub fn new(
        explain: impl for<'p> Fn(&Offered<'p>, &'p mut String) -> Result<Readable<'p>, String>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Some(Arc::new(explain)))
    }

    /// Without a function every payload is as it is.
    pub(crate) fn explain<'p>(
        &self,
        offered: &Offered<'p>,
        buffer: &'p mut String,
    ) -> Result<Readable<'p>, String> {
        match &self.0 {
            Some(explain) => explain(offered, buffer),
            None => {
                let Offered { encoding, payload, .. } = *offered;
                Ok(Readable { sent: encoding, encoding, payload })
            }
        }
    }
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Schemas(some)" } else { "Schemas(none)" })
    }
}
