//! Safe reading and writing of files: devices and pipes are refused, and files are written atomically.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::memory;

/// Suffix of the names of temporary files and folders.
const PARTIAL: &str = ".partial";

/// Temporary files and folders that this process is writing.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Registers a temporary file or folder as long as this value lives.
#[derive(Debug)]
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(path: &Path) -> Self {
        // Absolute, because the process may change its working directory.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        unfinished(|paths| paths.insert(path.clone()));
        Self(path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        unfinished(|paths| paths.remove(&self.0));
    }
}

fn unfinished<T>(work: impl FnOnce(&mut BTreeSet<PathBuf>) -> T) -> T {
    work(&mut UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Removes the temporary files and folders that threads of this process are writing. For a program that is about to end
/// at once, as after a signal.
pub fn remove_unfinished() {
    for path in unfinished(std::mem::take) {
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}

/// Opens a file for reading. Devices and pipes are refused, because reading them may never end.
///
/// # Errors
/// Those of the file system; [`io::ErrorKind::InvalidInput`] for a device or a pipe. A folder can be opened, but
/// reading it is an error.
pub fn open(path: &Path) -> io::Result<File> {
    let check = |information: &fs::Metadata| {
        if information.is_file() || information.is_dir() {
            return Ok(());
        }
        let problem = "it is a device or a pipe and no ordinary file; save what it holds to a file first";
        Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
    };
    // Check before opening, which would block for a pipe, and after, because the file may have been replaced.
    check(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// Reads a file; devices and pipes are refused as by [`open`].
///
/// # Errors
/// Those of [`open`] and of reading; [`io::ErrorKind::OutOfMemory`] if the file does not fit into memory.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let mut bytes = Vec::new();
    memory::reserve(&mut bytes, usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a text file; devices and pipes are refused as by [`open`].
///
/// # Errors
/// Those of [`open`] and of reading, also if the content is not UTF-8 or does not fit into memory.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = open(path)?;
    memory::check(file.metadata()?.len())?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Checks before a long job whether a file can be written at `path`: its folder exists and is writable, and `path` is
/// not a folder, a device, a pipe or a dangling link.
///
/// # Errors
/// The error with which writing would fail.
pub fn check_place(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    let path = &behind_links(path)?;
    let folder = folder_of(path);
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            let problem = format!("there is no folder {}; make it first", folder.display());
            io::Error::new(io::ErrorKind::NotFound, problem)
        }
        _ => error,
    };
    if !fs::metadata(folder).map_err(missing)?.is_dir() {
        let problem = format!("{} is no folder", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotADirectory, problem));
    }
    tempfile::tempfile_in(folder).map(drop).map_err(without_temporary_name)
}

/// Like [`check_place`]. If the file exists, it may only be replaced if it is of the expected kind: `is_one` gets its
/// first 1024 bytes and recognises the kind, `kind` names it in errors.
///
/// # Errors
/// Those of [`check_place`] and of reading; [`io::ErrorKind::AlreadyExists`] for an existing file of another kind.
pub fn check_replaceable(path: &Path, kind: &str, is_one: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    check_place(path)?;
    if !path.exists() {
        return Ok(());
    }
    let mut start = Vec::new();
    open(path)?.take(1024).read_to_end(&mut start)?;
    if is_one(&start) {
        return Ok(());
    }
    let problem = format!("it exists and is no {kind}; remove it, or give another name");
    Err(io::Error::new(io::ErrorKind::AlreadyExists, problem))
}

/// Resolves links; refuses devices, pipes and dangling links.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(information) if information.is_file() || information.is_dir() => {}
        Ok(_) => {
            let problem = "it is a device or a pipe and no ordinary file; give the name of a file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        Err(_) if path.is_symlink() => {
            let problem = "it is a link to a place where there is nothing; remove it or give another name";
            return Err(io::Error::new(io::ErrorKind::NotFound, problem));
        }
        Err(_) => {}
    }
    if path.is_symlink() { path.canonicalize() } else { Ok(path.to_owned()) }
}

/// Whether two paths refer to the same file, which need not exist.
pub fn is_same(left: &Path, right: &Path) -> bool {
    let place = |path: &Path| {
        let there = path.canonicalize();
        there.or_else(|_| {
            Ok::<_, io::Error>(folder_of(path).canonicalize()?.join(path.file_name().unwrap_or_default()))
        })
    };
    left == right || place(left).is_ok_and(|left| place(right).is_ok_and(|right| left == right))
}

/// Creates a temporary folder in the folder of `path`. Write files there and rename them when they are complete; the
/// rest is removed with the folder.
///
/// # Errors
/// Those of the file system.
pub fn folder_beside(path: &Path) -> io::Result<PartialFolder> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(PARTIAL);
    let folder = builder.tempdir_in(folder_of(path)).map_err(without_temporary_name)?;
    Ok(PartialFolder { _unfinished: Unfinished::new(folder.path()), folder })
}

/// A temporary folder, removed with its content when this value is dropped.
#[derive(Debug)]
pub struct PartialFolder {
    folder: tempfile::TempDir,
    _unfinished: Unfinished,
}

