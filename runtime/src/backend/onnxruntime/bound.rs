use half::{f16, slice::HalfFloatSliceExt};
use mithridate_onnx::ElementType;
use ort::{
    memory::Allocator,
    session::{HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue},
    value::Tensor,
};

use super::{
    OnnxClassifier,
    classifier::Original,
    probe::images,
    session::{first_line, options},
    signature::Signature,
};
use crate::backend::{BackendError, Classifier, InputPrecision, Preprocessing};

/// An [`OnnxClassifier`] on the CPU for batches of one size, with fixed memory for inputs and outputs: a run allocates
/// no memory outside ONNX Runtime itself.
pub struct BoundClassifier {
    session: Session,
    options: RunOptions<HasSelectedOutputs>,
    input: Values,
    /// The preprocessed input in single precision, if preprocessing changes it.
    prepared: Vec<f32>,
    signature: Signature,
    preprocessing: Preprocessing,
    identity: bool,
    batch: usize,
    classes: usize,
    original: Option<Box<Original>>,
    rounding: f32,
}

/// A tensor of one of the supported input types.
enum Values {
    Float(Tensor<f32>),
    Half(Tensor<f16>),
    Double(Tensor<f64>),
}

impl OnnxClassifier {
    /// Binds the classifier to memory for batches of `batch` inputs.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] if the model takes only batches of another size; [`BackendError::Run`] or
    /// [`BackendError::OutOfMemory`] if it fails on a batch.
    pub fn bind(mut self, batch: usize) -> Result<BoundClassifier, BackendError> {
        if let Some(size) = self.fixed_batch.filter(|&size| size != batch) {
            let problem = format!("it takes exactly {size} inputs at once and not {batch}");
            return Err(BackendError::Unsupported { path: self.path, problem });
        }
        // A test run shows the shape of the output.
        let inputs = images(batch, self.input_len(), 1);
        let mut logits = Vec::new();
        let output = self.run(&inputs, &mut logits)?;
        self.shape[0] = batch as i64;
        let (input, options) = tensors(&self.signature, &self.shape, &output)
            .map_err(|error| BackendError::Run { batch, problem: first_line(&error) })?;
        let mut bound = BoundClassifier {
            session: self.session,
            options,
            input,
            prepared: Vec::new(),
            signature: self.signature,
            preprocessing: self.preprocessing,
            identity: self.identity,
            batch,
            classes: self.classes,
            original: self.original,
            rounding: self.rounding,
        };
        let mut again = Vec::with_capacity(logits.len());
        bound.logits(&inputs, &mut again)?;
        if bound.classes * batch != again.len() {
            let problem = format!("its output has {} values and not {}", again.len(), bound.classes * batch);
            return Err(BackendError::Run { batch, problem });
        }
        Ok(bound)
    }
}

/// The tensor of inputs, and options that keep the tensor of outputs.
fn tensors(
    signature: &Signature,
    input: &[i64],
    output: &[i64],
) -> ort::Result<(Values, RunOptions<HasSelectedOutputs>)> {
    let memory = Allocator::default();
    let values = match signature.input.element_type {
        ElementType::Float16 => Values::Half(Tensor::new(&memory, input)?),
        ElementType::Double => Values::Double(Tensor::new(&memory, input)?),
        _ => Values::Float(Tensor::new(&memory, input)?),
    };
    let name = signature.output.name.as_str();
    let selected = OutputSelector::no_default().with(name);
    let selected = match signature.output.element_type {
        ElementType::Float16 => selected.preallocate(name, Tensor::<f16>::new(&memory, output)?),
        ElementType::Double => selected.preallocate(name, Tensor::<f64>::new(&memory, output)?),
        _ => selected.preallocate(name, Tensor::<f32>::new(&memory, output)?),
    };
    Ok((values, options(selected)?))
}

impl Values {
    fn fill(&mut self, values: &[f32]) -> ort::Result<()> {
        match self {
            Self::Float(tensor) => tensor.try_extract_tensor_mut()?.1.copy_from_slice(values),
            Self::Half(tensor) => {
                tensor.try_extract_tensor_mut::<f16>()?.1.convert_from_f32_slice(values);
            }
            Self::Double(tensor) => {
                for (double, &value) in tensor.try_extract_tensor_mut::<f64>()?.1.iter_mut().zip(values) {
                    *double = f64::from(value);
                }
            }
        }
        Ok(())
    }

    fn view(&self) -> SessionInputValue<'_> {
        match self {
            Self::Float(tensor) => tensor.into(),
            Self::Half(tensor) => tensor.into(),
            Self::Double(tensor) => tensor.into(),
        }
    }
}

impl Classifier for BoundClassifier {
    fn input_len(&self) -> usize {
        self.signature.image.iter().product()
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn fixed_batch(&self) -> Option<usize> {
        Some(self.batch)
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
        let size = self.batch;
        let problem = |problem: String| BackendError::Run { batch: size, problem };
        let failed = |error: ort::Error| problem(first_line(&error));
        if batch.len() != size * self.input_len() {
            let inputs = self.input_len();
            return Err(problem(format!("{} values are not {size} inputs of {inputs}", batch.len())));
        }
        if self.identity {
            self.input.fill(batch).map_err(failed)?;
        } else {
            self.preprocessing.apply(self.signature.image, batch, &mut self.prepared);
            self.input.fill(&self.prepared).map_err(failed)?;
        }
        // The input is passed by position, because a map of names would allocate memory. There is no other input
        // without a default.
        let outputs = self.session.run_with_options([self.input.view()], &self.options).map_err(failed)?;
        let output = outputs
            .get(&self.signature.output.name)
            .ok_or_else(|| problem(format!("it returned no output {}", self.signature.output.name)))?;
        logits.clear();
        match self.signature.output.element_type {
            ElementType::Float16 => {
                let (_, values) = output.try_extract_tensor::<f16>().map_err(failed)?;
                logits.extend(values.iter().map(|value| value.to_f32()));
            }
            ElementType::Double => {
                let (_, values) = output.try_extract_tensor::<f64>().map_err(failed)?;
                logits.extend(values.iter().map(|&value| value as f32));
            }
            _ => logits.extend_from_slice(output.try_extract_tensor::<f32>().map_err(failed)?.1),
        }
        Ok(())
    }
}
