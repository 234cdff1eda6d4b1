use std::{io::Read, path::Path};

use sha2::{Digest, Sha256};

use super::DataError;
use crate::files;

/// SHA-256 of `bytes`, as 64 hexadecimal digits.
///
/// ```
/// let digest = mithridate_runtime::data::sha256(b"abc");
/// assert!(digest.starts_with("ba7816bf8f01cfea"));
/// ```
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of the content of a file, as 64 hexadecimal digits. The file is read in parts, not kept in memory.
///
/// # Errors
/// [`DataError::Read`].
pub fn sha256_file(path: &Path) -> Result<String, DataError> {
    let error = |source| DataError::Read { path: path.to_owned(), source };
    let mut file = files::open(path).map_err(error)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(error)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// `bytes` as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
