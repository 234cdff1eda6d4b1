use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use crate::{
    OnnxError,
    file::parse,
    files::open,
    memory::read_at_most,
    messages::{ModelProto, TensorProto},
    tensors::{for_each_inner_tensor, for_each_tensor},
};

/// A model file and its files of weights (external data), read once. Hash and run the same value, so that the bytes
/// that were hashed are those that run.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// Path of the model file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The decoded model.
    pub model: ModelProto,
    /// Its files of weights, sorted by name.
    pub external: Vec<ExternalFile>,
}

/// A file of weights of a model.
#[derive(Clone, Debug)]
pub struct ExternalFile {
    /// Its path as written in the model, relative to the model's folder.
    pub location: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl ModelFile {
    /// Reads a model and its files of weights.
    ///
    /// A model from somebody else must not make the program read arbitrary files. So a file of weights must be inside
    /// the folder of the model, also after symbolic links are resolved.
    ///
    /// # Errors
    /// Those of [`read`](crate::read); [`OnnxError::External`] if a file of weights is outside the folder, does not
    /// exist, has the wrong size for its tensors, or contains tensors of an inner graph or a function.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, OnnxError> {
        let path = path.as_ref();
        let (bytes, model) = parse(path)?;
        if let Some(location) = inner(&model) {
            let problem =
                "weights of an inner graph or of a function are in it, and ONNX Runtime would look for them \
                           elsewhere; save the model with these weights in its own file"
                    .into();
            return Err(OnnxError::External { model: path.to_owned(), location, problem });
        }
        let external = needed(&model)
            .into_iter()
            .map(|(location, end)| {
                read_external(path, &location, end)
                    .map(|bytes| ExternalFile { location: location.clone(), bytes })
                    .map_err(|problem| OnnxError::External { model: path.to_owned(), location, problem })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), bytes, model, external })
    }
}

/// The value of the entry `key` in a tensor's description of its external data.
fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    let found = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
    found.and_then(|entry| entry.value.as_deref())
}

/// The name of a file with weights of an inner graph or of a function, if there is one.
fn inner(model: &ModelProto) -> Option<String> {
    let mut location = None;
    for_each_inner_tensor(model, &mut |tensor| {
        location = location.or_else(|| entry(tensor, "location"));
    });
    location.map(str::to_owned)
}

/// The files of weights of a model, with the size that their tensors need.
pub(crate) fn needed(model: &ModelProto) -> BTreeMap<String, Needed> {
    let mut files = BTreeMap::new();
    for_each_tensor(model, &mut |tensor| {
        if let Some(location) = entry(tensor, "location") {
            let number =
                |key: &str| entry(tensor, key).and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
            let end = number("offset").saturating_add(number("length"));
            let file = files.entry(location.to_owned()).or_insert(Needed { least: 0, is_all: true });
            file.least = end.max(file.least);
            file.is_all &= entry(tensor, "length").is_some();
        }
    });
    files
}

/// A file of weights may be larger than twice what its tensors need by this number of bytes.
const SPARE: u64 = 64 << 20;

/// The part of a file of weights that the tensors of a model need.
#[derive(Clone, Copy)]
pub(crate) struct Needed {
    /// Smallest possible size of the file, in bytes.
    least: u64,
    /// Whether no more than that is needed. A tensor without a length extends to the end of the file.
    is_all: bool,
}

