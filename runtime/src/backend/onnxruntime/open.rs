//! Opens a model: reads its file, runs it on test images, and refuses it if it is not a classifier.

use std::{path::Path, sync::Arc};

use mithridate_onnx::{
    Dependencies, Dim, Follow, ModelFile, ModelMetadata, check_known_fields, messages::ModelProto, summarize,
    to_bytes, with_symbolic_batch,
};

use super::{
    Batching, Device, InputOptions, OnnxClassifier, OnnxModel, OnnxRuntime, OutputKind,
    classifier::Original,
    labels::{Labels, largest},
    operators::{not_inference, not_scores},
    probe::{Probe, images, rows},
    scores::{Strange, strange, varied_images, varied_rows},
    session::Content,
    signature::find,
};
use crate::{
    backend::{BackendError, Classifier, ExternalSource, Preprocessing},
    data::sha256,
};

/// Number of generated images for which labels are compared with scores.
const LABELLED: usize = 256;

impl OnnxModel {
    /// Reads a model and runs it on the CPU with a few test images, so that problems are found before a run starts.
    ///
    /// The engine runs the model in this process and without limits. A model that never ends, takes all memory or
    /// crashes the engine also stops this process. `rscert` first opens a model in a separate process. A program that
    /// opens untrusted models can start `rscert inspect --json` for this.
    ///
    /// # Errors
    /// [`BackendError`] if the file can't be read, or the model is not a classifier with one image input.
    pub fn open(runtime: &OnnxRuntime, path: &Path, reading: &InputOptions) -> Result<Self, BackendError> {
        Self::from_file(runtime, ModelFile::read(path)?, reading)
    }

    /// As [`open`](Self::open), for a model in memory.
    ///
    /// # Errors
    /// As [`OnnxModel::open`].
    pub fn from_file(
        runtime: &OnnxRuntime,
        file: ModelFile,
        reading: &InputOptions,
    ) -> Result<Self, BackendError> {
        let path = file.path.as_path();
        let (summary, metadata) = (summarize(&file.model)?, ModelMetadata::of(&file.model)?);
        let unsupported = |problem: String| BackendError::Unsupported { path: path.to_owned(), problem };
        let reading = with_metadata(reading, &metadata).map_err(unsupported)?;
        let signature = find(&summary, &reading).map_err(unsupported)?;
        let output = &signature.output.name;
        let is_named = reading.output.is_some();
        let problem = match not_inference(&file.model, output)? {
            None if !is_named => not_scores(&file.model, output)?,
            problem => problem,
        };
        if let Some(problem) = problem {
            return Err(unsupported(problem));
        }
        let preprocessing = Preprocessing {
            layout: signature.layout,
            range: reading.range.unwrap_or([0.0, 1.0]),
            mean: reading.mean.unwrap_or_default(),
            std: reading.std.unwrap_or_default(),
        };
        preprocessing.check(signature.image[0]).map_err(unsupported)?;
        let preprocessing = preprocessing.in_normal_form();
        let external = ExternalSource::of(&file);
        let mut model = Self {
            path: path.to_owned(),
            sha256: sha256(&file.bytes),
            external,
            summary,
            metadata,
            preprocessing,
            class_labels: Vec::new(),
            is_output_named: is_named,
            notes: Vec::new(),
            classes: 0,
            labels: Vec::new(),
            kind: OutputKind::Logits,
            batching: signature.batch.map_or(Batching::Symbolic, |size| Batching::Fixed { size }),
            signature,
            original: None,
            sigma: reading.sigma.unwrap_or(1.0),
            content: Content {
                bytes: file.bytes.into(),
                external: file.external.into_iter().map(|file| (file.location, file.bytes.into())).collect(),
            },
        };
        let mut classifier = model.untried(runtime, Device::default(), 1)?;
        model.try_out(&mut classifier)?;
        model.check_scores(&mut classifier, &file.model)?;
        if let Some(size) = model.signature.batch
            && !(reading.keep_batch && size == 1)
            && let Some(rewritten) = model.rewritten(runtime, &mut classifier, &file.model, size)
        {
            model.original = Some(model.content.clone());
            model.content.bytes = rewritten;
            model.batching = Batching::Rewritten { from: size };
        }
        Ok(model)
    }

