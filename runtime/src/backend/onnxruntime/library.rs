use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::backend::BackendError;

/// ONNX Runtime, loaded once per process.
#[derive(Clone, Debug)]
pub struct OnnxRuntime {
    pub(super) environment: ort::environment::Environment,
    library: PathBuf,
}

const LIBRARY: &str = "libonnxruntime.so";
/// Environment variable that ONNX Runtime reads when it is loaded. If it is set, ONNX Runtime does not report its use,
/// and writes no files for that.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

impl OnnxRuntime {
    /// Loads the library named by `ORT_DYLIB_PATH`; without it the one that `scripts/setup.py` put into the folder
    /// `third_party` beside the program or in a folder above; without that the system's library.
    ///
    /// A process has one ONNX Runtime: later calls return the first.
    ///
    /// From version 1.29 on ONNX Runtime reports its use to its maker unless the variable `ORT_DISABLE_TELEMETRY` is
    /// set when it is loaded. This function sets it if the process has one thread. A program that starts threads before
    /// this call must set it itself, before it starts them.
    ///
    /// # Errors
    /// [`BackendError::Library`] if there is no library, or it can't be used.
    pub fn load() -> Result<Self, BackendError> {
        once(find)
    }

    /// As [`load`](Self::load), from the given library file.
    ///
    /// # Errors
    /// [`BackendError::Library`] if the library does not exist, can't be used, or the process already has another one.
    pub fn load_file(library: &Path) -> Result<Self, BackendError> {
        let wanted = std::path::absolute(library).unwrap_or_else(|_| library.to_owned());
        let loaded = once(|| wanted.clone())?;
        if same_file(&loaded.library, &wanted) {
            return Ok(loaded);
        }
        let problem = format!("can't be loaded: the process already has {}", loaded.library.display());
        Err(BackendError::Library { path: wanted, problem })
    }

    /// The environment in which sessions are created.
    pub fn environment(&self) -> &ort::environment::Environment {
        &self.environment
    }

    /// Path of the library file.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Version of the library, such as `1.30.0`.
    pub fn version(&self) -> String {
        let real = self.library.canonicalize().unwrap_or_else(|_| self.library.clone());
        let name = real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name.split_once(".so.") {
            Some((_, version)) => version.into(),
            None => ort::info().into(),
        }
    }
}

/// The ONNX Runtime of this process. The first call loads it from the file that `library` returns.
fn once(library: impl FnOnce() -> PathBuf) -> Result<OnnxRuntime, BackendError> {
    static LOADED: OnceLock<Result<OnnxRuntime, (PathBuf, String)>> = OnceLock::new();
    LOADED
        .get_or_init(|| load_from(library()))
        .clone()
        .map_err(|(path, problem)| BackendError::Library { path, problem })
}

fn same_file(left: &Path, right: &Path) -> bool {
    left == right || left.canonicalize().ok().is_some_and(|left| right.canonicalize().ok() == Some(left))
}

/// Turns off the usage reports of ONNX Runtime, unless the user's environment sets the variable, or other threads may
/// be reading the environment.
pub(crate) fn forbid_telemetry() {
    let is_alone = || fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if env::var_os(NO_TELEMETRY).is_none() && is_alone() {
        // SAFETY: this is the only thread, so nobody reads or changes the environment meanwhile.
        #[allow(unsafe_code)]
        unsafe {
            env::set_var(NO_TELEMETRY, "1");
        }
    }
}

fn load_from(library: PathBuf) -> Result<OnnxRuntime, (PathBuf, String)> {
    // `ort` panics on some broken paths and explains others poorly.
    if library.components().count() > 1 && !library.is_file() {
        return Err((library, "does not exist".into()));
    }
    let broken = |problem: String| (library.clone(), format!("can't be loaded ({problem})"));
    forbid_telemetry();
    let environment = ort::init_from(&library)
        .map_err(|error| broken(error.to_string()))?
        .with_name("mithridate")
        .with_telemetry(false)
        .build()
        .map_err(|error| broken(error.to_string()))?;
    Ok(OnnxRuntime { environment, library })
}

fn find() -> PathBuf {
    if let Some(path) = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return std::path::absolute(&path).unwrap_or(path);
    }
    let program = env::current_exe().unwrap_or_default();
    program
        .ancestors()
        .skip(1)
        .flat_map(|folder| [folder.join(LIBRARY), folder.join("third_party/onnxruntime/lib").join(LIBRARY)])
        .find(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(LIBRARY))
}
