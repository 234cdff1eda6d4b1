use super::{
    DataSource, Execution, Header, InputSubset, Machine, ModelSource, ModelUse, NoiseSource, SCHEMA,
};
use crate::{
    certify::{Plan, Settings},
    data::Preparation,
    noise::{Distribution, NoiseMode},
    units::Sigma,
};

/// The header of a small run, for tests.
pub(crate) fn example_header() -> Header {
    Header {
        schema: SCHEMA.into(),
        tool: "test".into(),
        model: ModelSource {
            file: "m.onnx".into(),
            sha256: "aa".into(),
            classes: 2,
            external: vec![],
            r#use: ModelUse::default(),
        },
        data: DataSource {
            file: "images".into(),
            images_sha256: "bb".into(),
            labels_sha256: "cc".into(),
            shape: [1, 1, 1],
            range: [0.0, 1.0],
            preparation: Preparation::default(),
            class_names: vec![],
        },
        shard: None,
        subset: InputSubset { classes: vec![], skip: 1, max: None, count: 3 },
        settings: Settings { n: 10, ..Settings::new(Sigma::new(0.25).unwrap(), 1) },
        simultaneous: None,
        challenge: None,
        noise: NoiseSource {
            mode: NoiseMode::Independent,
            generator: Distribution::Gaussian.generator().into(),
        },
        keeps_votes: false,
        recertification: None,
        execution: Execution {
            engine: "mock".into(),
            provider: "cpu".into(),
            precision: "float32".into(),
            plan: Plan { sessions: 1, threads: 1, batch: 64, noise_threads: 0 },
        },
        machine: Machine::this(),
        started: 1,
    }
}
