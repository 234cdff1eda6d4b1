use std::path::{Path, PathBuf};

use half::{f16, slice::HalfFloatSliceExt};
use mithridate_onnx::ElementType;
use ort::{
    session::{HasSelectedOutputs, RunOptions, Session, SessionOutputs},
    value::TensorRef,
};

use super::{
    Device, InputOptions, OnnxModel, OnnxRuntime,
    labels::Labels,
    session::{new_session, only, run_error, session_error},
    signature::Signature,
};
use crate::backend::{BackendError, Classifier, InputPrecision, Preprocessing, SINGLE, make_room};

/// One instance of an [`OnnxModel`], run by ONNX Runtime.
pub struct OnnxClassifier {
    pub(super) session: Session,
    options: RunOptions<HasSelectedOutputs>,
    pub(super) path: PathBuf,
    pub(super) signature: Signature,
    pub(super) preprocessing: Preprocessing,
    pub(super) identity: bool,
    pub(super) classes: usize,
    pub(super) fixed_batch: Option<usize>,
    pub(super) shape: Vec<i64>,
    /// The unchanged model of the file, if that has a fixed batch size.
    pub(super) original: Option<Box<Original>>,
    /// Relative rounding error of its arithmetic.
    pub(super) rounding: f32,
    input: Vec<f32>,
    halves: Vec<f16>,
    doubles: Vec<f64>,
}

/// The unchanged model of a file that was rewritten to take any batch size. It is loaded at its first use.
pub(super) struct Original {
    pub model: OnnxModel,
    pub runtime: OnnxRuntime,
    pub device: Device,
    pub threads: usize,
    pub loaded: Option<OnnxClassifier>,
}

impl Original {
    pub fn classifier(&mut self) -> Result<&mut dyn Classifier, BackendError> {
        Ok(match &mut self.loaded {
            Some(classifier) => classifier,
            empty => empty.insert(self.model.classifier(&self.runtime, self.device, self.threads)?),
        })
    }
}

impl OnnxModel {
    /// An instance of the model that was not yet tested on the device.
    pub(super) fn untried(
        &self,
        runtime: &OnnxRuntime,
        device: Device,
        threads: usize,
    ) -> Result<OnnxClassifier, BackendError> {
        device.check()?;
        let session = new_session(runtime, &self.content, device, threads, false)
            .and_then(|session| Ok((session, only(self.output())?)));
        let (session, options) = session.map_err(|error| session_error(device, &self.path, &error))?;
        let mut classifier = OnnxClassifier::untried(
            session,
            options,
            &self.path,
            &self.signature,
            &self.preprocessing,
            self.batching.size(),
        );
        classifier.set_classes(self.classes);
        classifier.rounding = self.rounding(device);
        Ok(classifier)
    }
}

impl OnnxClassifier {
    /// Loads a model that needs no [`InputOptions`], and tests it, so that problems are found before a run starts. For
    /// other models use [`OnnxModel`].
    ///
    /// `threads` is the number of threads for one operator on the CPU.
    ///
    /// # Errors
    /// [`BackendError`] if the file or the provider can't be used, or the model is not a classifier with one image
    /// input.
    pub fn load(
        runtime: &OnnxRuntime,
        path: &Path,
        device: impl Into<Device>,
        threads: usize,
    ) -> Result<Self, BackendError> {
        OnnxModel::open(runtime, path, &InputOptions::default())?.classifier(runtime, device, threads)
    }

    /// An instance whose number of classes is not yet known.
    pub(super) fn untried(
        session: Session,
        options: RunOptions<HasSelectedOutputs>,
        path: &Path,
        signature: &Signature,
        preprocessing: &Preprocessing,
        fixed_batch: Option<usize>,
    ) -> Self {
        let mut shape: Vec<i64> = vec![0];
        shape.extend(signature.dims.iter().map(|&size| size as i64));
        Self {
            session,
            options,
            path: path.to_owned(),
            signature: signature.clone(),
            preprocessing: preprocessing.clone(),
            identity: preprocessing.is_identity(signature.image[0]),
            classes: 0,
            fixed_batch,
            shape,
            original: None,
            rounding: SINGLE,
            input: Vec::new(),
            halves: Vec::new(),
            doubles: Vec::new(),
        }
    }

    /// Shape of one image: channels, height, width.
    pub fn image_shape(&self) -> [usize; 3] {
        self.signature.image
    }

    pub(super) fn set_classes(&mut self, classes: usize) {
        self.classes = classes;
    }

    /// Number of classes in an output of this shape for `count` inputs.
    pub(super) fn classes_of(&self, count: usize, shape: &[i64]) -> Result<usize, BackendError> {
        let problem = match shape.split_first() {
            Some((&n, rest)) if n == count as i64 => {
                let mut wide = rest.iter().filter(|&&size| size != 1);
                match (wide.next(), wide.next()) {
                    (Some(&classes), None) if classes >= 2 => return Ok(classes as usize),
                    (None, _) if !rest.is_empty() => {
                        "its output has 1 column; a classifier needs one logit or \
                                                      probability for each of two or more classes"
                            .into()
                    }
                    _ => format!(
                        "for {count} inputs its output has shape {shape:?}; one row per input is needed"
                    ),
                }
            }
            _ => format!("for {count} inputs its output has shape {shape:?}; one row per input is needed"),
        };
        Err(BackendError::Unsupported {
            path: self.path.clone(),
            problem: format!("{problem} (output {})", self.signature.output.name),
        })
    }

