//! Reuse of freed memory for the next tensor.

/// Makes the C library keep the memory of freed tensors. Otherwise it returns large blocks to the system, which fills
/// them with zeros, page by page, when the next step needs them again. Without glibc it does nothing.
pub(crate) fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // SAFETY: mallopt may be called at any time; at worst the settings are ignored.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}
