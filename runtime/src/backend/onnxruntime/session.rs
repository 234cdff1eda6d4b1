use std::sync::Arc;

use ort::{
    ep::CUDA,
    logging::LogLevel,
    session::{
        HasSelectedOutputs, OutputSelector, RunOptions, Session,
        builder::{AutoDevicePolicy, GraphOptimizationLevel},
    },
};

use super::{OnnxRuntime, Provider};

/// What a session is made of: a model in memory and its files of weights, by name.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub bytes: Arc<[u8]>,
    pub external: Vec<(String, Arc<[u8]>)>,
}

/// Builder errors can't leave the thread they arose on, so sessions are made where errors are plain. Nothing is read
/// from a file: what runs is what was hashed.
pub(super) fn new_session(
    runtime: &OnnxRuntime,
    content: &Content,
    provider: Provider,
    threads: usize,
) -> ort::Result<Session> {
    let mut builder = Session::builder(&runtime.environment)?
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // What goes wrong is in the error; ONNX Runtime would print it as well.
        .with_log_level(LogLevel::Fatal)?;
    for (location, bytes) in &content.external {
        builder = builder.with_external_initializer_file_in_memory(location, bytes.clone())?;
    }
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
    builder.commit_from_memory(&content.bytes)
}

/// Runs that give one output alone.
pub(super) fn only(output: &str) -> ort::Result<RunOptions<HasSelectedOutputs>> {
    options(OutputSelector::no_default().with(output))
}

/// Runs that give the outputs selected.
pub(super) fn options(outputs: OutputSelector) -> ort::Result<RunOptions<HasSelectedOutputs>> {
    let mut options = RunOptions::new()?.with_outputs(outputs);
    options.set_log_level(LogLevel::Fatal)?;
    Ok(options)
}

/// Whether ONNX Runtime could not get memory: its own allocators, those of C++, CUDA and its libraries.
pub(super) fn is_out_of_memory(problem: &str) -> bool {
    let problem = problem.to_ascii_lowercase();
    ["failed to allocate", "out of memory", "bad_alloc", "bad allocation", "alloc_failed"]
        .iter()
        .any(|words| problem.contains(words))
}

/// The first line of what ONNX Runtime said, as part of a sentence.
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
