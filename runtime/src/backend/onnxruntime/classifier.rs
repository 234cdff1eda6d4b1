use std::path::{Path, PathBuf};

use mithridate_onnx::{Dim, ElementType, ModelSummary, ValueSummary, summarize};
use ort::{
    ep::CUDA,
    session::{
        Session,
        builder::{AutoDevicePolicy, GraphOptimizationLevel},
    },
    value::TensorRef,
};

use super::{OnnxRuntime, Provider};
use crate::backend::{BackendError, Classifier};

/// Most values in one batch of inputs: 1 GiB of floats.
pub const MAX_VALUES: usize = 1 << 28;

/// An ONNX classifier run by ONNX Runtime: one input N×…, one output N×K, both `float`.
pub struct OnnxClassifier {
    session: Session,
    path: PathBuf,
    input_shape: Vec<usize>,
    classes: usize,
    fixed_batch: Option<usize>,
    shape: Vec<i64>,
}

impl OnnxClassifier {
    /// Loads a model and tries it on one batch, so that whatever it can't do is known before a run starts.
    ///
    /// `threads` is the number of threads within an operator on the CPU.
    ///
    /// # Errors
    /// [`BackendError`]: the file, the provider, or a model that is no classifier of one image input.
    pub fn load(
        runtime: &OnnxRuntime,
        path: &Path,
        provider: Provider,
        threads: usize,
    ) -> Result<Self, BackendError> {
        let summary = summarize(&mithridate_onnx::read(path)?)?;
        let unsupported = |problem: String| BackendError::Unsupported { path: path.to_owned(), problem };
        let (input, batch, input_shape) = check_input(&summary).map_err(unsupported)?;
        check_output(&summary).map_err(unsupported)?;
        if let [file, ..] = &summary.external_data[..] {
            return Err(unsupported(format!(
                "its weights are in another file ({file}), which the evidence can't vouch for; save it as one file"
            )));
        }
        provider.check()?;
        let session = new_session(runtime, path, provider, threads).map_err(|error| match provider {
            Provider::Cuda(_) => {
                BackendError::Provider { provider: provider.to_string(), problem: first_line(&error) }
            }
            Provider::Cpu => BackendError::Load { path: path.to_owned(), problem: first_line(&error) },
        })?;
        let mut shape: Vec<i64> = vec![0];
        shape.extend(input_shape.iter().map(|&size| size as i64));
        let fixed_batch = batch.size();
        let mut classifier =
            Self { session, path: path.to_owned(), input_shape, classes: 0, fixed_batch, shape };
        classifier.classes = classifier.probe(&input)?;
        Ok(classifier)
    }

    /// Shape of one input, without the batch.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// Runs one batch of zeros and returns the number of classes.
    fn probe(&mut self, input: &str) -> Result<usize, BackendError> {
        let batch = self.fixed_batch.unwrap_or(2);
        let mut logits = Vec::new();
        let shape = self.run(&vec![0.0; batch * self.input_len()], &mut logits)?;
        let problem = match shape[..] {
            [n, k] if n == batch as i64 && k >= 2 => return Ok(k as usize),
            [n, k] if n == batch as i64 => {
                format!(
                    "its output has {k} column; a classifier needs one logit for each of two or more classes"
                )
            }
            _ => format!(
                "for {batch} inputs its output has shape {shape:?}; one row of logits an input is needed"
            ),
        };
        Err(BackendError::Unsupported {
            path: self.path.clone(),
            problem: format!("{problem} (input {input})"),
        })
    }

    fn run(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<Vec<i64>, BackendError> {
        let count = batch.len() / self.input_len();
        self.shape[0] = count as i64;
        let failed = |error: ort::Error| BackendError::Run { batch: count, problem: first_line(&error) };
        let input = TensorRef::from_array_view((self.shape.as_slice(), batch)).map_err(failed)?;
        let outputs = self.session.run(ort::inputs![input]).map_err(failed)?;
        let (shape, values) = outputs[0].try_extract_tensor::<f32>().map_err(failed)?;
        logits.clear();
        logits.extend_from_slice(values);
        Ok(shape.to_vec())
    }
}

impl Classifier for OnnxClassifier {
    fn input_len(&self) -> usize {
        self.input_shape.iter().product()
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn fixed_batch(&self) -> Option<usize> {
        self.fixed_batch
    }

    fn logits(&mut self, batch: &[f32], logits: &mut Vec<f32>) -> Result<(), BackendError> {
        let count = batch.len() / self.input_len();
        let shape = self.run(batch, logits)?;
        if shape == [count as i64, self.classes as i64] {
            Ok(())
        } else {
            let problem = format!("its output has shape {shape:?} and not [{count}, {}]", self.classes);
            Err(BackendError::Run { batch: count, problem })
        }
    }
}

/// Builder errors can't leave the thread they arose on, so sessions are made where errors are plain.
fn new_session(
    runtime: &OnnxRuntime,
    path: &Path,
    provider: Provider,
    threads: usize,
) -> ort::Result<Session> {
    let builder = Session::builder(&runtime.environment)?
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?;
    let mut builder = match provider {
        Provider::Cpu => builder,
        Provider::Cuda(device) => builder
            .with_execution_providers([CUDA::default()
                .with_device_id(device)
                .with_tf32(false)
                .build()
                .error_on_failure()])?
            .with_disable_cpu_fallback()?,
    };
    builder.commit_from_file(path)
}

fn check_input(summary: &ModelSummary) -> Result<(String, Dim, Vec<usize>), String> {
    let [input] = &summary.inputs[..] else {
        let names: Vec<String> = summary.inputs.iter().map(ToString::to_string).collect();
        return Err(format!("it has {} inputs ({}); one is needed", names.len(), names.join("; ")));
    };
    check_float(input, "input")?;
    let shape = input.shape.as_deref().unwrap_or_default();
    let Some((batch, rest)) = shape.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Err(format!("its input is {input}; a batch dimension and at least one more are needed"));
    };
    let sizes: Option<Vec<usize>> = rest.iter().map(Dim::size).collect();
    let sizes = sizes.ok_or_else(|| {
        format!(
            "its input is {input}; every dimension but the batch must be fixed, so export it with fixed sizes"
        )
    })?;
    let values = sizes.iter().try_fold(batch.size().unwrap_or(1), |values, &size| values.checked_mul(size));
    if values.is_none_or(|values| values > MAX_VALUES) {
        return Err(format!(
            "its input is {input}; that is more than the {MAX_VALUES} values that are run at once"
        ));
    }
    Ok((input.to_string(), batch.clone(), sizes))
}

fn check_output(summary: &ModelSummary) -> Result<(), String> {
    match &summary.outputs[..] {
        [output] => check_float(output, "output"),
        outputs => {
            let names: Vec<String> = outputs.iter().map(ToString::to_string).collect();
            Err(format!("it has {} outputs ({}); one, the logits, is needed", names.len(), names.join("; ")))
        }
    }
}

fn check_float(value: &ValueSummary, role: &str) -> Result<(), String> {
    if value.element_type == ElementType::Float {
        return Ok(());
    }
    Err(format!("its {role} is {value}; float (32 bits) is needed"))
}

fn first_line(error: &impl ToString) -> String {
    error.to_string().lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}
