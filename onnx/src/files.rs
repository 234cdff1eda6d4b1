//! Files that appear whole or not at all.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// How the names of files end that were not whole when their process was killed.
const PARTIAL: &str = ".partial";

/// Removes what processes that were killed while they wrote left in a folder. Only for a folder that nobody else writes to.
///
/// # Errors
/// Whatever the file system says.
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

/// Writes a file under a temporary name in the same folder, then renames it, so that no reader ever sees a part.
///
/// # Errors
/// Whatever the file system says; the old file, if any, is then still there.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().map(|name| format!(".{}.", name.to_string_lossy())).unwrap_or_default();
    let mut builder = tempfile::Builder::new();
    builder.prefix(&name).suffix(PARTIAL);
    // Temporary files are private by default; results are not secrets. The process's umask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(without_temporary_name)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The error of the file system alone: the name of a temporary file, which follows it, says nothing to a user.
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
    fn a_folder_that_does_not_exist_is_said_without_a_temporary_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomically(&folder.path().join("none/file"), |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), io::Error::from_raw_os_error(2).to_string());
    }
}
