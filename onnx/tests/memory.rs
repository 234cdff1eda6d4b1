//! Reading takes memory in proportion to the file, whatever is in it. Alone in its process, whose peak it measures.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::fs;

use mithridate_onnx::{
    messages::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto},
    read,
};
use prost::Message;

/// Most memory this process had so far, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn a_file_of_empty_nodes_is_refused_before_it_fills_the_memory() {
    let graph = GraphProto { node: vec![NodeProto::default()], ..GraphProto::default() };
    let opset_import = vec![OperatorSetIdProto::default()];
    let head = ModelProto { opset_import, ..ModelProto::default() }.encode_to_vec();
    let node = graph.encode_to_vec();
    let nodes = node.repeat((10 << 20) / node.len());
    let mut bytes = head;
    // Field 7 of a model, its graph.
    bytes.push(7 << 3 | 2);
    prost::encoding::encode_varint(nodes.len() as u64, &mut bytes);
    bytes.extend(nodes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nodes.onnx");
    fs::write(&path, &bytes).unwrap();
    let before = peak();
    let text = read(&path).unwrap_err().to_string();
    assert!(text.contains("nodes.onnx is not an ONNX model") && text.contains("MiB of memory"), "{text}");
    assert!(peak() - before < 2 * bytes.len() as u64, "{} of {}", peak() - before, bytes.len());
}
