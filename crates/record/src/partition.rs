//! Lanes and partitions: where a record goes in the log.

/// Live data and old data travel in lanes of their own, so that a flood of history never delays
/// what happens now. Order per device holds within a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// What is happening now.
    Live = 0,
    /// History: offline buffers, imports, replays.
    Backfill = 1,
}

/// The partition that owns `key` (a device, a client id, a topic) of `tenant`.
///
/// FNV-1a over tenant, a zero byte and the key, finished with a mixing step; the result is part of
/// the on-disk contract: a device's records would lose their order if it changed.
#[must_use]
pub fn partition_of(tenant: &str, key: &str, partitions: u16) -> u16 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in tenant.bytes().chain(std::iter::once(0)).chain(key.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32; // FNV's low bits are weak for short keys
    u16::try_from(hash % u64::from(partitions.max(1))).expect("a remainder of a u16 fits a u16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_of_a_device_never_changes() {
        // Fixed for ever: see the note on the function.
        let of: Vec<u16> =
            ["d1", "d2", "pump-7", ""].iter().map(|d| partition_of("default", d, 16)).collect();
        assert_eq!(of, EXPECTED);
    }

    const EXPECTED: [u16; 4] = [11, 2, 13, 15];

    #[test]
    fn devices_spread_evenly() {
        let mut counts = [0_u32; 16];
        for device in 0..16_000 {
            counts[usize::from(partition_of("default", &format!("device-{device}"), 16))] += 1;
        }
        assert!(counts.iter().all(|&n| (850..1150).contains(&n)), "{counts:?}");
    }
}
