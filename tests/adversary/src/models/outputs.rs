//! Models whose output is no score for each class, or that say two things.

use mithridate_onnx::{
    ElementType, ModelMetadata, Value,
    attributes::{int, ints},
    messages::{AttributeProto, AttributeType, ModelProto, OperatorSetIdProto},
};

use super::{Entry, Must, net::Net};

const KIND: &str = "output is no score";

fn single(name: &str, make: impl FnOnce(&mut Net) -> Value, must: Must) -> Entry {
    let mut net = Net::new();
    let y = make(&mut net);
    Entry::new(KIND, name, &net.end(&y), must)
}

/// The best of a row's values in falling order, or in rising order.
fn best(net: &mut Net, count: i64, largest: i64) -> Value {
    let (y, k) = (net.y.clone(), net.whole(&[count]));
    net.op("TopK", &[&y, &k], vec![int("axis", 1), int("largest", largest)])
}

/// A second output for each `TopK`, which has to have one.
fn with_places(mut model: ModelProto) -> ModelProto {
    for node in model.graph.iter_mut().flat_map(|graph| &mut graph.node) {
        if node.op_type.as_deref() == Some("TopK") {
            node.output.push("places".into());
        }
    }
    model
}

fn sorted(name: &str, make: impl FnOnce(&mut Net) -> Value) -> Entry {
    let mut net = Net::new();
    let y = make(&mut net);
    Entry::new(KIND, name, &with_places(net.end(&y)), Must::Refused(&["TopK", "order"]))
}

pub fn all() -> Vec<Entry> {
    let mut entries = vec![
        sorted("the five best scores, falling", |net| best(net, 5, 1)),
        sorted("the three best scores, falling", |net| best(net, 3, 1)),
        sorted("the three worst scores, rising", |net| best(net, 3, 0)),
        sorted("probabilities of the three best scores", |net| {
            let best = best(net, 3, 1);
            net.op("Softmax", &[&best], vec![int("axis", 1)])
        }),
        single(
            "scores made to rise, without an operator that sorts",
            |net| {
                let y = net.y.clone();
                let mut rising = net.slice(&y, 1, 0, 1);
                let mut all = rising.clone();
                for class in 1..5 {
                    let next = net.slice(&y, 1, class, class + 1);
                    let most = net.op("Max", &[&rising, &next], Vec::new());
                    rising = net.plus(&most, 0.001);
                    all = net.op("Concat", &[&all, &rising], vec![int("axis", 1)]);
                }
                all
            },
            Must::Refused(&["sorted by size"]),
        ),
        single(
            "the best class as a number",
            |net| {
                let y = net.y.clone();
                net.typed("ArgMax", &[&y], vec![int("axis", 1)], ElementType::Int64)
            },
            Must::Refused(&["int64"]),
        ),
        single(
            "the best and the worst class as floats",
            |net| {
                let y = net.y.clone();
                let [most, least] = ["ArgMax", "ArgMin"].map(|operator| {
                    let place = net.typed(operator, &[&y], vec![int("axis", 1)], ElementType::Int64);
                    net.op("Cast", &[&place], vec![int("to", 1)])
                });
                net.op("Concat", &[&most, &least], vec![int("axis", 1)])
            },
            Must::Refused(&["ArgM"]),
        ),
        single(
            "one column",
            |net| {
                let y = net.y.clone();
                net.slice(&y, 1, 0, 1)
            },
            Must::Refused(&["1 column"]),
        ),
        single(
            "no column",
            |net| {
                let y = net.y.clone();
                net.op("ReduceMax", &[&y], vec![ints("axes", &[1]), int("keepdims", 0)])
            },
            Must::Refused(&["one row"]),
        ),
        single(
            "one row for all inputs",
            |net| {
                let y = net.y.clone();
                net.op("ReduceMean", &[&y], vec![ints("axes", &[0])])
            },
            Must::Refused(&["one row per input"]),
        ),
        single(
            "a map for each class",
            |net| {
                let x = net.x.clone();
                net.op("Identity", &[&x], Vec::new())
            },
            Must::Refused(&["shape"]),
        ),
        single(
            "fewer classes than labels",
            |net| {
                let y = net.y.clone();
                net.slice(&y, 1, 0, 3)
            },
            Must::Refused(&["outside the 3 classes"]),
        ),
        single(
            "the scores with their sign turned, as a classifier of its own",
            |net| {
                let y = net.y.clone();
                net.op("Neg", &[&y], Vec::new())
            },
            Must::Certified(|evidence| {
                let all = evidence.records.iter().map(|record| record.estimation.total()).sum::<u64>();
                if all == 2400 { Ok(()) } else { Err(format!("{all} votes")) }
            }),
        ),
    ];
    entries.extend(detector());
    entries.extend(several());
    entries.extend(labelled());
    entries
}

