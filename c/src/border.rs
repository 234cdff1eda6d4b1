//! The border between C and Rust: status codes, the last error, and panics, which are caught.

use std::{
    cell::RefCell,
    ffi::{CStr, CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::error::{Failure, Status};

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Message of the last failed call on this thread; empty if no call has failed.
///
/// The string is valid until the next failed call on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn mithridate_last_error() -> *const c_char {
    LAST_ERROR.try_with(|error| error.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Runs the body of an interface function: stores the message of a failure, and catches panics.
pub(crate) fn guarded(body: impl FnOnce() -> Result<(), Failure>) -> Status {
    // Callers must not use a value again that a panic may have left inconsistent.
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = format!("a fault of the library: {}", text.unwrap_or("unknown"));
        Err(Failure::new(Status::InternalError, text))
    });
    let Err(failure) = result else { return Status::Ok };
    // A C string can't contain a zero byte, so replace it.
    let text = CString::new(failure.to_string().replace('\0', " ")).unwrap_or_default();
    // While a thread ends, its storage may be gone; then the message is lost.
    let _ = LAST_ERROR.try_with(|error| *error.borrow_mut() = text);
    failure.status
}

/// A string from C; `None` for a null pointer. `name` names it in errors.
///
/// # Safety
/// `pointer` is null or points to a string that ends with a zero byte and does not change as long as the result is used.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<Option<&'a str>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: it is not null, and the caller promises the zero byte.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| Failure::argument(format!("{name} is no UTF-8 text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_error() -> String {
        // SAFETY: the text is valid until another call on this thread fails.
        unsafe { CStr::from_ptr(mithridate_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_panic_becomes_a_status_and_a_sentence() {
        assert_eq!(last_error(), "");
        assert_eq!(guarded(|| panic!("number {}", 7)), Status::InternalError);
        assert_eq!(last_error(), "a fault of the library: number 7");
        assert_eq!(guarded(|| Err(Failure::argument("with a \0 inside"))), Status::InvalidArgument);
        assert_eq!(last_error(), "with a   inside");
        assert_eq!(guarded(|| Ok(())), Status::Ok);
        // Like C's errno, the message stays after a successful call.
        assert_eq!(last_error(), "with a   inside");
    }

    #[test]
    fn every_thread_has_its_own_error() {
        assert_eq!(guarded(|| Err(Failure::argument("here"))), Status::InvalidArgument);
        std::thread::spawn(|| assert_eq!(last_error(), "")).join().unwrap();
        assert_eq!(last_error(), "here");
    }
}
