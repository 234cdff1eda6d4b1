use super::BackendError;

/// Resizes a buffer to `values` values, for a batch of `batch` inputs. A buffer that already has this length is neither
/// allocated again nor written to, so that reuse costs nothing.
///
/// # Errors
/// [`BackendError::OutOfMemory`] if there is too little memory, instead of an abort of the program. The buffer is
/// unchanged then.
pub(crate) fn make_room<T: Clone + Default>(
    buffer: &mut Vec<T>,
    values: usize,
    batch: usize,
) -> Result<(), BackendError> {
    if buffer.try_reserve_exact(values.saturating_sub(buffer.len())).is_err() {
        let problem =
            format!("{} MiB for its values can't be allocated", values.saturating_mul(size_of::<T>()) >> 20);
        return Err(BackendError::OutOfMemory { batch, problem });
    }
    buffer.resize(values, T::default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_cannot_be_had_is_an_error_and_leaves_the_buffer() {
        let mut buffer = vec![1.0_f32; 8];
        // More bytes than any address space has, and a number of bytes that overflows.
        for values in [1 << 60, usize::MAX] {
            let error = make_room(&mut buffer, values, 64).unwrap_err();
            assert!(matches!(error, BackendError::OutOfMemory { batch: 64, .. }), "{error}");
            assert_eq!(buffer, [1.0; 8]);
        }
        make_room(&mut buffer, 10, 64).unwrap();
        assert_eq!(buffer, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        let (at, capacity) = (buffer.as_ptr(), buffer.capacity());
        make_room(&mut buffer, 3, 64).unwrap();
        make_room(&mut buffer, 10, 64).unwrap();
        assert_eq!((buffer.as_ptr(), buffer.capacity()), (at, capacity));
    }
}
