//! Models with logits that are infinite, no number, equal, constant, huge, or rounded; and inputs that swallow the noise.

use mithridate_onnx::{Value, attributes::int};
use mithridate_runtime::evidence::Evidence;
use mithridate_testkit::place::ZOO_IMAGES;

use super::{Entry, Must, N, mixing::padded, net::Net};

const KIND: &str = "odd numbers";
/// Estimation samples of all inputs.
const ALL: u64 = N * ZOO_IMAGES as u64;

fn single(name: &str, make: impl FnOnce(&mut Net, &Value) -> Value, must: Must) -> Entry {
    let mut net = Net::new();
    let y = net.y.clone();
    let y = make(&mut net, &y);
    Entry::new(KIND, name, &net.end(&y), must)
}

/// Votes for nobody: ties, infinite, no number; and certificates.
fn nobody(evidence: &Evidence) -> ([u64; 3], u64) {
    let mut sums = [0; 3];
    for record in &evidence.records {
        let nobody = record.estimation.nobody();
        for (sum, count) in sums.iter_mut().zip([nobody.ties, nobody.infinite, nobody.not_a_number]) {
            *sum += count;
        }
    }
    (sums, evidence.footer.certified)
}

fn expect(evidence: &Evidence, sums: [u64; 3], certified: u64) -> Result<(), String> {
    let found = nobody(evidence);
    if found == (sums, certified) {
        Ok(())
    } else {
        Err(format!("votes for nobody and certificates: {found:?}"))
    }
}

/// Some votes for nobody of one kind, none of the others.
fn some(evidence: &Evidence, kind: usize) -> Result<(), String> {
    let (sums, _) = nobody(evidence);
    let is_right = (0..3).all(|other| (sums[other] > 0) == (other == kind));
    if is_right { Ok(()) } else { Err(format!("votes for nobody: {sums:?}")) }
}

/// y where no value of the input is beyond 1.3, else y · 0 / 0 or y / 0.
fn sometimes(net: &mut Net, y: &Value, numerator: f32) -> Value {
    let largest = net.largest();
    let gate = net.is_more(&largest, 1.3);
    let one = net.number(1.0);
    let kept = net.op("Sub", &[&one, &gate], Vec::new());
    // (kept + (1 − kept) · numerator) / kept: 1, or numerator / 0.
    let above = net.times(&gate, numerator);
    let above = net.op("Add", &[&kept, &above], Vec::new());
    let factor = net.op("Div", &[&above, &kept], Vec::new());
    let size = net.op("Abs", &[y], Vec::new());
    let size = net.plus(&size, 1.0);
    // Positive, so that an infinite factor makes every logit infinite with the same sign.
    let scaled = net.op("Mul", &[&size, &factor], Vec::new());
    let back = net.op("Sub", &[&scaled, &size], Vec::new());
    net.op("Add", &[y, &back], Vec::new())
}

fn constant(net: &mut Net, y: &Value, values: [f32; 5]) -> Value {
    let none = net.times(y, 0.0);
    let row = net.numbers(&[5], &values);
    net.op("Add", &[&none, &row], Vec::new())
}