/// Scores of boxes that are left, in falling order: what a detector has as its only float output.
fn detector() -> Vec<Entry> {
    let mut net = Net::new();
    let y = net.y.clone();
    let boxes = net.numbers(
        &[1, 5, 4],
        &[0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0, 6.0, 6.0, 7.0, 7.0, 8.0, 8.0, 9.0, 9.0],
    );
    let first = net.slice(&y, 0, 0, 1);
    let axis = net.whole(&[0]);
    let scores = net.op("Unsqueeze", &[&first, &axis], Vec::new());
    let most = net.whole(&[5]);
    let chosen = net.typed("NonMaxSuppression", &[&boxes, &scores, &most], Vec::new(), ElementType::Int64);
    let kept = net.op("Cast", &[&chosen], vec![int("to", 1)]);
    let all = net.op("ReduceSum", &[&kept], vec![int("keepdims", 0)]);
    let y = net.op("Add", &[&y, &all], Vec::new());
    let must = Must::Refused(&["NonMaxSuppression"]);
    vec![Entry::new(KIND, "scores of boxes that are left", &net.end(&y), must)]
}

/// More outputs than one, and metadata.
fn several() -> Vec<Entry> {
    let two = || {
        let mut net = Net::new();
        let y = net.y.clone();
        let p = net.op("Softmax", &[&y], vec![int("axis", 1)]);
        net.end_with(&[("logits", &y), ("probabilities", &p)])
    };
    let named = |count: usize| {
        let names = (0..count).map(|class| format!("class {class}")).collect();
        let metadata = ModelMetadata { class_names: Some(names), ..ModelMetadata::default() };
        let net = Net::new();
        let y = net.y.clone();
        net.end_as(&[("logits", &y)], &metadata)
    };
    let declared = |classes: i64| {
        let net = Net::new();
        let y = net.y.clone();
        let mut model = net.end(&y);
        let shape = [mithridate_onnx::Dim::symbolic("n"), mithridate_onnx::Dim::Fixed(classes)];
        for output in model.graph.iter_mut().flat_map(|graph| &mut graph.output) {
            let value = output.r#type.as_mut().and_then(|kind| kind.value.as_mut());
            if let Some(mithridate_onnx::messages::TypeValue::Tensor(tensor)) = value {
                let dim = shape.iter().map(Into::into).collect();
                tensor.shape = Some(mithridate_onnx::messages::TensorShapeProto { dim });
            }
        }
        model
    };
    vec![
        Entry::new(
            KIND,
            "two outputs, none named",
            &two(),
            Must::Refused(&["with the logits or probabilities by --output"]),
        ),
        Entry::new(KIND, "two outputs, one named", &two(), Must::Votes(0)).flags(&["--output", "logits"]),
        Entry::new(KIND, "an output that is not there", &two(), Must::Refused(&["no output 'none'"]))
            .flags(&["--output", "none"]),
        Entry::new(KIND, "names for four of five classes", &named(4), Must::Refused(&["4", "5", "class"])),
        Entry::new(KIND, "names for six of five classes", &named(6), Must::Refused(&["6", "5", "class"])),
        Entry::new(KIND, "seven classes declared of five", &declared(7), Must::Refused(&["7", "5"])),
        Entry::new(KIND, "three classes declared of five", &declared(3), Must::Refused(&["3", "5"])),
    ]
}

