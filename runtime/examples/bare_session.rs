//! Runs a model in ONNX Runtime and does nothing else: what `scripts/footprint.py` compares the memory of `rscert` with.
//!
//! ```text
//! cargo run --release -p mithridate-runtime --example bare_session -- MODEL BATCH RUNS CHANNELS HEIGHT WIDTH
//! ```

use std::{env, error::Error};

use ort::{session::Session, value::TensorRef};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, numbers @ ..] = &arguments[..] else { return Err("name a model".into()) };
    let numbers: Vec<usize> = numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
    let [batch, runs, image @ ..] = &numbers[..] else { return Err("give BATCH and RUNS".into()) };
    let library = env::var_os("ORT_DYLIB_PATH").ok_or("set ORT_DYLIB_PATH")?;
    let environment = ort::init_from(library)?.with_telemetry(false).build()?;
    let mut session = session(&environment, model)?;
    let shape: Vec<usize> = [*batch].iter().chain(image).copied().collect();
    let values = vec![0.5_f32; shape.iter().product()];
    for _ in 0..*runs {
        session.run(ort::inputs![TensorRef::from_array_view((&shape[..], &values[..]))?])?;
    }
    Ok(())
}

/// Errors of a builder can't leave their thread; those of this function can.
fn session(environment: &ort::environment::Environment, model: &str) -> ort::Result<Session> {
    let builder = Session::builder(environment)?.with_intra_threads(1)?;
    builder.with_intra_op_spinning(false)?.commit_from_file(model)
}
