//! Models whose file is made to do harm.

use mithridate_onnx::{
    Dim, ElementType, GraphBuilder,
    messages::{DataLocation, GraphProto, ModelProto, StringStringEntryProto},
};
use mithridate_testkit::{
    looping::{self, value},
    zoo,
};

use super::{Entry, Must, net::Net};

const KIND: &str = "file made to do harm";

/// The plain classifier with its weights in another file. Bytes of that file, and the place and length that are said of
/// each tensor.
fn external(location: &str, change: impl Fn(u64, u64) -> (String, String)) -> (ModelProto, Vec<u8>) {
    let entry =
        |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
    let mut model = zoo::plain(0);
    let mut bytes = Vec::new();
    for tensor in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        let data = tensor.raw_data.take().unwrap_or_default();
        let (offset, length) = change(bytes.len() as u64, data.len() as u64);
        tensor.data_location = Some(DataLocation::External as i32);
        tensor.external_data =
            vec![entry("location", location.into()), entry("offset", offset), entry("length", length)];
        bytes.extend(data);
    }
    (model, bytes)
}

type Change = fn(u64, u64) -> (String, String);

fn as_they_are(offset: u64, length: u64) -> (String, String) {
    (offset.to_string(), length.to_string())
}

fn elsewhere() -> Vec<Entry> {
    const LEAVES: Must = Must::Refused(&["leaves the folder of the model"]);
    let at = |name: &str, location: &str, must| {
        let (model, bytes) = external(location, as_they_are);
        (Entry::new(KIND, name, &model, must), bytes)
    };
    let mut entries = Vec::new();
    for (name, location) in [
        ("weights in the folder above", "../weights.bin"),
        ("weights at an absolute path", "/etc/passwd"),
        ("weights above by a way down", "a/../../weights.bin"),
    ] {
        entries.push(at(name, location, LEAVES).0);
    }
    let (entry, bytes) = at("weights beside", "weights.bin", Must::Votes(0));
    entries.push(entry.beside("weights.bin", bytes.clone()));
    let (entry, _) = at("weights that are not there", "none.bin", Must::Refused(&["none.bin"]));
    entries.push(entry);
    let (entry, _) = at("weights cut short", "weights.bin", Must::Refused(&["weights.bin"]));
    entries.push(entry.beside("weights.bin", bytes[..bytes.len() - 4].to_vec()));
    let (entry, _) =
        at("weights by a link that leaves the folder", "weights.bin", Must::Refused(&["weights.bin"]));
    entries.push(entry.link("weights.bin", "/proc/self/environ"));
    let (entry, _) = at("weights that are a device", "weights.bin", Must::Refused(&["weights.bin"]));
    entries.push(entry.link("weights.bin", "/dev/zero"));
    let places: [(&str, Change); 4] = [
        ("weights that begin beyond the end", |_, length| (u64::MAX.to_string(), length.to_string())),
        ("weights of more than there can be", |offset, _| (offset.to_string(), u64::MAX.to_string())),
        ("weights that begin before the start", |_, length| ("-1".into(), length.to_string())),
        ("weights whose place is no number", |_, length| ("first".into(), length.to_string())),
    ];
    for (name, change) in places {
        let (model, _) = external("weights.bin", change);
        let entry = Entry::new(KIND, name, &model, Must::Refused(&[]));
        entries.push(entry.beside("weights.bin", bytes.clone()));
    }
    entries
}

fn changed(name: &str, must: Must, change: impl FnOnce(&mut GraphProto)) -> Entry {
    let mut model = zoo::plain(0);
    change(model.graph.get_or_insert_default());
    Entry::new(KIND, name, &model, must)
}

/// An input of another type or shape.
fn with_input(name: &str, element: ElementType, shape: &[Dim], must: Must) -> Entry {
    let mut graph = GraphBuilder::new("input");
    let model = graph.input("image", element, shape).map(|x| {
        let y = graph.relu(&x);
        zoo::finish(graph, &[("logits", &y)])
    });
    Entry::new(KIND, name, &model.unwrap_or_default(), must)
}

