//! Where every decision comes from.

pub(crate) use log::disk::sim::SimRng as Rng;

/// A number below `bound` as an index.
pub(crate) fn index(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound.max(1) as u64)).expect("below a usize")
}

/// FNV-1a, to compare two runs.
pub(crate) fn mix(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
