//! Counts what is on the heap, by size of allocation: resident memory alone does not tell what is in use from what the
//! allocator keeps, nor what it is for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Up to here each multiple of [`STEP`] is counted on its own, bytes; beyond, each power of two.
const EXACT: usize = 4096;
const STEP: usize = 16;
const CLASSES: usize = EXACT / STEP + 64;

static COUNTS: [AtomicI64; CLASSES] = [const { AtomicI64::new(0) }; CLASSES];
static BYTES: [AtomicI64; CLASSES] = [const { AtomicI64::new(0) }; CLASSES];

/// The system's allocator, counted.
pub(crate) struct Counted;

fn class_of(size: usize) -> usize {
    match size <= EXACT {
        true => size.div_ceil(STEP),
        false => EXACT / STEP + size.ilog2() as usize - EXACT.ilog2() as usize + 1,
    }
}

fn note(size: usize, sign: i64) {
    let class = class_of(size);
    COUNTS[class].fetch_add(sign, Relaxed);
    BYTES[class].fetch_add(sign * size as i64, Relaxed);
}

// SAFETY: each call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 1);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(layout.size(), -1);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(layout.size(), -1);
        note(size, 1);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// What is in use, bytes.
pub(crate) fn live_bytes() -> i64 {
    BYTES.iter().map(|bytes| bytes.load(Relaxed)).sum()
}

/// The sizes of allocation that take most: the largest size in bytes (the smallest of a power of two's, above 4 KB),
/// how many, bytes.
pub(crate) fn heaviest(most: usize) -> Vec<(usize, i64, i64)> {
    let size = |class: usize| match class <= EXACT / STEP {
        true => class * STEP,
        false => EXACT << (class - EXACT / STEP - 1),
    };
    let mut all: Vec<(usize, i64, i64)> = (0..CLASSES)
        .map(|class| (size(class), COUNTS[class].load(Relaxed), BYTES[class].load(Relaxed)))
        .collect();
    all.sort_by_key(|&(.., bytes)| -bytes);
    all.truncate(most);
    all
}
