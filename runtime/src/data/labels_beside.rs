use std::{
    fs,
    path::{Path, PathBuf},
};

use super::DataError;

/// The reason why no file of labels is found for a file of images, as the start of a sentence.
pub(super) const NO_NAME: &str =
    "its name does not contain 'images', so that its file of labels can't be found";

/// The name of the file of labels that belongs to the file `images`: with labels for images, and idx1 for idx3. `None` if
/// the name contains neither.
pub(super) fn labels_name(images: &Path) -> Option<String> {
    let name = images.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    (labels != name).then_some(labels)
}

/// The path of the file of labels that belongs to the file `images` by its name; `format` names the format in errors.
pub(super) fn labels_beside(images: &Path, format: &'static str) -> Result<PathBuf, DataError> {
    fs::metadata(images).map_err(|source| DataError::Read { path: images.to_owned(), source })?;
    let Some(labels) = labels_name(images) else {
        return Err(DataError::Malformed { path: images.to_owned(), format, problem: NO_NAME.into() });
    };
    let plain = images.with_file_name(labels.trim_end_matches(".gz"));
    let packed = images.with_file_name(format!("{}.gz", labels.trim_end_matches(".gz")));
    Ok(if !plain.is_file() && packed.is_file() { packed } else { plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_named_like_their_images() {
        for (images, labels) in [
            ("t10k-images-idx3-ubyte", Some("t10k-labels-idx1-ubyte")),
            ("my images.npy", Some("my labels.npy")),
            ("digits.idx3", Some("digits.idx1")),
            ("digits", None),
        ] {
            assert_eq!(labels_name(Path::new(images)).as_deref(), labels, "{images}");
        }
    }

    #[test]
    fn packed_labels_are_taken_where_there_are_no_plain_ones() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(folder.path().join(name), b"").unwrap();
        let found = || labels_beside(&folder.path().join("images"), "IDX").unwrap();
        put("images");
        assert_eq!(found(), folder.path().join("labels"));
        put("labels.gz");
        assert_eq!(found(), folder.path().join("labels.gz"));
        put("labels");
        assert_eq!(found(), folder.path().join("labels"));
    }
}
