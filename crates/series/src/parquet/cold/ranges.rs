//! What is asked for together becomes few requests.

use std::ops::Range;

use bytes::Bytes;

/// Bytes that nobody asked for and that cost less than a request of their own: at 100 MB/s, five milliseconds.
const GAP_BYTES: u64 = 512 << 10;
/// Most that one request asks for, so that much of it comes side by side.
const REQUEST_BYTES: u64 = 4 << 20;

/// The requests for ranges: near ones together.
pub(super) fn requests(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| (range.start, range.end));
    let mut requests: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match requests.last_mut() {
            Some(last)
                if range.start <= last.end.saturating_add(GAP_BYTES)
                    && (range.end <= last.end || range.end - last.start <= REQUEST_BYTES) =>
            {
                last.end = last.end.max(range.end);
            }
            _ => requests.push(range),
        }
    }
    requests
}

/// The ranges, cut from what came for the requests; else where the first begins of which too little came.
pub(super) fn cut(ranges: &[Range<u64>], requests: &[Range<u64>], came: &[Bytes]) -> Result<Vec<Bytes>, u64> {
    let one = |range: &Range<u64>| {
        let at = requests.iter().position(|of| of.start <= range.start && range.end <= of.end)?;
        let from = usize::try_from(range.start - requests[at].start).ok()?;
        let to = usize::try_from(range.end - requests[at].start).ok()?;
        let bytes = came.get(at).filter(|bytes| to <= bytes.len())?;
        Some(bytes.slice(from..to))
    };
    ranges.iter().map(|range| one(range).ok_or(range.start)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_one_request_and_every_range_is_cut_out_again() {
        let far = 3 * GAP_BYTES;
        let ranges = [far..far + 10, 0..5, 4..20, 100..GAP_BYTES, 2..3];
        let requests = requests(&ranges);
        assert_eq!(requests, [0..GAP_BYTES, far..far + 10]);
        let came: Vec<Bytes> =
            requests.iter().map(|of| of.clone().map(|at| at as u8).collect::<Vec<u8>>().into()).collect();
        let cut = cut(&ranges, &requests, &came).expect("all of it came");
        for (range, bytes) in ranges.iter().zip(cut) {
            assert!(range.clone().map(|at| at as u8).eq(bytes.iter().copied()), "{range:?}");
        }
        assert_eq!(super::cut(&ranges, &requests, &[came[0].slice(..9), came[1].clone()]), Err(4));
    }

    #[test]
    fn a_request_is_not_larger_than_it_may_be_unless_a_range_is() {
        let mib = 1 << 20;
        let ranges: Vec<_> = (0..10).map(|n| n * mib..(n + 1) * mib).collect();
        let whole: Vec<_> = requests(&ranges);
        assert_eq!(whole, [0..4 * mib, 4 * mib..8 * mib, 8 * mib..10 * mib]);
        let one = requests(&[0..9 * mib, mib..2 * mib]);
        assert!(one.len() == 1 && one[0] == (0..9 * mib), "{one:?}");
    }
}
