//! Models whose answer to an input depends on the others of its batch, or on its position there. With one input at a time
//! each is the plain classifier, or nearly.

use mithridate_onnx::{
    ElementType, Value,
    attributes::{int, ints},
};
use mithridate_testkit::zoo;

use super::{Entry, Must, net::Net};

type Step = fn(&mut Net, &Value) -> Value;

const KIND: &str = "mixes its batch";

/// How rows of logits are mixed.
const MIXERS: [(&str, Step); 8] = [
    ("mean", mean),
    ("largest", |net, y| {
        let all = net.op("ReduceMax", &[y], vec![ints("axes", &[0])]);
        net.repeat(&all, y)
    }),
    ("sum", |net, y| {
        let axis = net.whole(&[0]);
        let all = net.op("ReduceSum", &[y, &axis], Vec::new());
        net.repeat(&all, y)
    }),
    ("running sum", |net, y| {
        let axis = net.whole(&[0]);
        net.op("CumSum", &[y, &axis], Vec::new())
    }),
    ("attention", |net, y| {
        let transposed = net.op("Transpose", &[y], vec![ints("perm", &[1, 0])]);
        let products = net.op("MatMul", &[y, &transposed], Vec::new());
        let weights = net.op("Softmax", &[&products], vec![int("axis", 1)]);
        net.op("MatMul", &[&weights, y], Vec::new())
    }),
    ("the row before", |net, y| {
        let last = net.slice(y, 0, -1, i64::MAX);
        let others = net.slice(y, 0, 0, -1);
        net.op("Concat", &[&last, &others], vec![int("axis", 0)])
    }),
    ("the first row", |net, y| {
        let first = net.slice(y, 0, 0, 1);
        net.repeat(&first, y)
    }),
    ("half of the mean", |net, y| {
        let all = mean(net, y);
        let sum = net.op("Add", &[y, &all], Vec::new());
        net.times(&sum, 0.5)
    }),
];

fn mean(net: &mut Net, y: &Value) -> Value {
    let all = net.op("ReduceMean", &[y], vec![ints("axes", &[0])]);
    net.repeat(&all, y)
}

/// What hides a difference behind numbers that are large.
const COVERS: [(&str, Step); 5] = [
    ("", |_, y| y.clone()),
    (", 4096 added", |net, y| net.plus(y, 4096.0)),
    (", a million added", |net, y| net.plus(y, 1e6)),
    (", beside a class of -1e9", |net, y| padded(net, y, -1e9)),
    (", beside a class of -1e4", |net, y| padded(net, y, -1e4)),
];

/// With one more class, which never wins.
pub fn padded(net: &mut Net, y: &Value, value: f32) -> Value {
    let column = net.slice(y, 1, 0, 1);
    let column = net.times(&column, 0.0);
    let column = net.plus(&column, value);
    net.op("Concat", &[y, &column], vec![int("axis", 1)])
}

/// The mean over the batch for rows in which `gate` (N×1) is 1.
fn gated(net: &mut Net, gate: &Value) -> Value {
    let y = net.y.clone();
    let all = mean(net, &y);
    let difference = net.op("Sub", &[&all, &y], Vec::new());
    let counted = net.op("Mul", &[&difference, gate], Vec::new());
    net.op("Add", &[&y, &counted], Vec::new())
}

/// Values rounded to 8 bits by the range of the whole batch.
fn quantised(net: &mut Net, values: &Value) -> Value {
    // Three outputs: the values, their step, the zero.
    let rounded = net.typed("DynamicQuantizeLinear", &[values], Vec::new(), ElementType::Uint8);
    net.dequantised(&rounded)
}

fn single(name: impl Into<String>, make: impl FnOnce(&mut Net) -> Value, must: Must) -> Entry {
    let mut net = Net::new();
    let y = make(&mut net);
    Entry::new(KIND, name, &net.end(&y), must)
}

pub fn all() -> Vec<Entry> {
    let mut entries = Vec::new();
    for (mixer, mix) in MIXERS {
        for (cover, hide) in COVERS {
            let make = |net: &mut Net| {
                let y = net.y.clone();
                let mixed = mix(net, &y);
                hide(net, &mixed)
            };
            // Large numbers round votes away, as they do in the file itself.
            let slack = cover.is_empty().then_some(2);
            entries.push(single(format!("{mixer}{cover}"), make, Must::NotBatched(slack)));
        }
    }
    entries.extend(by_input());
    entries.extend(by_batch());
    entries
}

