//! A batch allocates nothing: a run with a hundred times the samples asks for as much memory as a short one.

#![allow(clippy::unwrap_used, unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering},
};

use mithridate_runtime::{
    backend::{BackendError, Classifier},
    certify::{Certifier, Input, Settings},
    units::Sigma,
};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is what `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A linear classifier that asks for no memory of its own: of three classes, the sum of a third of the values each.
struct Thirds;

impl Classifier for Thirds {
    fn input_len(&self) -> usize {
        18
    }

    fn classes(&self) -> usize {
        3
    }

    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        logits.clear();
        logits.extend(batch.chunks(6).map(|third| third.iter().sum::<f32>()));
        Ok(())
    }
}

fn allocations(rule: &str, n: u64, noise_threads: usize) -> u64 {
    let settings = Settings { n, stop: rule.parse().unwrap(), ..Settings::new(Sigma::new(0.5).unwrap(), 1) };
    let mut certifier = Certifier::new(vec![Box::new(Thirds), Box::new(Thirds)], settings, 128).unwrap();
    certifier.set_noise_threads(noise_threads);
    let input = Input { index: 0, label: None, image: (0..18).map(|value| value as f32 / 18.0).collect() };
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    certifier.certify_one(&input).unwrap();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// One test, for others in the same program would be counted too.
#[test]
fn a_batch_allocates_nothing() {
    for (rule, noise_threads) in [("fixed", 0), ("fixed", 1), ("radius:0.000001", 0), ("precision:1e-9", 1)] {
        let few = allocations(rule, 10_000, noise_threads);
        let many = allocations(rule, 1_000_000, noise_threads);
        // 15,000 blocks more. How far blocks get ahead of their turn differs from run to run, and threads that wait
        // for each other for the first time ask for memory.
        assert!(many < few + 60, "{rule}, {noise_threads} for noise: {few} and {many} allocations");
    }
}
