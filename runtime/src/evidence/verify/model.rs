use mithridate_onnx::{ModelFile, ModelMetadata};

use super::{TOOL, Verification};
use crate::{
    data::sha256,
    evidence::{ExternalSource, Header, ModelSource},
};

impl Verification {
    /// Checks that `file` is the certified model, by the SHA-256 of its file and of its files of weights, and that the
    /// header agrees with the model's metadata. Run the same [`ModelFile`] afterwards, so that the hashed bytes are
    /// those that run.
    ///
    /// Returns whether it is that model.
    pub fn check_model(&mut self, file: &ModelFile) -> bool {
        let Some(header) = self.header.clone() else { return false };
        let before = self.problems.len();
        self.check_hashes(&header, &sha256(&file.bytes), &ExternalSource::of(file));
        self.add_checked("model", "SHA-256 of its file and of its files of weights");
        let is_same = self.problems.len() == before;
        if is_same {
            match ModelMetadata::of(&file.model) {
                Ok(metadata) => self.check_metadata(&header, &metadata),
                Err(error) => self.add(1, format!("the metadata of the model can't be read: {error}")),
            }
        }
        self.sort();
        is_same
    }

    fn check_hashes(&mut self, header: &Header, sha256: &str, external: &[ExternalSource]) {
        let certified = &header.model;
        if certified.sha256 != sha256 {
            self.add(
                1,
                format!(
                    "the SHA-256 of the model's file is {sha256}, and that of the certified file is {}",
                    certified.sha256
                ),
            );
        }
        for file in &certified.external {
            if !external.contains(file) {
                let ExternalSource { file, sha256 } = file;
                self.add(
                    1,
                    format!(
                        "the SHA-256 of the model's file of weights {file} is not that of the certified file, {sha256}"
                    ),
                );
            }
        }
        for file in
            external.iter().filter(|file| !certified.external.iter().any(|known| known.file == file.file))
        {
            self.add(
                1,
                format!(
                    "the model has a file of weights {}, and the certified model had no such file",
                    file.file
                ),
            );
        }
    }

    /// Compares class names and preprocessing with the metadata. The class names in the header must be the model's, or
    /// those of the data if the two have no name in common.
    fn check_metadata(&mut self, header: &Header, metadata: &ModelMetadata) {
        let own = metadata.class_names.clone().unwrap_or_default();
        let named = &header.data.class_names;
        if is_other_numbering(named, &own) {
            self.add(
                1,
                format!(
                    "its classes are {}, and those of the model are {}: labels were compared with wrong classes",
                    listed(named),
                    listed(&own)
                ),
            );
        }
        self.add_checked(
            "names of classes",
            if own.is_empty() { "the model has none" } else { "those of the model" },
        );
        self.model_class_names = Some(own);

        let used = &header.model.r#use.preprocessing;
        let differing: Vec<String> = [
            ("range", metadata.input_range.as_deref(), &used.range[..]),
            ("mean", metadata.input_mean.as_deref(), &used.mean),
            ("standard deviation", metadata.input_std.as_deref(), &used.std),
        ]
        .into_iter()
        .filter_map(|(name, own, used)| {
            let own = own.filter(|own| *own != used)?;
            Some(format!("{name} {used:?}, and {own:?} by the model's metadata"))
        })
        .chain(metadata.layout.as_ref().and_then(|own| {
            let layout = used.layout;
            (own.parse() != Ok(layout)).then(|| format!("layout {layout}, and {own} by the model's metadata"))
        }))
        .collect();
        if differing.is_empty() {
            self.add_checked("preprocessing", "nothing in the model's metadata contradicts it");
        } else {
            self.add_stated("preprocessing", differing.join("; "));
        }
    }

    /// Compares the use of the model in the header (classes, output, preprocessing, batch) with its use here. `found`
    /// and `precision` describe the model as opened with [`Header::input_options`].
    pub fn check_use(&mut self, found: &ModelSource, precision: &str) {
        let Some(header) = self.header.clone() else { return };
        let (there, here) = (&header.model, found);
        if there.classes != here.classes {
            self.add(
                1,
                format!(
                    "the model has {} classes, and the certified model had {}",
                    here.classes, there.classes
                ),
            );
        }
        let (there, here) = (&there.r#use, &here.r#use);
        if there.output != here.output {
            let name = |output: &Option<String>| output.clone().unwrap_or_else(|| "the only one".into());
            self.add(
                1,
                format!(
                    "the output that is read is {}, and in the run it was {}",
                    name(&here.output),
                    name(&there.output)
                ),
            );
        }
        if there.class_labels != here.class_labels {
            let words =
                |labels: &[String]| if labels.is_empty() { "none".to_owned() } else { listed(labels) };
            self.add(
                1,
                format!(
                    "the labels of the model's classes are {}, and the header states {}",
                    words(&here.class_labels),
                    words(&there.class_labels)
                ),
            );
        }
        if there.preprocessing != here.preprocessing {
            self.add(1, "the preprocessing in the header is not that of the model".into());
        }
        if there.batch_rewritten_from != here.batch_rewritten_from {
            let size = |from: Option<usize>| {
                from.map_or_else(|| "not rewritten".into(), |size| format!("rewritten from {size}"))
            };
            let (there, here) = (size(there.batch_rewritten_from), size(here.batch_rewritten_from));
            let difference = format!("the batch of the model was {there} in the run, and is {here}");
            if header.tool == TOOL {
                self.add(1, difference);
            } else {
                self.add_stated("batch", format!("{difference} by {TOOL}"));
            }
        }
        if header.execution.provider == "cpu" && header.execution.precision != precision {
            let there = &header.execution.precision;
            self.add(
                1,
                format!("the model computes in {precision} on the processor, and the header states {there}"),
            );
        }
        self.add_checked(
            "use of the model",
            "classes and their labels, output, preprocessing and batch, by running the model",
        );
        self.sort();
    }
}

/// Whether a model with the class names `own` numbers some of the classes `named` differently. False if the model's
/// names are not unique, or if no name is common to both.
pub(crate) fn is_other_numbering(named: &[String], own: &[String]) -> bool {
    let is_ambiguous = own.iter().enumerate().any(|(at, name)| own[..at].contains(name));
    named != own && !is_ambiguous && named.iter().any(|name| own.contains(name))
}

/// The first names of a list, separated by commas.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}