    /// Creates an instance of the model on a device and tests it there. `threads` is the number of threads for one
    /// operator on the CPU.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn classifier(
        &self,
        runtime: &OnnxRuntime,
        device: impl Into<Device>,
        threads: usize,
    ) -> Result<OnnxClassifier, BackendError> {
        let device = device.into();
        let mut classifier = self.untried(runtime, device, threads)?;
        let batch = self.batching.size().unwrap_or(2);
        let inputs = images(batch, classifier.input_len(), 1);
        rows(&mut classifier, &inputs, batch)?;
        if let (Some(content), Batching::Rewritten { from }) = (&self.original, self.batching) {
            let batching = Batching::Fixed { size: from };
            let model = Self { content: content.clone(), original: None, batching, ..self.clone() };
            classifier.original =
                Some(Box::new(Original { model, runtime: runtime.clone(), device, threads, loaded: None }));
        }
        Ok(classifier)
    }

    /// Determines the number of classes and the kind of output, and checks that inputs do not influence each other.
    fn try_out(&mut self, classifier: &mut OnnxClassifier) -> Result<(), BackendError> {
        let batch = self.batching.size().unwrap_or(3);
        let mut probe = Probe::new(classifier, batch, self.sigma)?;
        self.classes = probe.first().len() / batch;
        self.kind = OutputKind::of(probe.first().chunks(self.classes));
        probe.classifier().set_classes(self.classes);
        let unsupported =
            |problem: String| Err(BackendError::Unsupported { path: self.path.clone(), problem });
        if !probe.is_deterministic()? {
            return unsupported(
                "it gives different answers to the same input in repeated runs, as with random operators, or dropout \
                 or batch normalisation in training mode, so that no result could be verified; export it in inference \
                 mode"
                    .into(),
            );
        }
        let is_free = self.signature.batch.is_none();
        let is_independent = batch == 1 || probe.is_independent()?;
        if !is_free && !is_independent {
            return unsupported(format!(
                "its answer to an input depends on the {} other inputs of the batch, or on the position in the batch, so \
                 that samples would not be independent; export it in inference mode, or with a batch of 1",
                batch - 1
            ));
        }
        if is_free && !(is_independent && probe.is_same_alone()?) {
            self.batching = Batching::Single;
        }
        Ok(())
    }

    /// Checks, as far as possible, that the output has a score for each class, and that other outputs do not contradict
    /// it.
    fn check_scores(
        &mut self,
        classifier: &mut OnnxClassifier,
        model: &ModelProto,
    ) -> Result<(), BackendError> {
        let (classes, output) = (self.classes, self.output().to_owned());
        let unsupported =
            |problem: String| Err(BackendError::Unsupported { path: self.path.clone(), problem });
        let declared = self.signature.output.shape.iter().flatten().skip(1).filter_map(Dim::size);
        if let Some(declared) = declared.filter(|&size| size > 1).find(|&size| size != classes) {
            return unsupported(format!(
                "its output {output} is declared with {declared} columns and has {classes}; export it again with the right number of classes"
            ));
        }
        if let Some(names) = &self.metadata.class_names
            && names.len() != classes
        {
            let names = names.len();
            return unsupported(format!(
                "its metadata name {names} classes, and its output {output} has {classes} columns"
            ));
        }
        let labels = Labels::of(model, &self.summary, &output)?;
        let batch = self.batching.size().unwrap_or(8);
        let found = varied_rows(classifier, classes, batch, !labels.is_empty())?;
        let named = format!("if it does hold one for each class, confirm this with `output` {output}");
        match strange(&found, classes) {
            Some(Strange::Reversed(what)) => {
                return unsupported(format!(
                    "its output {output} holds {what}, so that the smallest value belongs to the most probable class; export it with logits or probabilities"
                ));
            }
            Some(Strange::Sorted) if !self.is_output_named => {
                return unsupported(format!(
                    "each row of its output {output} is sorted by size, for {} of {0} generated images, as if it were the largest few of more values, and not a logit or probability for each class; {named}",
                    found.len() / classes
                ));
            }
            Some(Strange::UnitLength) if !self.is_output_named => {
                return unsupported(format!(
                    "each row of its output {output} has length 1, as an embedding has, and is not a logit or probability for each class; {named}"
                ));
            }
            _ => {}
        }
        if found.chunks(classes).all(|row| row == &found[..classes]) {
            let of_input = Dependencies::of(model, &[&output], |_| Follow::All)?;
            if !of_input.inputs().contains(self.input()) {
                return unsupported(format!(
                    "its output {output} does not depend on its input {}",
                    self.input()
                ));
            }
            self.notes.push(format!(
                "{} gives the same answer to all of {} generated images; if it does so for real images too, its certificates \
                 have no meaning",
                self.path.display(),
                found.len() / classes
            ));
        }
        self.labels = labels;
        let images = varied_images(LABELLED, self.image_shape().iter().product());
        let labels = self.compare_labels(classifier, &images)?;
        self.class_labels = labels.unwrap_or_default();
        Ok(())
    }

    /// Compares the labels that the model returns besides its scores with the classes of the largest scores, for images
    /// with values in data-set units.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] if they differ; otherwise [`BackendError`] from the engine.
    pub fn check_labels(&self, runtime: &OnnxRuntime, images: &[f32]) -> Result<(), BackendError> {
        if !self.labels.is_empty() {
            self.compare_labels(&mut self.untried(runtime, Device::default(), 1)?, images)?;
        }
        Ok(())
    }

    /// The labels of the classes; `None` if they are 0, 1, 2, …. If several outputs have labels, one of them must
    /// belong to these scores.
    fn compare_labels(
        &self,
        classifier: &mut OnnxClassifier,
        images: &[f32],
    ) -> Result<Option<Vec<String>>, BackendError> {
        let (batch, len) = (self.batching.size().unwrap_or(64), classifier.input_len());
        let mut problem = None;
        for labels in &self.labels {
            let (mut scores, mut texts) = (Vec::new(), Vec::new());
            // For a model with a fixed batch size, an incomplete last batch is left out.
            let whole = if self.batching.size().is_some() { batch * len } else { len };
            for part in images[..images.len() / whole * whole].chunks(batch * len) {
                scores.extend(rows(classifier, part, batch)?);
                texts.extend(classifier.labels(part, labels)?);
            }
            let largest = largest(&scores, self.classes);
            match labels.compare(self.output(), self.classes, &largest, &texts) {
                Ok(names) => return Ok(names),
                Err(text) => problem = problem.or(Some(text)),
            }
        }
        let path = self.path.clone();
        problem.map_or(Ok(None), |problem| Err(BackendError::Unsupported { path, problem }))
    }

    /// The model rewritten to any batch size, if this is possible and gives the same answers for several batch sizes.
    fn rewritten(
        &self,
        runtime: &OnnxRuntime,
        fixed: &mut OnnxClassifier,
        model: &ModelProto,
        size: usize,
    ) -> Option<Arc<[u8]>> {
        check_known_fields(&self.content.bytes).ok()?;
        let bytes: Arc<[u8]> = to_bytes(&with_symbolic_batch(model, self.input()).ok()?).into();
        let content = Content { bytes: bytes.clone(), ..self.content.clone() };
        let symbolic = Self { batching: Batching::Rewritten { from: size }, content, ..self.clone() };
        let mut symbolic = symbolic.untried(runtime, Device::default(), 1).ok()?;
        // Whole batches of the file's own size, and at least three inputs.
        let count = 3_usize.next_multiple_of(size);
        let mut probe = Probe::new(&mut symbolic, count, self.sigma).ok()?;
        let inputs = probe.inputs().to_vec();
        if !probe.agrees(&rows(fixed, &inputs, size).ok()?) {
            return None;
        }
        for batch in [1, 2] {
            let answers = rows(probe.classifier(), &inputs, batch).ok()?;
            if !probe.agrees(&answers) {
                return None;
            }
        }
        probe.is_independent().ok()?.then_some(bytes)
    }
}

/// The options of the user, completed by the model's metadata.
fn with_metadata(reading: &InputOptions, metadata: &ModelMetadata) -> Result<InputOptions, String> {
    let mut reading = reading.clone();
    if reading.layout.is_none()
        && let Some(layout) = &metadata.layout
    {
        reading.layout = layout.parse().ok();
    }
    if reading.range.is_none()
        && let Some(range) = &metadata.input_range
    {
        let pair = <[f64; 2]>::try_from(&range[..]);
        reading.range = Some(
            pair.map_err(|_| format!("its metadata give the range {range:?}, which is not two numbers"))?,
        );
    }
    reading.mean = reading.mean.or_else(|| metadata.input_mean.clone());
    reading.std = reading.std.or_else(|| metadata.input_std.clone());
    Ok(reading)
}