impl PartialFolder {
    /// Path of the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Removes temporary files that killed processes left in `folder`. Only for a folder to which no other process writes.
///
/// # Errors
/// Those of the file system.
pub fn remove_partial(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(PARTIAL) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a file atomically: `write` fills a temporary file in the same folder, which is then renamed to `path`. So no
/// reader ever sees an incomplete file. If `path` is a link, the file behind it is replaced.
///
/// # Errors
/// Those of the file system and of `write`, and an error if `path` is a device, a pipe or a dangling link. An existing
/// file is then unchanged.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let path = &behind_links(path)?;
    let folder = folder_of(path);
    let name = path.file_name().map(|name| format!(".{}.", name.to_string_lossy())).unwrap_or_default();
    let mut builder = tempfile::Builder::new();
    builder.prefix(&name).suffix(PARTIAL);
    // Temporary files are private by default; results are not secrets. The process's umask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(without_temporary_name)?;
    let _unfinished = Unfinished::new(file.path());
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes the name of a temporary file from an error message, since it means nothing to a user.
fn without_temporary_name(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" at path ") {
        Some((reason, _)) => io::Error::new(error.kind(), reason),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let mut left = None;
        write_atomically(&path, |_| {
            let names = fs::read_dir(folder.path())?.map(|entry| Ok(entry?.file_name()));
            left = names.collect::<io::Result<Vec<_>>>()?.pop();
            Ok(())
        })
        .unwrap();
        let left = left.unwrap();
        assert_ne!(left, "a.json");
        fs::write(folder.path().join(left), "half").unwrap();
        fs::write(folder.path().join("b.partial"), "somebody's").unwrap();
        remove_partial(folder.path()).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a.json", "b.partial"]);
    }

    #[test]
    fn what_is_being_written_is_removed_when_the_process_ends_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        // Other tests write at the same time, elsewhere.
        let count = || unfinished(|paths| paths.iter().filter(|path| path.starts_with(here)).count());
        let beside = folder_beside(&here.join("a")).unwrap();
        fs::write(beside.path().join("part"), "half").unwrap();
        write_atomically(&here.join("b"), |_| {
            assert_eq!(count(), 2);
            Ok(())
        })
        .unwrap();
        assert_eq!(count(), 1);
        let mine: BTreeSet<PathBuf> =
            unfinished(|paths| paths.extract_if(.., |path| path.starts_with(here)).collect());
        let others = unfinished(|paths| std::mem::replace(paths, mine));
        remove_unfinished();
        unfinished(|paths| paths.extend(others));
        let names: Vec<_> = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["b"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_has_no_end_is_not_read() {
        for path in ["/dev/zero", "/dev/null", "/dev/stdin"] {
            // Standard input of a test may be a file.
            if fs::metadata(path).is_ok_and(|information| !information.is_file()) {
                assert!(
                    read(Path::new(path)).unwrap_err().to_string().contains("a device or a pipe"),
                    "{path}"
                );
                assert_eq!(read_to_string(Path::new(path)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "text").unwrap();
        std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
        assert_eq!(read(&folder.path().join("link")).unwrap(), b"text");
        assert_eq!(read_to_string(&path).unwrap(), "text");
        assert_eq!(read(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn where_nothing_can_be_written_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("file"), "").unwrap();
        check_place(&root.join("new")).unwrap();
        check_place(&root.join("file")).unwrap();
        check_place(Path::new("new")).unwrap();
        for (path, expected) in
            [("none/new", "there is no folder"), ("file/new", "is no folder"), ("", "it is a folder")]
        {
            let text = check_place(&root.join(path)).unwrap_err().to_string();
            assert!(text.contains(expected), "{path}: {text}");
        }
        assert_eq!(fs::read_dir(root).unwrap().count(), 1, "nothing is left of trying");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_left_alone() {
        use std::os::unix::{fs::symlink, net::UnixListener};

        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/file"), "old").unwrap();
        symlink("sub/file", root.join("link")).unwrap();
        check_place(&root.join("link")).unwrap();
        write_atomically(&root.join("link"), |file| io::Write::write_all(file, b"new")).unwrap();
        assert!(root.join("link").is_symlink());
        assert_eq!(fs::read(root.join("sub/file")).unwrap(), b"new");
        assert!(is_same(&root.join("link"), &root.join("sub/../sub/file")));
        assert!(is_same(&root.join("none"), &root.join("sub/../none")));
        assert!(!is_same(&root.join("none"), &root.join("sub/none")));

        symlink("nowhere", root.join("dangling")).unwrap();
        let _socket = UnixListener::bind(root.join("socket")).unwrap();
        for (name, expected) in [("dangling", "where there is nothing"), ("socket", "a device or a pipe")] {
            let path = root.join(name);
            for error in [check_place(&path).unwrap_err(), write_atomically(&path, |_| Ok(())).unwrap_err()] {
                assert!(error.to_string().contains(expected), "{name}: {error}");
            }
        }
        assert!(root.join("dangling").is_symlink() && !root.join("socket").is_file());
    }

    #[test]
    fn a_folder_that_does_not_exist_is_said_without_a_temporary_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomically(&folder.path().join("none/file"), |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), io::Error::from_raw_os_error(2).to_string());
    }
}
