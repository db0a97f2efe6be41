//! Every limit on what comes from outside, in one place, each with its reason. All are checked
//! before anything is allocated for the thing they bound.

/// Longest tenant id, bytes. It stands in every record and in storage paths.
pub const TENANT_ID_BYTES: usize = 64;
/// Longest device id, bytes. Room for a URN with a UUID, a VIN or an X.509 common name.
pub const DEVICE_ID_BYTES: usize = 256;
/// Longest metric name, bytes. Room for a path of names, and for the tag set that line protocol puts
/// behind them (Telegraf's container and SNMP inputs send hundreds of bytes of tags).
pub const METRIC_NAME_BYTES: usize = 1024;
/// Longest MQTT client id, bytes. The standard demands 23; fleets use URNs.
pub const CLIENT_ID_BYTES: usize = 512;
/// Longest topic, bytes. MQTT allows 65 535; nobody's tree needs it and each retained topic is kept in memory.
pub const TOPIC_BYTES: usize = 4096;
/// Most levels in a topic or filter. Matching walks levels, so this bounds its work.
pub const TOPIC_LEVELS: usize = 128;
/// Largest MQTT packet by default, bytes. The average event is 500 B; a batch of an hour fits in 1 MiB.
pub const MQTT_PACKET_BYTES: usize = 1 << 20;
/// Largest HTTP body by default, bytes, before and after decompression.
pub const HTTP_BODY_BYTES: usize = 16 << 20;
/// Largest single record that the log takes, bytes: the largest MQTT packet plus its envelope.
pub const RECORD_BYTES: usize = (16 << 20) + (64 << 10);
/// Most readings in one message. One message is one transaction of the stream.
pub const READINGS_PER_MESSAGE: usize = 1_000_000;
/// Most bad readings in a message that is kept for its good ones. Each becomes a dead letter of its own and costs
/// some 200 bytes meanwhile; a message with more is broken as a whole.
pub const REJECTED_PER_MESSAGE: usize = 100_000;
/// Rows that a reused batch keeps room for, at about 50 bytes each. One huge message must not hold its
/// memory for ever in every worker.
pub const READINGS_KEPT: usize = 64 << 10;
/// Longest text value of a reading, bytes. Readings are measurements, not documents.
pub const TEXT_VALUE_BYTES: usize = 64 << 10;
/// Deepest nesting of a JSON payload. Telemetry has three levels; deeper is an attack on the stack.
pub const JSON_DEPTH: usize = 32;
/// Longest text among the facts of a device (type, site, place, firmware, the value of a tag), bytes. A version or
/// an address fits; documents belong elsewhere. Facts stand in memory and in every enriched message of their device.
pub const FACT_BYTES: usize = 256;
/// Longest key of a tag, bytes.
pub const TAG_KEY_BYTES: usize = 64;
/// Most tags of a device, for the same reason.
pub const TAGS_PER_DEVICE: usize = 32;
