//! `rscert`: randomized-smoothing certification of ONNX classifiers.

fn main() -> std::process::ExitCode {
    mithridate_runtime::cli::main()
}
