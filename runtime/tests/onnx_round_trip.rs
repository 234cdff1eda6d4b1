//! Files that others wrote are read and written back without loss: the models that the ONNX project tests engines
//! with, from `python3 scripts/setup.py onnx-backend-tests`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use half::f16;
use mithridate_onnx::{
    ElementType, check_known_fields, from_bytes, messages::TensorProto, summarize, to_bytes,
};
use mithridate_runtime::backend::OnnxRuntime;
use ort::{
    logging::LogLevel,
    session::Session,
    value::{DynValue, Tensor},
};
use prost::Message;

/// Models whose outputs are compared.
const SAMPLE: usize = 200;

/// All models, in a fixed order; none with a message if they were not fetched.
fn models() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../third_party/onnx-backend-tests");
    let mut found: Vec<PathBuf> = Vec::new();
    for kind in ["node", "simple", "pytorch-converted", "pytorch-operator", "light"] {
        for entry in fs::read_dir(root.join(kind)).into_iter().flatten().flatten() {
            let model = if kind == "light" { entry.path() } else { entry.path().join("model.onnx") };
            if model.extension().is_some_and(|extension| extension == "onnx") && model.is_file() {
                found.push(model);
            }
        }
    }
    found.sort();
    if found.is_empty() {
        eprintln!(
            "skipped: {} is not there; `python3 scripts/setup.py onnx-backend-tests` fetches it",
            root.display()
        );
    }
    found
}