pub fn all() -> Vec<Entry> {
    let whole = mithridate_onnx::to_bytes(&zoo::plain(0));
    let half = whole[..whole.len() / 2].to_vec();
    let n = Dim::symbolic("n");
    let image = [n.clone(), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(4)];
    let mut entries = elsewhere();
    entries.extend([
        Entry::of_bytes(KIND, "nothing", Vec::new(), Must::Refused(&["it is empty"])),
        Entry::of_bytes(
            KIND,
            "half of a model",
            half,
            Must::Refused(&["is not an ONNX model or is truncated"]),
        ),
        Entry::of_bytes(KIND, "text", b"not a model\n".to_vec(), Must::Refused(&["is not an ONNX model"])),
        Entry::of_bytes(
            KIND,
            "ten thousand messages within each other",
            nested(10_000),
            Must::Refused(&["is not an ONNX model"]),
        ),
        Entry::new(KIND, "no graph", &ModelProto::default(), Must::Refused(&[])),
        Entry::new(
            KIND,
            "a loop without end",
            &looping::endless(zoo::plain(0)),
            Must::Refused(&["could not be loaded and tested within"]),
        )
        .flags(&["--probe-seconds", "2"]),
        changed("an operator that does not exist", Must::Refused(&["Exfiltrate"]), |graph| {
            graph.node[0].op_type = Some("Exfiltrate".into());
        }),
        changed("a circle", Must::Refused(&["can't load"]), |graph| {
            let output = graph.node[1].output[0].clone();
            graph.node[0].input[0] = output;
        }),
        changed("a constant of 2^60 values", Must::Refused(&["can't load"]), |graph| {
            graph.initializer[0].dims = vec![1 << 60];
        }),
        changed("a constant of 2^80 values", Must::Refused(&["can't load"]), |graph| {
            graph.initializer[0].dims = vec![1 << 40, 1 << 40];
        }),
        changed("a constant of -1 values", Must::Refused(&["can't load"]), |graph| {
            graph.initializer[0].dims = vec![-1];
        }),
        changed("no output", Must::Refused(&["no output"]), |graph| graph.output.clear()),
        changed("no input", Must::Refused(&["0 inputs"]), |graph| graph.input.clear()),
        changed("two inputs", Must::Refused(&["2 inputs"]), |graph| {
            graph.input.push(value("other", ElementType::Float, Some(2)));
        }),
        with_input("whole numbers as input", ElementType::Uint8, &image, Must::Refused(&["whole numbers"])),
        with_input("text as input", ElementType::String, &image, Must::Refused(&["string"])),
        with_input(
            "images of 2^120 values",
            ElementType::Float,
            &[n.clone(), Dim::Fixed(3), Dim::Fixed(1 << 60), Dim::Fixed(1 << 60)],
            Must::Refused(&["images of the data set"]),
        ),
        with_input(
            "a batch of 2^60 images",
            ElementType::Float,
            &[Dim::Fixed(1 << 60), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(4)],
            Must::Refused(&["the largest batch has 268435456 values"]),
        ),
        with_input(
            "images of another size",
            ElementType::Float,
            &[n, Dim::Fixed(1), Dim::Fixed(28), Dim::Fixed(28)],
            Must::Refused(&["images of the data set have shape [3, 4, 4]"]),
        ),
        greedy(),
    ]);
    entries
}

/// Length-delimited fields of graphs within attributes of nodes within graphs.
fn nested(depth: usize) -> Vec<u8> {
    let mut inner: Vec<u8> = Vec::new();
    for level in 0..depth {
        // ModelProto.graph outside, then GraphProto.node, NodeProto.attribute, AttributeProto.g.
        let field: u8 = if level + 1 == depth { 7 } else { [6, 5, 1][level % 3] };
        let mut outer = vec![field << 3 | 2];
        let mut length = inner.len();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(&inner);
        inner = outer;
    }
    inner
}

/// Asks for 2^55 numbers.
fn greedy() -> Entry {
    let mut net = Net::new();
    let y = net.y.clone();
    let size = net.whole(&[1 << 55]);
    let many = net.op("ConstantOfShape", &[&size], Vec::new());
    let sum = net.op("ReduceSum", &[&many], Vec::new());
    let z = net.op("Add", &[&y, &sum], Vec::new());
    Entry::new(KIND, "a tensor of 2^55 numbers", &net.end(&z), Must::Refused(&["memory"]))
}