fn read_external(model: &Path, location: &str, Needed { least, is_all }: Needed) -> Result<Vec<u8>, String> {
    let relative = Path::new(location);
    let inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if location.is_empty() || !inside {
        return Err("it leaves the folder of the model, which a model may not do; put the file beside the \
                    model and name it without '..'"
            .into());
    }
    let folder = match model.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let unreadable = |error: std::io::Error| {
        format!("it can't be read from the folder of the model ({error}); put it there")
    };
    let folder = fs::canonicalize(folder).map_err(unreadable)?;
    let file = fs::canonicalize(folder.join(relative)).map_err(unreadable)?;
    if !file.starts_with(&folder) {
        return Err("it is a link that leaves the folder of the model, which a model may not do; put the \
                    file itself beside the model"
            .into());
    }
    let file = open(&file).map_err(unreadable)?;
    let information = file.metadata().map_err(unreadable)?;
    if !information.is_file() {
        return Err("it is no file".into());
    }
    if is_all && information.len() > least.saturating_mul(2).saturating_add(SPARE) {
        return Err(format!(
            "it has {} bytes and the model's tensors in it end at byte {least}; it is not made for this model",
            information.len()
        ));
    }
    if information.len() < least {
        return Err(format!(
            "it has {} bytes and the model's tensors in it end at byte {least}; it is cut short or of another model",
            information.len()
        ));
    }
    read_at_most(file, usize::MAX).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        messages::{AttributeProto, GraphProto, NodeProto, OperatorSetIdProto, StringStringEntryProto},
        to_bytes,
    };

    fn model(entries: &[(&str, &str)]) -> ModelProto {
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: Some((*key).into()),
            value: Some((*value).into()),
        };
        let tensor =
            TensorProto { external_data: entries.iter().map(entry).collect(), ..TensorProto::default() };
        ModelProto {
            graph: Some(GraphProto { initializer: vec![tensor], ..GraphProto::default() }),
            opset_import: vec![OperatorSetIdProto::default()],
            ..ModelProto::default()
        }
    }

    fn read(folder: &Path, entries: &[(&str, &str)]) -> Result<ModelFile, OnnxError> {
        let path = folder.join("model.onnx");
        fs::write(&path, to_bytes(&model(entries))).unwrap();
        ModelFile::read(path)
    }

    #[test]
    fn weights_in_the_folder_are_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/weights.bin"), b"12345678").unwrap();
        let file =
            read(folder.path(), &[("location", "below/weights.bin"), ("offset", "4"), ("length", "4")]);
        let file = file.unwrap();
        assert_eq!(
            (file.external[0].location.as_str(), &file.external[0].bytes[..]),
            ("below/weights.bin", &b"12345678"[..])
        );
    }

    #[test]
    fn weights_of_inner_graphs_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("weights.bin"), b"12345678").unwrap();
        let mut outer = model(&[("location", "weights.bin")]);
        let graph = outer.graph.as_mut().unwrap();
        let inner =
            GraphProto { initializer: std::mem::take(&mut graph.initializer), ..GraphProto::default() };
        let branch = AttributeProto { g: Some(Box::new(inner)), ..AttributeProto::default() };
        graph.node.push(NodeProto { attribute: vec![branch], ..NodeProto::default() });
        let path = folder.path().join("model.onnx");
        fs::write(&path, to_bytes(&outer)).unwrap();
        let error = ModelFile::read(path).unwrap_err().to_string();
        assert!(error.contains("weights of an inner graph or of a function are in it"), "{error}");
    }

    #[test]
    fn a_file_far_longer_than_its_weights_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        // A sparse file takes no space on the disk.
        let weights = fs::File::create(folder.path().join("weights.bin")).unwrap();
        weights.set_len(1 << 42).unwrap();
        let entries = [("location", "weights.bin"), ("offset", "0"), ("length", "8")];
        let error = read(folder.path(), &entries).unwrap_err().to_string();
        assert!(error.contains("end at byte 8; it is not made for this model"), "{error}");
    }

    #[test]
    fn weights_outside_or_cut_short_are_refused() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("folder");
        fs::create_dir(&folder).unwrap();
        fs::write(outer.path().join("secret"), b"secret").unwrap();
        fs::write(folder.join("weights.bin"), b"1234").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outer.path().join("secret"), folder.join("link")).unwrap();
        let absolute = outer.path().join("secret").display().to_string();
        for (entries, expected) in [
            (vec![("location", "../secret")], "it leaves the folder"),
            (vec![("location", "a/../../secret")], "it leaves the folder"),
            (vec![("location", absolute.as_str())], "it leaves the folder"),
            (vec![("location", "")], "it leaves the folder"),
            #[cfg(unix)]
            (vec![("location", "link")], "it is a link that leaves the folder"),
            (vec![("location", "none.bin")], "it can't be read"),
            (vec![("location", ".")], "it is no file"),
            (vec![("location", "weights.bin"), ("length", "5")], "it has 4 bytes"),
            (
                vec![("location", "weights.bin"), ("offset", "18446744073709551615"), ("length", "9")],
                "it has 4 bytes",
            ),
        ] {
            let error = read(&folder, &entries).unwrap_err().to_string();
            assert!(error.contains(expected), "{entries:?}: {error}");
        }
    }
}
