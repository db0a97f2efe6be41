//! How much memory a piece of code holds at most: a decoder must not let its input choose that.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread. `drive` installs it; under libFuzzer its own limits hold.
pub struct Counting;

fn count(change: isize) {
    let held = HELD.get() + change;
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

// SAFETY: every call is the system allocator's with the same arguments; counting touches only
// const-initialised cells of this thread, which need no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract is the same, and `ptr` came from the system allocator.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// Runs `f` and panics when it held more than `limit` bytes at once beyond what was held before.
pub fn bounded<T>(limit: usize, f: impl FnOnce() -> T) -> T {
    let before = HELD.get();
    PEAK.set(before);
    let out = f();
    let peak = (PEAK.get() - before).max(0) as usize;
    assert!(peak <= limit, "held {peak} bytes, allowed {limit}");
    out
}
