//! The names of what is not a metric, for decoders of other encodings that bring payloads into the shape of JSON.

/// Whether the key names the time (docs/payloads.md).
#[must_use]
pub fn is_time_key(key: &str) -> bool {
    matches!(key, "ts" | "timestamp" | "time")
}

/// Whether the key names the device.
#[must_use]
pub fn is_device_key(key: &str) -> bool {
    matches!(key, "device_id" | "deviceId" | "device" | "id")
}

/// Whether the key names the sequence number.
#[must_use]
pub fn is_sequence_key(key: &str) -> bool {
    matches!(key, "seq" | "sequence" | "seq_no")
}