/// Labels as tools for tables of numbers write them.
fn labelled() -> Vec<Entry> {
    let labels = |operator: &str| {
        let mut net = Net::new();
        let y = net.y.clone();
        let label = net.typed(operator, &[&y], vec![int("axis", 1), int("keepdims", 0)], ElementType::Int64);
        net.end_with(&[("label", &label), ("scores", &y)])
    };
    let mapped = |numbers: [i64; 5]| {
        let mut net = Net::new();
        let y = net.y.clone();
        // Scores of a linear classifier of five values: the values themselves.
        let mut identity = vec![0.0_f32; 25];
        (0..5).for_each(|class| identity[6 * class] = 1.0);
        let list = |name: &str, kind, floats: Vec<f32>, ints: Vec<i64>| AttributeProto {
            name: Some(name.into()),
            r#type: Some(kind as i32),
            floats,
            ints,
            ..AttributeProto::default()
        };
        let attributes = vec![
            list("coefficients", AttributeType::Floats, identity, Vec::new()),
            list("intercepts", AttributeType::Floats, vec![0.0; 5], Vec::new()),
            list("classlabels_ints", AttributeType::Ints, Vec::new(), numbers.to_vec()),
            int("multi_class", 0),
        ];
        let label = net.typed("LinearClassifier", &[&y], attributes, ElementType::Int64);
        let scores = Value::clone(&y);
        let mut model = net.end_with(&[("label", &label), ("scores", &scores)]);
        if let Some(graph) = &mut model.graph {
            for node in &mut graph.node {
                if node.op_type.as_deref() == Some("LinearClassifier") {
                    node.domain = Some("ai.onnx.ml".into());
                    node.output.push("scored".into());
                }
            }
            graph
                .output
                .iter_mut()
                .filter(|output| output.name.as_deref() == Some("scores"))
                .for_each(|output| output.name = Some("scored".into()));
        }
        model.opset_import.push(OperatorSetIdProto { domain: Some("ai.onnx.ml".into()), version: Some(3) });
        model
    };
    let few = |share: f32| {
        // The label of the worst class for few of the inputs, of the best one else.
        let mut net = Net::new();
        let y = net.y.clone();
        let largest = net.largest();
        let gate = net.is_more(&largest, share);
        let turned = net.times(&y, -2.0);
        let turned = net.op("Mul", &[&turned, &gate], Vec::new());
        let other = net.op("Add", &[&y, &turned], Vec::new());
        let label =
            net.typed("ArgMax", &[&other], vec![int("axis", 1), int("keepdims", 0)], ElementType::Int64);
        net.end_with(&[("label", &label), ("scores", &y)])
    };
    vec![
        Entry::new(KIND, "a label that is the best score", &labels("ArgMax"), Must::Votes(0)),
        Entry::new(KIND, "a label that is the worst score", &labels("ArgMin"), Must::Refused(&["label"])),
        Entry::new(KIND, "a label that differs for some inputs", &few(1.6), Must::Refused(&["label"])),
        Entry::new(KIND, "class labels 0 to 4", &mapped([0, 1, 2, 3, 4]), Must::Votes(0)),
        Entry::new(KIND, "class labels 4 to 0", &mapped([4, 3, 2, 1, 0]), Must::Labelled([4, 3, 2, 1, 0])),
        Entry::new(KIND, "class labels 1 to 5", &mapped([1, 2, 3, 4, 5]), Must::Refused(&["label"])),
    ]
}