pub fn all() -> Vec<Entry> {
    let mut entries = vec![
        single(
            "no logit is ever a number",
            |net, y| constant(net, y, [f32::NAN; 5]),
            Must::Certified(|evidence| expect(evidence, [0, 0, ALL], 0)),
        ),
        single(
            "one logit is never a number",
            |net, y| constant(net, y, [5.0, f32::NAN, 0.0, 0.0, 0.0]),
            Must::Certified(|evidence| expect(evidence, [0, 0, ALL], 0)),
        ),
        single(
            "no numbers for some inputs",
            |net, y| sometimes(net, y, 0.0),
            Must::Certified(|evidence| some(evidence, 2)),
        ),
        single(
            "the same class is always infinite",
            |net, y| constant(net, y, [f32::INFINITY, 1.0, 0.0, 0.0, 0.0]),
            Must::Certified(|evidence| expect(evidence, [0, ALL, 0], 0)),
        ),
        single(
            "infinite for some inputs",
            |net, y| sometimes(net, y, 1.0),
            Must::Certified(|evidence| some(evidence, 1)),
        ),
        single(
            "all are negative and infinite",
            |net, y| constant(net, y, [f32::NEG_INFINITY; 5]),
            Must::Certified(|evidence| expect(evidence, [ALL, 0, 0], 0)),
        ),
        single(
            "a class that is ruled out by negative infinity",
            |net, y| padded(net, y, f32::NEG_INFINITY),
            Must::Votes(0),
        ),
        single(
            "logits that overflow",
            |net, y| {
                let size = net.op("Abs", &[y], Vec::new());
                let size = net.plus(&size, 1.0);
                let size = net.times(&size, 1e30);
                net.times(&size, 1e30)
            },
            Must::Certified(|evidence| expect(evidence, [0, ALL, 0], 0)),
        ),
        single("logits times 1e30", |net, y| net.times(y, 1e30), Must::Votes(0)),
        single("logits times 1e-30", |net, y| net.times(y, 1e-30), Must::Votes(0)),
        single("a class of -1e9 beside", |net, y| padded(net, y, -1e9), Must::Votes(0)),
        single("a class of -1e4 beside", |net, y| padded(net, y, -1e4), Must::Votes(0)),
        single("4096 added to all", |net, y| net.plus(y, 4096.0), Must::Votes(4)),
        single(
            "a million added to all",
            |net, y| net.plus(y, 1e6),
            Must::Certified(|evidence| some(evidence, 0)),
        ),
        single(
            "the same for every input",
            |net, y| constant(net, y, [0.0, 0.0, 1.0, 0.0, 0.0]),
            Must::Certified(|evidence| {
                let is_so = evidence
                    .records
                    .iter()
                    .all(|record| record.class == Some(2) && record.estimation.by_class()[2] == N);
                if is_so { expect(evidence, [0, 0, 0], ZOO_IMAGES as u64) } else { Err("other votes".into()) }
            }),
        ),
        single(
            "the same for every input and class",
            |net, y| constant(net, y, [0.0; 5]),
            Must::Certified(|evidence| expect(evidence, [ALL, 0, 0], 0)),
        ),
        single(
            "every class twice",
            |net, y| net.op("Concat", &[y, y], vec![int("axis", 1)]),
            Must::Certified(|evidence| expect(evidence, [ALL, 0, 0], 0)),
        ),
        single(
            "only one of five is 1, the others 0",
            |net, y| net.op("Hardmax", &[y], vec![int("axis", 1)]),
            Must::Votes(0),
        ),
        single("probabilities", |net, y| net.op("Softmax", &[y], vec![int("axis", 1)]), Must::Votes(1)),
        single(
            "logarithms of probabilities",
            |net, y| net.op("LogSoftmax", &[y], vec![int("axis", 1)]),
            Must::Votes(1),
        ),
        single(
            "rounded to whole numbers",
            |net, y| net.op("Round", &[y], Vec::new()),
            Must::Certified(|evidence| some(evidence, 0)),
        ),
    ];
    entries.extend(swallowing());
    entries
}

/// Inputs so large that the noise is lost in them, and the model takes them back.
fn swallowing() -> Vec<Entry> {
    let shifted = |by: f32| {
        let net = Net::after(|net, x| net.plus(x, -by));
        let y = net.y.clone();
        net.end(&y)
    };
    vec![
        Entry::new(KIND, "inputs from 2^26 on by --range", &shifted(67_108_864.0), Must::Refused(&["noise"]))
            .flags(&["--range", "67108864,67108865"]),
        Entry::new(KIND, "inputs from 2^20 on by --range", &shifted(1_048_576.0), Must::Refused(&["noise"]))
            .flags(&["--range", "1048576,1048577"])
            .sigma("0.02"),
        Entry::new(
            KIND,
            "inputs from -2^26 on by --mean",
            &shifted(-67_108_864.0),
            Must::Refused(&["noise"]),
        )
        .flags(&["--mean", "67108864"]),
        Entry::new(KIND, "inputs from 16 to 17 by --range", &shifted(16.0), Must::Votes(2))
            .flags(&["--range", "16,17"]),
    ]
}
