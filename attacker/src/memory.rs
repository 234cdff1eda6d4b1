//! How freed memory is kept for the next tensor.

/// Has the C library keep what large tensors leave behind instead of handing it back to the system, which must fill it
/// with zeros, page by page, when the next step asks for it again. Without glibc it does nothing.
pub(crate) fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // SAFETY: mallopt may be called at any time; at worst the settings are not taken.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}
