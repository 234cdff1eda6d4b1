//! The programs of the workspace, run as a user runs them.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread::sleep,
    time::{Duration, Instant},
};

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The ONNX Runtime that tests use: the one of `ORT_DYLIB_PATH`, or the one that `scripts/setup.py` fetches.
pub fn onnx_runtime() -> PathBuf {
    let fetched = || workspace().join("third_party/onnxruntime/lib/libonnxruntime.so");
    env::var_os("ORT_DYLIB_PATH").map_or_else(fetched, PathBuf::from)
}

/// A program.
#[derive(Clone, Debug)]
pub struct Program(PathBuf);

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit status; none if it was ended because it took too long, or died of a signal.
    pub status: Option<i32>,
    /// What it printed.
    pub output: String,
    /// What it said on standard error.
    pub errors: String,
}

impl Program {
    /// In this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// This process's own.
    ///
    /// # Errors
    /// If the system can't say which file it is.
    pub fn this() -> io::Result<Self> {
        env::current_exe().map(Self)
    }

    /// A program of the crate that is tested, which cargo builds before its tests.
    pub fn tested(name: &str) -> Self {
        Self(folder_of_programs().join(name))
    }

    /// A program of any crate of the workspace, `rscert` or `pacd`, built like the test itself. Whoever has just built
    /// everything, as `make test` has, need not have it checked by every test, and sets `MITHRIDATE_PROGRAMS_BUILT`.
    pub fn built(name: &str) -> Self {
        static BUILT: [OnceLock<()>; 2] = [OnceLock::new(), OnceLock::new()];
        let (built, package) = match name {
            "rscert" => (&BUILT[0], "mithridate-runtime"),
            _ => (&BUILT[1], "mithridate-attacker"),
        };
        built.get_or_init(|| {
            if env::var_os("MITHRIDATE_PROGRAMS_BUILT").is_none() {
                let mut build = Command::new(env!("CARGO"));
                build.current_dir(workspace()).args(["build", "--quiet", "--package", package, "--bins"]);
                if !cfg!(debug_assertions) {
                    build.arg("--release");
                }
                assert!(build.status().expect("cargo runs").success(), "{name} doesn't build");
            }
        });
        Self::tested(name)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A command in a folder.
    pub fn command(&self, folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(&self.0);
        command.current_dir(folder).args(arguments).env("ORT_DYLIB_PATH", onnx_runtime());
        command
    }

    /// Runs a command in a folder, and ends it if it takes longer than `patience`.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn run(
        &self,
        folder: &Path,
        arguments: &[impl AsRef<OsStr>],
        patience: Duration,
    ) -> io::Result<Ended> {
        // Files, so that nothing waits for a pipe to be read.
        let places = [".output", ".errors"].map(|name| folder.join(name));
        let mut command = self.command(folder, arguments);
        command.stdin(Stdio::null());
        let mut child =
            command.stdout(File::create(&places[0])?).stderr(File::create(&places[1])?).spawn()?;
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status.code();
            }
            if started.elapsed() > patience {
                child.kill()?;
                child.wait()?;
                break None;
            }
            sleep(Duration::from_millis(2));
        };
        let text = |place| Ok::<_, io::Error>(String::from_utf8_lossy(&fs::read(place)?).into_owned());
        Ok(Ended { status, output: text(&places[0])?, errors: text(&places[1])? })
    }
}

/// Where cargo puts the programs: a test is `target/<profile>/deps/<test>`, a program `target/<profile>/<program>`.
fn folder_of_programs() -> PathBuf {
    let test = env::current_exe().expect("a test has a file");
    test.ancestors().nth(2).expect("a test is in the target folder").to_owned()
}

/// A command of the `rscert` that is tested, in a folder.
pub fn rscert(folder: &Path, arguments: &[&str]) -> Command {
    Program::tested("rscert").command(folder, arguments)
}

/// Arguments of a certification of a model and data.
pub fn certification<'a>(model: &'a str, data: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&["certify", "--model", model, "--data", data], flags].concat()
}

/// Certification of the model and the data of a [place](crate::place).
pub fn certify(folder: &Path, flags: &[&str]) -> Command {
    rscert(folder, &certification("model.onnx", "data", flags))
}

/// The command, started by a shell that does `first` before and then becomes the command.
pub fn after(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{first}; exec \"$0\" \"$@\""));
    handed(shell, command)
}

/// The command as last arguments of another, which starts it in the same folder with the same variables.
pub fn handed(mut starter: Command, command: &Command) -> Command {
    starter.arg(command.get_program()).args(command.get_args());
    starter.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        starter.current_dir(folder);
    }
    starter
}
