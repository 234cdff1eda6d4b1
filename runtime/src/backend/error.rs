use std::path::PathBuf;

/// Why a model can't be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The library of ONNX Runtime was not found or can't be used.
    #[error("the ONNX Runtime library {} {problem}; `python3 scripts/setup.py onnxruntime` fetches it, or set ORT_DYLIB_PATH to a libonnxruntime of version 1.24 or newer", path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// The problem, as the end of a sentence that starts with the path.
        problem: String,
    },
    /// The execution provider is not in this ONNX Runtime, or its device is not in this machine.
    #[error("the execution provider {provider} can't be used: {problem}")]
    Provider {
        /// The provider.
        provider: String,
        /// Why it can't be used, and what to do.
        problem: String,
    },
    /// The file can't be read as an ONNX model, or the model can't be changed as needed.
    #[error(transparent)]
    Model(#[from] mithridate_onnx::OnnxError),
    /// ONNX Runtime can't load the model.
    #[error("ONNX Runtime can't load {}: {problem}", path.display())]
    Load {
        /// The model.
        path: PathBuf,
        /// The message of ONNX Runtime.
        problem: String,
    },
    /// The model is not a classifier of the kind that can be certified.
    #[error("{} can't be certified: {problem}", path.display())]
    Unsupported {
        /// The model.
        path: PathBuf,
        /// The property that does not fit, and the one that is needed.
        problem: String,
    },
    /// Too little memory for a batch; a smaller batch may fit.
    #[error("the memory of the machine or device is too small for {}: {problem}", described(*batch))]
    OutOfMemory {
        /// Inputs in the batch; 0 if the model alone is too large.
        batch: usize,
        /// The message of the engine.
        problem: String,
    },
    /// A session needs more memory of the device than it may use.
    #[error("{what} need {needed} bytes of device memory, and a session may use at most {most}; {advice}")]
    DeviceMemory {
        /// The data that need the memory.
        what: String,
        /// Advice for the user.
        advice: &'static str,
        /// Bytes needed.
        needed: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// Too little memory for the noise that all inputs share.
    #[error(
        "there is too little memory for the noise of {samples} samples ({problem}); give a smaller `n` or use \
             `noise_mode` independent"
    )]
    NoBank {
        /// Number of samples in the noise bank.
        samples: usize,
        /// The message of the system or the engine.
        problem: String,
    },
    /// The operating system could not start a thread.
    #[error(
        "a thread can't be started ({problem}); allow the process more threads, or give a smaller `threads`"
    )]
    Thread {
        /// The message of the system.
        problem: String,
    },
    /// The comparison failed: a sample that was answered again got another answer.
    #[error("{role} sample {number} of input {index} {problem}")]
    Dependent {
        /// Index of the input in its data set.
        index: u64,
        /// Role of the sample: selection, estimation or prediction.
        role: &'static str,
        /// Its number among the samples of that role.
        number: u64,
        /// How the sample was answered again, the difference, and advice for the user.
        problem: String,
    },
    /// The engine failed while running.
    #[error("the model failed on a batch of {batch} inputs: {problem}")]
    Run {
        /// Inputs in the batch.
        batch: usize,
        /// The message of the engine.
        problem: String,
    },
}

/// The use of the memory, as a noun phrase.
fn described(batch: usize) -> String {
    if batch == 0 { "the model".into() } else { format!("a batch of {batch} inputs") }
}

impl BackendError {
    /// The error for a thread that could not be started.
    pub(crate) fn thread(error: &std::io::Error) -> Self {
        Self::Thread { problem: error.to_string() }
    }
}