/// Those that mix only some inputs.
fn by_input() -> Vec<Entry> {
    vec![
        single(
            "mean where a value is beyond 3.5, at sigma 0.9",
            |net| {
                let largest = net.largest();
                let gate = net.is_more(&largest, 3.5);
                gated(net, &gate)
            },
            Must::NotBatched(None),
        )
        .sigma("0.9"),
        single(
            "mean where a value is beyond 1.2",
            |net| {
                let largest = net.largest();
                let gate = net.is_more(&largest, 1.2);
                gated(net, &gate)
            },
            Must::NotBatched(None),
        ),
        // Inputs of a probe have the deviation of images, 0.29, or reach as far as noise does.
        single(
            "mean where the deviation is that of noisy images",
            |net| {
                let deviation = net.deviation();
                let (low, high) = (net.is_more(&deviation, 0.335), net.is_more(&deviation, 0.6));
                let gate = net.op("Sub", &[&low, &high], Vec::new());
                gated(net, &gate)
            },
            Must::NotBatched(None),
        ),
        single(
            "the same, one input at a time",
            |net| {
                let deviation = net.deviation();
                let (low, high) = (net.is_more(&deviation, 0.335), net.is_more(&deviation, 0.6));
                let gate = net.op("Sub", &[&low, &high], Vec::new());
                gated(net, &gate)
            },
            Must::Votes(2),
        )
        .flags(&["--batch", "1"]),
        single(
            "mean where values are negative",
            |net| {
                let x = net.x.clone();
                let flat = net.op("Flatten", &[&x], vec![int("axis", 1)]);
                let least = net.op("ReduceMin", &[&flat], vec![ints("axes", &[1])]);
                let turned = net.times(&least, -1.0);
                let gate = net.is_more(&turned, 0.05);
                gated(net, &gate)
            },
            Must::NotBatched(None),
        ),
        single(
            "mean where the first class leads",
            |net| {
                let y = net.y.clone();
                let first = net.slice(&y, 1, 0, 1);
                let others = net.slice(&y, 1, 1, 5);
                let others = net.op("ReduceMax", &[&others], vec![ints("axes", &[1])]);
                let ahead = net.op("Sub", &[&first, &others], Vec::new());
                let gate = net.is_more(&ahead, 0.0);
                gated(net, &gate)
            },
            Must::NotBatched(None),
        ),
    ]
}

/// Those that take something of the batch as a whole.
#[allow(clippy::too_many_lines)] // A list.
fn by_batch() -> Vec<Entry> {
    let mut entries = vec![
        single(
            "its size",
            |net| {
                let y = net.y.clone();
                let shape = net.typed("Shape", &[&y], Vec::new(), ElementType::Int64);
                let shape = net.op("Cast", &[&shape], vec![int("to", 1)]);
                let size = net.slice(&shape, 0, 0, 1);
                let bias = net.numbers(&[5], &[0.0, 0.05, 0.1, 0.15, 0.2]);
                let bias = net.op("Mul", &[&bias, &size], Vec::new());
                net.op("Add", &[&y, &bias], Vec::new())
            },
            Must::NotBatched(None),
        ),
        single(
            "the position there",
            |net| {
                let y = net.y.clone();
                let ones = net.times(&y, 0.0);
                let ones = net.plus(&ones, 0.1);
                let axis = net.whole(&[0]);
                let position = net.op("CumSum", &[&ones, &axis], Vec::new());
                let bias = net.numbers(&[5], &[0.0, 1.0, 2.0, 3.0, 4.0]);
                let bias = net.op("Mul", &[&bias, &position], Vec::new());
                net.op("Add", &[&y, &bias], Vec::new())
            },
            Must::NotBatched(None),
        ),
        single(
            "logits rounded by the range of all",
            |net| {
                let y = net.y.clone();
                quantised(net, &y)
            },
            Must::NotBatched(None),
        ),
        single(
            "logits rounded by the range of all, beside a class of -1e4",
            |net| {
                let y = net.y.clone();
                let rounded = quantised(net, &y);
                padded(net, &rounded, -1e4)
            },
            Must::NotBatched(None),
        ),
        single(
            "the best class of logits rounded by the range of all",
            |net| {
                let y = net.y.clone();
                let wide = net.times(&y, 0.02);
                // A row far away makes the steps coarse.
                let x = net.x.clone();
                let sizes = net.op("Flatten", &[&x], vec![int("axis", 1)]);
                let sum = net.op("ReduceSumSquare", &[&sizes], vec![ints("axes", &[1])]);
                let both = net.op("Concat", &[&wide, &sum], vec![int("axis", 1)]);
                let rounded = quantised(net, &both);
                let rounded = net.slice(&rounded, 1, 0, 5);
                net.op("Hardmax", &[&rounded], vec![int("axis", 1)])
            },
            Must::NotBatched(None),
        ),
        Entry::new(
            KIND,
            "input divided by the largest value of all",
            &zoo::entangled(0),
            Must::NotBatched(None),
        ),
        Entry::new(KIND, "running sum of images", &zoo::sequence(0), Must::NotBatched(Some(2))),
        Entry::new(
            KIND,
            "the position in a batch of four",
            &zoo::placed(),
            Must::Refused(&["depends on the 3 other inputs of the batch"]),
        ),
        Entry::new(
            KIND,
            "input divided by the largest value of a batch of three",
            &zoo::entangled(3),
            Must::Refused(&["depends on the 2 other inputs of the batch"]),
        ),
        Entry::new(
            KIND,
            "running sum of images in a batch of three",
            &zoo::sequence(3),
            Must::Refused(&["depends on the 2 other inputs of the batch"]),
        ),
    ];
    let rounded = Net::after(quantised);
    let y = rounded.y.clone();
    entries.push(Entry::new(
        KIND,
        "images rounded by the range of all",
        &rounded.end(&y),
        Must::NotBatched(None),
    ));
    let normalised = Net::after(|net, x| {
        let mean = net.op("ReduceMean", &[x], vec![ints("axes", &[0, 2, 3])]);
        let centred = net.op("Sub", &[x, &mean], Vec::new());
        let squares = net.op("Mul", &[&centred, &centred], Vec::new());
        let variance = net.op("ReduceMean", &[&squares], vec![ints("axes", &[0, 2, 3])]);
        let variance = net.plus(&variance, 1e-5);
        let deviation = net.op("Sqrt", &[&variance], Vec::new());
        net.op("Div", &[&centred, &deviation], Vec::new())
    });
    let y = normalised.y.clone();
    entries.push(Entry::new(
        KIND,
        "channels normalised by mean and variance of all, written out",
        &normalised.end(&y),
        Must::NotBatched(None),
    ));
    entries
}
