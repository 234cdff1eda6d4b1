use std::{path::Path, sync::Arc};

use ort::{
    ep::{ArenaExtendStrategy, CUDA, ExecutionProviderDispatch, TensorRT},
    logging::LogLevel,
    session::{
        HasSelectedOutputs, NoSelectedOutputs, OutputSelector, RunOptions, Session,
        builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder},
    },
};

use super::{Device, OnnxRuntime, Precision, Provider};
use crate::backend::BackendError;

/// The content of a session: a model in memory and its files of weights, by name.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub bytes: Arc<[u8]>,
    pub external: Vec<(String, Arc<[u8]>)>,
}

/// Creates a session. Errors of the builder can't be sent to another thread, so this function returns plain errors.
/// Nothing is read from files, so that the bytes that run are the bytes that were hashed.
pub(super) fn new_session(
    runtime: &OnnxRuntime,
    content: &Content,
    device: Device,
    threads: usize,
    cuda_graph: bool,
) -> ort::Result<Session> {
    let builder = builder(runtime, content, threads, GraphOptimizationLevel::All)?;
    let mut builder = match device.provider {
        Provider::Cpu => builder,
        Provider::Cuda(number) => builder
            .with_execution_providers([cuda(device, number, cuda_graph)])?
            .with_disable_cpu_fallback()?,
        Provider::TensorRt(number) => builder
            .with_execution_providers([tensorrt(device, number), cuda(device, number, cuda_graph)])?
            .with_disable_cpu_fallback()?,
    };
    builder.commit_from_memory(&content.bytes)
}

/// The GPU with its memory limit. A model runs there as a whole or not at all.
fn cuda(device: Device, number: i32, cuda_graph: bool) -> ExecutionProviderDispatch {
    let mut provider = CUDA::default()
        .with_device_id(number)
        .with_tf32(device.precision == Precision::Tf32)
        .with_cuda_graph(cuda_graph);
    if let Some(bytes) = device.memory {
        // By default ONNX Runtime takes memory in powers of two, which could exceed the limit.
        provider = provider
            .with_memory_limit(bytes)
            .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested);
    }
    provider.build().error_on_failure()
}

fn tensorrt(device: Device, number: i32) -> ExecutionProviderDispatch {
    let mut provider =
        TensorRT::default().with_device_id(number).with_fp16(device.precision == Precision::Float16);
    if let Some(bytes) = device.memory {
        provider = provider.with_max_workspace_size(bytes);
    }
    provider.build().error_on_failure()
}

/// The error for a session that could not be created.
pub(super) fn session_error(device: Device, path: &Path, error: &ort::Error) -> BackendError {
    let problem = first_line(error);
    let provider = device.provider.to_string();
    if problem.contains("fallback to CPU EP has been explicitly disabled") {
        let problem =
            "it does not support some operators of the model, which would run on the processor instead; \
                       certify the model with `provider` cpu"
                .into();
        return BackendError::Provider { provider, problem };
    }
    if is_out_of_memory(&error.to_string()) {
        return BackendError::OutOfMemory { batch: 0, problem };
    }
    // A library of CUDA, cuDNN or TensorRT that the provider needs is missing.
    if let Some((_, missing)) = problem.split_once("with error: ") {
        let problem = format!(
            "{missing}; install CUDA 13 and cuDNN 9 (for tensorrt also TensorRT) and name the folders of their libraries \
             in LD_LIBRARY_PATH"
        );
        return BackendError::Provider { provider, problem };
    }
    match device.provider {
        Provider::Cpu => BackendError::Load { path: path.to_owned(), problem },
        Provider::Cuda(_) | Provider::TensorRt(_) => BackendError::Provider { provider, problem },
    }
}

/// The error for a batch that failed.
pub(super) fn run_error(batch: usize, error: &ort::Error) -> BackendError {
    let problem = first_line(error);
    if is_out_of_memory(&error.to_string()) {
        BackendError::OutOfMemory { batch, problem }
    } else {
        BackendError::Run { batch, problem }
    }
}

/// A session on the CPU that runs the graph node by node, without optimization.
pub(super) fn unoptimized_session(runtime: &OnnxRuntime, content: &Content) -> ort::Result<Session> {
    builder(runtime, content, 1, GraphOptimizationLevel::Disable)?.commit_from_memory(&content.bytes)
}

fn builder(
    runtime: &OnnxRuntime,
    content: &Content,
    threads: usize,
    level: GraphOptimizationLevel,
) -> ort::Result<SessionBuilder> {
    let mut builder = Session::builder(&runtime.environment)?
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_optimization_level(level)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // Otherwise products of 8-bit integers would saturate on processors without VNNI, and votes would depend on the
        // machine.
        .with_precise_qmm()?
        // Errors are returned; ONNX Runtime would print them as well.
        .with_log_level(LogLevel::Fatal)?;
    for (location, bytes) in &content.external {
        builder = builder.with_external_initializer_file_in_memory(location, bytes.clone())?;
    }
    Ok(builder)
}

/// Run options that return one output only.
pub(super) fn only(output: &str) -> ort::Result<RunOptions<HasSelectedOutputs>> {
    options(OutputSelector::no_default().with(output))
}

/// Run options that return the selected outputs.
pub(super) fn options(outputs: OutputSelector) -> ort::Result<RunOptions<HasSelectedOutputs>> {
    Ok(quiet()?.with_outputs(outputs))
}

/// Run options that print nothing.
pub(super) fn quiet() -> ort::Result<RunOptions<NoSelectedOutputs>> {
    let mut options = RunOptions::new()?;
    options.set_log_level(LogLevel::Fatal)?;
    Ok(options)
}

/// Whether an error message of ONNX Runtime means that memory was too small: from its own allocators, those of C++,
/// CUDA and its libraries.
pub(super) fn is_out_of_memory(problem: &str) -> bool {
    let problem = problem.to_ascii_lowercase();
    ["failed to allocate", "out of memory", "bad_alloc", "bad allocation", "alloc_failed"]
        .iter()
        .any(|words| problem.contains(words))
}

/// The first line of an error message of ONNX Runtime, as part of a sentence.
pub(super) fn first_line(error: &impl ToString) -> String {
    error.to_string().lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_full_memory_are_known() {
        for words in [
            "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 1024",
            "CUDA failure 2: out of memory ; GPU=0",
            "std::bad_alloc",
            "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        ] {
            assert!(is_out_of_memory(words), "{words}");
        }
        assert!(!is_out_of_memory("Got invalid dimensions for input: image"));
    }
}
