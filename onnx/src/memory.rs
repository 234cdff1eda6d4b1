//! Available memory, so that a file that needs more is refused with a message.
//!
//! Linux may grant an allocation that is larger than the memory, and kill the process when it uses it. So sizes that
//! come from files are compared with [`available`] before memory is allocated.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Number of bytes that are not checked, since asking the system takes longer than it is worth.
const FREE: u64 = 16 << 20;
/// Size of the first buffer of [`read_at_most`], in bytes.
const FIRST: usize = 1 << 16;

/// Memory that this process can still allocate, in bytes: the smallest of the free memory of the machine (with swap
/// space), the rest of the limits of its control groups, and the rest of its own limits (`ulimit -v` and `ulimit -d`).
/// `None` if the system gives no information.
pub fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_machine(&text));
    let process = fs::read_to_string("/proc/self/status").unwrap_or_default();
    [machine, of_groups(), of_limits(&process)].into_iter().flatten().min()
}

/// Checks that `bytes` more bytes can be allocated.
///
/// # Errors
/// [`io::ErrorKind::OutOfMemory`] with the needed and the available memory.
pub fn check(bytes: u64) -> io::Result<()> {
    if bytes <= FREE {
        return Ok(());
    }
    match available() {
        Some(available) if bytes > available => Err(too_little(bytes, available)),
        _ => Ok(()),
    }
}

fn too_little(bytes: u64, available: u64) -> io::Error {
    let problem = format!(
        "it takes {} MiB of memory and {} MiB are available",
        bytes.div_ceil(1 << 20),
        available >> 20
    );
    io::Error::new(io::ErrorKind::OutOfMemory, problem)
}

/// Reserves capacity for `more` more values.
///
/// # Errors
/// [`io::ErrorKind::OutOfMemory`]; `values` is then unchanged.
pub fn reserve<T>(values: &mut Vec<T>, more: usize) -> io::Result<()> {
    let bytes = (more as u64).saturating_mul(size_of::<T>() as u64);
    check(bytes)?;
    values.try_reserve_exact(more).map_err(|_| {
        let problem = format!("there are no {} MiB of memory for it", bytes.div_ceil(1 << 20));
        io::Error::new(io::ErrorKind::OutOfMemory, problem)
    })
}

/// Reads to the end, but at most `most` bytes. Allocates at most twice the number of bytes read, for any `most`, and
/// never more than `most`.
///
/// # Errors
/// Those of the reader; [`io::ErrorKind::OutOfMemory`] if the bytes need more memory than is [`available`].
pub fn read_at_most(mut reader: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let room = (most - bytes.len()).min(bytes.len().max(FIRST));
        reserve(&mut bytes, room)?;
        let read = reader.by_ref().take(room as u64).read_to_end(&mut bytes)?;
        if read < room || bytes.len() == most {
            return Ok(bytes);
        }
    }
}

/// Free memory with swap space, in bytes, from the content of `/proc/meminfo`.
fn of_machine(information: &str) -> Option<u64> {
    let left = kibibytes(information, "MemAvailable:")?;
    Some(left.saturating_add(kibibytes(information, "SwapFree:").unwrap_or(0)))
}

/// The number of bytes in a line such as `VmSize:    1234 kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest rest, in bytes, of the memory limits of the process's control groups, which are nested.
fn of_groups() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut least = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, limit, usage, cache) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max", "memory.current", "file ")
        } else if controllers.split(',').any(|name| name == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache ")
        } else {
            continue;
        };
        let group = PathBuf::from(format!("{root}{path}"));
        // In a container the path may be the one outside of it; then the process's own group is at the root.
        let above = group.ancestors().take_while(|folder| folder.starts_with(root));
        for folder in above.chain([Path::new(root)]) {
            let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
            let (Some(limit), Some(usage)) = (number(limit), number(usage)) else { continue };
            // Cached parts of files are released when memory is needed.
            let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let cached = statistics.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse().ok());
            let left = limit.saturating_sub(usage.saturating_sub(cached.unwrap_or(0)));
            least = Some(least.map_or(left, |least: u64| least.min(left)));
        }
    }
    least
}

/// The rest, in bytes, of the process's limits of address space and data size; `status` is the content of
/// `/proc/self/status`.
#[cfg(unix)]
fn of_limits(status: &str) -> Option<u64> {
    use rustix::process::{Resource, getrlimit};

    let left = |resource, name| Some(getrlimit(resource).current?.saturating_sub(kibibytes(status, name)?));
    [left(Resource::As, "VmSize:"), left(Resource::Data, "VmData:")].into_iter().flatten().min()
}

#[cfg(not(unix))]
fn of_limits(_status: &str) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let information = "MemTotal: 16 kB\nMemAvailable:      8000 kB\nSwapFree: 24 kB\n";
        assert_eq!(of_machine(information), Some(8024 * 1024));
        assert_eq!(of_machine("MemTotal: 16 kB\n"), None);
        assert_eq!(kibibytes("VmSize:\t  12 kB\n", "VmSize:"), Some(12 << 10));
        assert_eq!(kibibytes("VmSize:\t  12 MB\n", "VmSize:"), None);
        if cfg!(target_os = "linux") {
            assert!(available().is_some_and(|bytes| bytes > FREE));
        }
    }

    #[test]
    fn more_than_there_is_is_refused() {
        check(FREE).unwrap();
        let error = reserve(&mut Vec::<u64>::new(), usize::MAX / 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("MiB of memory"), "{error}");
    }

    #[test]
    fn memory_follows_what_is_there_and_ends_at_what_was_promised() {
        for length in [0, 1, FIRST - 1, FIRST, FIRST + 1, 5 * FIRST] {
            let content: Vec<u8> = (0..length).map(|place| place as u8).collect();
            let huge = read_at_most(&content[..], usize::MAX).unwrap();
            assert_eq!(huge, content);
            assert!(huge.capacity() <= 2 * length + FIRST, "{length}: {}", huge.capacity());
            for most in [0, length / 2, length, length + 1] {
                let read = read_at_most(&content[..], most).unwrap();
                assert_eq!(read, content[..most.min(length)]);
                assert!(read.capacity() <= most, "{} of {most}", read.capacity());
            }
        }
    }
}
