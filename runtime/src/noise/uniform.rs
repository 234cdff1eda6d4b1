use rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Fills `batch` with noisy copies of `image`: each value plus `half_width` · u, with u uniform over the midpoints of
/// 2²⁴ equal parts of (−1, 1), in single precision.
pub(super) fn add(mut stream: Xoshiro256PlusPlus, half_width: f32, image: &[f32], batch: &mut [f32]) {
    // An odd integer of at most 24 bits is exact in single precision, and the factor 2⁻²⁴ only changes the exponent.
    const PARTS: i64 = 1 << 24;
    let step = half_width / PARTS as f32;
    for sample in batch.chunks_exact_mut(image.len()) {
        for (noisy, pixel) in sample.iter_mut().zip(image) {
            let part = (stream.next_u64() >> 40) as i64;
            *noisy = pixel + step * (2 * part + 1 - PARTS) as f32;
        }
    }
}
