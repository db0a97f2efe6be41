//! Cuts a message up by device: order and deduplication are per device, so a device's readings must stand in its own
//! partition, whoever else the message speaks of.

use hashbrown::HashMap;
use record::{DeviceNo, Encoding, Lane, TimeUnit};
use wire::payload::Scratch;

/// A piece is closed when its payload has this many bytes. One record is one transaction of the stream, and line
/// protocol grows when its times become nanoseconds.
const PIECE_BYTES: usize = 1 << 20;

/// Good elements of one device in one lane, as one payload.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) device: &'a str,
    pub(crate) lane: Lane,
    pub(crate) encoding: Encoding,
    pub(crate) payload: &'a [u8],
}

/// The pieces of a decoded message while they are put together. Each is handed out as soon as it is full.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    scratch: &'a Scratch,
    payload: &'a [u8],
    encoding: Encoding,
    time_unit: Option<TimeUnit>,
    groups: Vec<Group>,
    of: HashMap<(u32, Lane), usize>,
}

#[derive(Debug)]
struct Group {
    device: DeviceNo,
    lane: Lane,
    elements: usize,
    payload: Vec<u8>,
}

impl<'a> Pieces<'a> {
    /// Of the message `payload`, as it was just decoded into `scratch`.
    pub(crate) fn new(
        scratch: &'a Scratch,
        payload: &'a [u8],
        encoding: Encoding,
        time_unit: Option<TimeUnit>,
    ) -> Self {
        Self { scratch, payload, encoding, time_unit, groups: Vec::new(), of: HashMap::new() }
    }

    /// Adds element `index` to the piece of its device and lane.
    pub(crate) fn add(
        &mut self,
        device: DeviceNo,
        lane: Lane,
        index: usize,
        push: &mut impl FnMut(Piece<'_>),
    ) {
        let at = *self.of.entry((device.0, lane)).or_insert_with(|| {
            self.groups.push(Group { device, lane, elements: 0, payload: Vec::new() });
            self.groups.len() - 1
        });
        let group = &mut self.groups[at];
        group.elements += 1;
        if self.encoding == Encoding::Influx {
            self.scratch.append_line(index, self.payload, self.time_unit, &mut group.payload);
        } else {
            append_line(&mut group.payload, &self.payload[self.scratch.elements()[index].range.clone()]);
        }
        if group.payload.len() >= PIECE_BYTES {
            self.close(at, push);
        }
    }

    /// Hands out what is left.
    pub(crate) fn finish(mut self, push: &mut impl FnMut(Piece<'_>)) {
        for at in 0..self.groups.len() {
            self.close(at, push);
        }
    }

    fn close(&mut self, at: usize, push: &mut impl FnMut(Piece<'_>)) {
        let group = &mut self.groups[at];
        if group.payload.is_empty() {
            return;
        }
        let encoding = match self.encoding {
            Encoding::Influx => Encoding::Influx,
            _ if group.elements == 1 => Encoding::Json,
            _ => Encoding::Ndjson,
        };
        push(Piece {
            device: self.scratch.readings().device_name(group.device),
            lane: group.lane,
            encoding,
            payload: group.payload.trim_ascii_end(),
        });
        group.elements = 0;
        group.payload.clear();
    }
}

/// Appends an element as one line. Line breaks between the tokens of a document are white space, inside strings
/// they are escaped, and a line has none.
pub(crate) fn append_line(out: &mut Vec<u8>, element: &[u8]) {
    out.extend(element.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    out.push(b'\n');
}
