//! `pacd`: bilevel data poisoning of certified defences, robust training, and export to ONNX.

fn main() -> std::process::ExitCode {
    mithridate_attacker::cli::main()
}
