//! One reading: by itself, and as a row of a batch.

use crate::{DeviceId, MetricName, Timestamp, Value, ValueRef};

/// The number of a device within one [`crate::Readings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNo(pub u32);

/// The number of a metric within one [`crate::Readings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricNo(pub u32);

/// Whose clock an event time is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TimeOrigin {
    /// The device said when it happened.
    Device = 0,
    /// The device sent no time: it is the server's time of arrival.
    Server = 1,
    /// The device's clock is known to be off: its time, put right by the estimated skew.
    Corrected = 2,
    /// The device said so, but its clock is far off: taken as it is and flagged.
    Suspect = 3,
}

impl TimeOrigin {
    /// The origin with this number; `None` for a number that stands for none.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Device,
            1 => Self::Server,
            2 => Self::Corrected,
            3 => Self::Suspect,
            _ => return None,
        })
    }
}

/// When a reading happened and when it arrived. Both are kept, never mixed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// When it happened.
    pub time: Timestamp,
    /// Whose clock `time` is from.
    pub origin: TimeOrigin,
    /// When it arrived, by the server's clock.
    pub arrived_at: Timestamp,
    /// What the device itself said: part of the reading's key, so that the same reading is known again however
    /// its time was put right. Differs from `time` only where `origin` is [`TimeOrigin::Corrected`].
    pub claimed: Timestamp,
    /// One more than the device's sequence number, so that a number 0 is one; 0: none was sent. Part of the reading's key.
    pub seq: u64,
}

impl When {
    /// The device named the time.
    #[must_use]
    #[inline]
    pub const fn by_device(time: Timestamp, arrived_at: Timestamp) -> Self {
        Self { time, origin: TimeOrigin::Device, arrived_at, claimed: time, seq: 0 }
    }

    /// The device named no time.
    #[must_use]
    #[inline]
    pub const fn by_server(arrived_at: Timestamp) -> Self {
        Self { time: arrived_at, origin: TimeOrigin::Server, arrived_at, claimed: arrived_at, seq: 0 }
    }

    /// The same with a sequence number, as [`When::seq`] has it.
    #[must_use]
    #[inline]
    pub const fn with_seq(self, seq: u64) -> Self {
        Self { seq, ..self }
    }

    /// The same with its time put right.
    #[must_use]
    #[inline]
    pub const fn corrected_to(self, time: Timestamp) -> Self {
        Self { time, origin: TimeOrigin::Corrected, ..self }
    }
}

/// One reading on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The device.
    pub device: DeviceId,
    /// What was measured.
    pub metric: MetricName,
    /// When it happened and arrived.
    pub when: When,
    /// What was measured.
    pub value: Value,
}

/// One reading of a batch, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadingRef<'a> {
    /// The device; a valid [`DeviceId`].
    pub device: &'a str,
    /// The metric; a valid [`MetricName`].
    pub metric: &'a str,
    /// The device's number in its batch.
    pub device_no: DeviceNo,
    /// The metric's number in its batch.
    pub metric_no: MetricNo,
    /// When it happened and arrived.
    pub when: When,
    /// What was measured.
    pub value: ValueRef<'a>,
}

impl ReadingRef<'_> {
    /// A reading that stands on its own.
    #[must_use]
    pub fn to_reading(&self) -> Reading {
        Reading {
            device: DeviceId::parse(self.device).expect("a batch only takes checked device ids"),
            metric: MetricName::parse(self.metric).expect("a batch only takes checked metric names"),
            when: self.when,
            value: self.value.to_value(),
        }
    }
}