    /// Runs the model on images with values in data-set units and returns the shape of the output.
    pub(super) fn run(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<Vec<i64>, BackendError> {
        let count = batch.len() / self.input_len();
        self.shape[0] = count as i64;
        let failed = |error: ort::Error| run_error(count, &error);
        let input = if self.identity {
            batch
        } else {
            make_room(&mut self.input, batch.len(), count)?;
            self.preprocessing.apply(self.signature.image, batch, &mut self.input);
            &self.input
        };
        let typed = Typed { halves: &mut self.halves, doubles: &mut self.doubles };
        let outputs = infer(&mut self.session, &self.signature, &self.shape, input, typed, &self.options)?;
        let output = outputs.get(&self.signature.output.name).ok_or_else(|| BackendError::Run {
            batch: count,
            problem: format!("it returned no output {}", self.signature.output.name),
        })?;
        logits.clear();
        let shape = match self.signature.output.element_type {
            ElementType::Float16 => {
                let (shape, values) = output.try_extract_tensor::<f16>().map_err(failed)?;
                logits.extend(values.iter().map(|value| value.to_f32()));
                shape
            }
            ElementType::Double => {
                let (shape, values) = output.try_extract_tensor::<f64>().map_err(failed)?;
                logits.extend(values.iter().map(|&value| value as f32));
                shape
            }
            _ => {
                let (shape, values) = output.try_extract_tensor::<f32>().map_err(failed)?;
                logits.extend_from_slice(values);
                shape
            }
        };
        Ok(shape.to_vec())
    }

    /// Runs the model on images and returns the label of each, as text, from the output `labels`.
    pub(super) fn labels(&mut self, batch: &[f32], labels: &Labels) -> Result<Vec<String>, BackendError> {
        let count = batch.len() / self.input_len();
        self.shape[0] = count as i64;
        let failed = |error: ort::Error| run_error(count, &error);
        self.preprocessing.apply(self.signature.image, batch, &mut self.input);
        let options = only(&labels.output).map_err(failed)?;
        let typed = Typed { halves: &mut self.halves, doubles: &mut self.doubles };
        let outputs = infer(&mut self.session, &self.signature, &self.shape, &self.input, typed, &options)?;
        let problem = |problem: String| BackendError::Run { batch: count, problem };
        let output = outputs
            .get(&labels.output)
            .ok_or_else(|| problem(format!("it returned no output {}", labels.output)))?;
        let texts: Vec<String> = match labels.element_type {
            ElementType::String => output.try_extract_strings().map_err(failed)?.1,
            ElementType::Int32 => {
                output.try_extract_tensor::<i32>().map_err(failed)?.1.iter().map(i32::to_string).collect()
            }
            _ => output.try_extract_tensor::<i64>().map_err(failed)?.1.iter().map(i64::to_string).collect(),
        };
        if texts.len() == count {
            Ok(texts)
        } else {
            Err(problem(format!("its output {} has {} values and not {count}", labels.output, texts.len())))
        }
    }
}

/// Buffers for inputs of other types than single precision.
struct Typed<'a> {
    halves: &'a mut Vec<f16>,
    doubles: &'a mut Vec<f64>,
}

/// Converts preprocessed inputs to the type of the model's input and runs the model.
fn infer<'s>(
    session: &'s mut Session,
    signature: &Signature,
    shape: &[i64],
    input: &[f32],
    Typed { halves, doubles }: Typed<'_>,
    options: &'s RunOptions<HasSelectedOutputs>,
) -> Result<SessionOutputs<'s>, BackendError> {
    let count = shape.first().map_or(0, |&size| size as usize);
    let failed = |error: ort::Error| run_error(count, &error);
    let name = signature.input.name.as_str();
    match signature.input.element_type {
        ElementType::Float16 => {
            make_room(halves, input.len(), count)?;
            halves.convert_from_f32_slice(input);
            let tensor = TensorRef::from_array_view((shape, &halves[..])).map_err(failed)?;
            session.run_with_options(ort::inputs![name => tensor], options)
        }
        ElementType::Double => {
            make_room(doubles, input.len(), count)?;
            doubles.iter_mut().zip(input).for_each(|(double, &value)| *double = value.into());
            let tensor = TensorRef::from_array_view((shape, &doubles[..])).map_err(failed)?;
            session.run_with_options(ort::inputs![name => tensor], options)
        }
        _ => {
            let tensor = TensorRef::from_array_view((shape, input)).map_err(failed)?;
            session.run_with_options(ort::inputs![name => tensor], options)
        }
    }
    .map_err(failed)
}

impl Classifier for OnnxClassifier {
    fn input_len(&self) -> usize {
        self.signature.image.iter().product()
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn fixed_batch(&self) -> Option<usize> {
        self.fixed_batch
    }

    fn rounding(&self) -> f32 {
        self.rounding
    }

    fn in_file(&mut self) -> Result<Option<&mut dyn Classifier>, BackendError> {
        self.original.as_mut().map(|original| original.classifier()).transpose()
    }

    fn input_precision(&self) -> InputPrecision {
        self.signature.precision(&self.preprocessing)
    }

    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        let count = batch.len() / self.input_len();
        if count * self.input_len() != batch.len() {
            let problem = format!(
                "{} values are not a whole number of inputs of {} values",
                batch.len(),
                self.input_len()
            );
            return Err(BackendError::Run { batch: count, problem });
        }
        let shape = self.run(batch, logits)?;
        if shape.first() == Some(&(count as i64)) && logits.len() == count * self.classes {
            Ok(())
        } else {
            let problem = format!("its output has shape {shape:?} and not [{count}, {}]", self.classes);
            Err(BackendError::Run { batch: count, problem })
        }
    }
}
