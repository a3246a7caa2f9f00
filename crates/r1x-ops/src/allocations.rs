//! An allocator that counts large allocations, for programs that measure how often tensor memory is asked for.
//!
//! A program installs it with `#[global_allocator]`; nothing in r1x does.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes from which an allocation counts: a page. What is smaller is a list or a name, not a tensor.
pub const LARGE: usize = 4096;

/// The system's allocator with two counters.
#[derive(Debug, Default)]
pub struct CountingAllocator {
    count: AtomicU64,
    bytes: AtomicU64,
}

/// Large allocations since the program began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargeAllocations {
    /// How many.
    pub count: u64,
    /// Their sizes added up.
    pub bytes: u64,
}

impl CountingAllocator {
    /// With both counters at 0.
    pub const fn new() -> Self {
        Self { count: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// What was counted so far.
    pub fn large(&self) -> LargeAllocations {
        LargeAllocations {
            count: self.count.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn note(&self, size: usize) {
        if size >= LARGE {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(size as u64, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call is passed on to `System` unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.note(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.note(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is that of `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.note(size);
        // SAFETY: the pointer came from `System` through the functions above, with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` through the functions above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_allocations_are_counted_and_small_ones_are_not() {
        let allocator = CountingAllocator::new();
        let layout = |size| Layout::from_size_align(size, 64).unwrap();
        let (small, large) = (layout(LARGE - 64), layout(LARGE));
        // SAFETY: sizes are not 0, and each block is freed with the layout of its last size.
        unsafe {
            let first = allocator.alloc(small);
            let second = allocator.alloc_zeroed(large);
            assert!(!first.is_null() && *second == 0);
            let first = allocator.realloc(first, small, 3 * LARGE);
            allocator.dealloc(first, layout(3 * LARGE));
            allocator.dealloc(second, large);
        }
        let bytes = 4 * LARGE as u64;
        assert_eq!(allocator.large(), LargeAllocations { count: 2, bytes });
    }
}