#[test]
fn every_model_is_written_back_as_it_was() {
    let (mut same, mut reordered) = (0, Vec::new());
    let models = models();
    for path in &models {
        let bytes = fs::read(path).unwrap();
        let model = from_bytes(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        summarize(&model).unwrap();
        // Nothing that the messages lack, so nothing is dropped.
        check_known_fields(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let written = to_bytes(&model);
        if written == bytes {
            same += 1;
            continue;
        }
        // The same fields in another order or packing are the same message.
        assert_eq!(from_bytes(&written).unwrap(), model, "{}", path.display());
        assert_eq!(to_bytes(&from_bytes(&written).unwrap()), written, "{}", path.display());
        reordered.push((path.clone(), bytes.len(), written.len()));
    }
    println!(
        "{} models: {same} byte for byte, {} the same message in other bytes",
        models.len(),
        reordered.len()
    );
    for (path, before, after) in reordered.iter().take(5) {
        println!("  {}: {before} bytes before, {after} after", path.display());
    }
    assert!(models.is_empty() || models.len() > 1500, "{} models", models.len());
}

fn session(runtime: &OnnxRuntime, bytes: &[u8]) -> ort::Result<Session> {
    Session::builder(runtime.environment())?
        .with_intra_threads(1)?
        .with_log_level(LogLevel::Fatal)?
        .commit_from_memory(bytes)
}

/// A tensor of the test data as ONNX Runtime takes it; `None` for types and containers that are left out.
fn value(bytes: &[u8]) -> Option<DynValue> {
    let tensor = TensorProto::decode(bytes).ok()?;
    let raw = tensor.raw_data.clone().filter(|raw| !raw.is_empty());
    let shape = tensor.dims.clone();
    macro_rules! dense {
        ($type:ty, $typed:expr) => {{
            let values: Vec<$type> = match &raw {
                Some(raw) => raw
                    .chunks_exact(size_of::<$type>())
                    .map(|bytes| <$type>::from_le_bytes(bytes.try_into().unwrap()))
                    .collect(),
                None => $typed,
            };
            Some(Tensor::from_array((shape, values)).ok()?.into_dyn())
        }};
    }
    let narrow = &tensor.int32_data;
    match ElementType::from_number(tensor.data_type?)? {
        ElementType::Float => dense!(f32, tensor.float_data.clone()),
        ElementType::Double => dense!(f64, tensor.double_data.clone()),
        ElementType::Int64 => dense!(i64, tensor.int64_data.clone()),
        ElementType::Uint64 => dense!(u64, tensor.uint64_data.clone()),
        ElementType::Int32 => dense!(i32, narrow.clone()),
        ElementType::Int16 => dense!(i16, narrow.iter().map(|&v| v as i16).collect()),
        ElementType::Uint16 => dense!(u16, narrow.iter().map(|&v| v as u16).collect()),
        ElementType::Int8 => dense!(i8, narrow.iter().map(|&v| v as i8).collect()),
        ElementType::Uint8 => dense!(u8, narrow.iter().map(|&v| v as u8).collect()),
        ElementType::Float16 => dense!(f16, narrow.iter().map(|&v| f16::from_bits(v as u16)).collect()),
        ElementType::Bool => {
            let values: Vec<bool> = match &raw {
                Some(raw) => raw.iter().map(|&byte| byte != 0).collect(),
                None => narrow.iter().map(|&v| v != 0).collect(),
            };
            Some(Tensor::from_array((shape, values)).ok()?.into_dyn())
        }
        _ => None,
    }
}

/// Shape and elements of an output as text, exact also for what is no number.
fn fingerprint(value: &DynValue) -> Option<String> {
    macro_rules! try_types {
        ($($type:ty),*) => {$(
            if let Ok((shape, values)) = value.try_extract_tensor::<$type>() {
                return Some(format!("{shape:?} {values:?}"));
            }
        )*};
    }
    try_types!(f32, f64, i64, u64, i32, u32, i16, u16, i8, u8, bool, f16);
    None
}

/// The inputs of the first data set of a test, by name; `None` if one can't be given.
fn inputs(folder: &Path, session: &Session) -> Option<Vec<(String, DynValue)>> {
    session
        .inputs()
        .iter()
        .enumerate()
        .map(|(number, input)| {
            let bytes = fs::read(folder.join(format!("test_data_set_0/input_{number}.pb"))).ok()?;
            Some((input.name().to_owned(), value(&bytes)?))
        })
        .collect()
}

/// Outputs of a model on its own test data; `None` if it can't be loaded or run here.
fn outputs(runtime: &OnnxRuntime, bytes: &[u8], folder: &Path) -> Option<BTreeMap<String, String>> {
    let mut session = session(runtime, bytes).ok()?;
    let inputs = inputs(folder, &session)?;
    let names: Vec<String> = session.outputs().iter().map(|output| output.name().to_owned()).collect();
    let results = session.run(inputs).ok()?;
    names
        .into_iter()
        .map(|name| {
            let text = fingerprint(results.get(&name)?)?;
            Some((name, text))
        })
        .collect()
}

#[test]
fn a_sample_computes_the_same_after_a_round_trip() {
    let mut models = models();
    // What draws random numbers gives others every time.
    let random = ["random", "bernoulli", "multinomial", "dropout", "light"];
    models.retain(|path| !random.iter().any(|word| path.display().to_string().contains(word)));
    // A shuffle with a fixed seed.
    let mut state = 20_u64;
    for left in (1..models.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        models.swap(left, (state >> 33) as usize % (left + 1));
    }
    if models.is_empty() {
        return;
    }
    let runtime = OnnxRuntime::load().unwrap();
    let (mut compared, mut left_out) = (0, 0);
    for path in &models {
        if compared == SAMPLE {
            break;
        }
        let folder = path.parent().unwrap();
        let bytes = fs::read(path).unwrap();
        let Some(before) = outputs(&runtime, &bytes, folder) else {
            left_out += 1;
            continue;
        };
        let written = to_bytes(&from_bytes(&bytes).unwrap());
        assert_eq!(outputs(&runtime, &written, folder), Some(before), "{}", path.display());
        compared += 1;
    }
    println!(
        "{compared} models give the same outputs; {left_out} were left out that this ONNX Runtime can't run"
    );
    assert_eq!(compared, SAMPLE);
}
