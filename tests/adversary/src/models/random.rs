//! Models that draw numbers, or are in training mode.

use mithridate_onnx::{
    ElementType,
    attributes::{float, int, ints},
    messages::TensorProto,
};
use mithridate_testkit::zoo;

use super::{Entry, Must, net::Net};

const KIND: &str = "draws random numbers or trains";

pub fn all() -> Vec<Entry> {
    let mut entries = Vec::new();
    for operator in ["RandomNormalLike", "RandomUniformLike"] {
        for (name, size) in [("", 1.0), (", a millionth", 1e-6)] {
            let mut net = Net::new();
            let y = net.y.clone();
            let drawn = net.op(operator, &[&y], Vec::new());
            let drawn = net.times(&drawn, size);
            let y = net.op("Add", &[&y, &drawn], Vec::new());
            let words: &[&str] = if operator == "RandomNormalLike" {
                &["RandomNormalLike", "draws random numbers"]
            } else {
                &["RandomUniformLike", "draws random numbers"]
            };
            entries.push(Entry::new(KIND, format!("{operator}{name}"), &net.end(&y), Must::Refused(words)));
        }
    }
    for (name, share) in [("one in a thousand", 0.999), ("one in a million", 0.999_999)] {
        let mut net = Net::new();
        let y = net.y.clone();
        let first = net.slice(&y, 1, 0, 1);
        let drawn = net.op("RandomUniformLike", &[&first], Vec::new());
        let rare = net.is_more(&drawn, share);
        let turned = net.times(&y, -2.0);
        let turned = net.op("Mul", &[&turned, &rare], Vec::new());
        let y = net.op("Add", &[&y, &turned], Vec::new());
        let must = Must::Refused(&["RandomUniformLike", "draws random numbers"]);
        entries.push(Entry::new(KIND, format!("turns {name} answers round"), &net.end(&y), must));
    }
    let drawn: [(&str, &'static [&'static str]); 2] =
        [("RandomNormal", &["RandomNormal"]), ("RandomUniform", &["RandomUniform"])];
    for (operator, words) in drawn {
        let mut net = Net::new();
        let y = net.y.clone();
        let drawn = net.op(operator, &[], vec![ints("shape", &[1, 5])]);
        let y = net.op("Add", &[&y, &drawn], Vec::new());
        entries.push(Entry::new(KIND, operator, &net.end(&y), Must::Refused(words)));
    }
    let mut net = Net::new();
    let y = net.y.clone();
    let p = net.op("Sigmoid", &[&y], Vec::new());
    let drawn = net.op("Bernoulli", &[&p], Vec::new());
    let z = net.op("Add", &[&y, &drawn], Vec::new());
    entries.push(Entry::new(KIND, "Bernoulli", &net.end(&z), Must::Refused(&["Bernoulli"])));

    let mut net = Net::new();
    let y = net.y.clone();
    let drawn =
        net.typed("Multinomial", &[&y], vec![int("sample_size", 5), int("dtype", 7)], ElementType::Int64);
    let drawn = net.op("Cast", &[&drawn], vec![int("to", 1)]);
    let z = net.op("Add", &[&y, &drawn], Vec::new());
    entries.push(Entry::new(KIND, "Multinomial", &net.end(&z), Must::Refused(&["Multinomial"])));

    entries.extend(training());
    entries.push(Entry::new(
        KIND,
        "RandomNormalLike in a batch of three",
        &zoo::random(3),
        Must::Refused(&["RandomNormalLike"]),
    ));
    entries
}

/// Dropout and batch normalisation, in training mode and not.
fn training() -> Vec<Entry> {
    let truth = |name: &str, is_true: bool| TensorProto {
        name: Some(name.into()),
        data_type: Some(ElementType::Bool as i32),
        raw_data: Some(vec![u8::from(is_true)]),
        ..TensorProto::default()
    };
    let mut entries = Vec::new();
    for (name, mode, must) in [
        ("Dropout in training mode", true, Must::Refused(&["Dropout", "training mode"])),
        ("Dropout in inference mode", false, Must::Votes(0)),
    ] {
        let mut net = Net::new();
        let (y, ratio) = (net.y.clone(), net.number(0.5));
        let y = net.op("Dropout", &[&y, &ratio], Vec::new());
        let mut model = net.end(&y);
        if let Some(graph) = &mut model.graph {
            graph.initializer.push(truth("mode", mode));
            let nodes = graph.node.iter_mut().filter(|node| node.op_type.as_deref() == Some("Dropout"));
            nodes.for_each(|node| node.input.push("mode".into()));
        }
        entries.push(Entry::new(KIND, name, &model, must));
    }
    for (name, mode, must) in [
        ("BatchNormalization in training mode", 1, Must::Refused(&["BatchNormalization", "training mode"])),
        ("BatchNormalization in inference mode", 0, Must::Votes(2)),
    ] {
        let net = Net::after(|net, x| {
            let (one, zero) = (net.numbers(&[3], &[1.0; 3]), net.numbers(&[3], &[0.0; 3]));
            let attributes = vec![int("training_mode", mode), float("epsilon", 1e-9)];
            net.op("BatchNormalization", &[x, &one, &zero, &zero, &one], attributes)
        });
        let y = net.y.clone();
        let mut model = net.end(&y);
        for node in model.graph.iter_mut().flat_map(|graph| &mut graph.node) {
            if mode == 1 && node.op_type.as_deref() == Some("BatchNormalization") {
                node.output.extend(["mean".into(), "variance".into()]);
            }
        }
        entries.push(Entry::new(KIND, name, &model, must));
    }
    entries
}
