//! Files that promise, or hold, far more than their length: what reading takes is bounded by what is asked for, and where
//! there is too little memory the program says so.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use mithridate_runtime::{
    data::{Dataset, NpzArray, Split, write_npz},
    evidence::{is_table, read_results},
};
use mithridate_testkit::{
    halves,
    place::{place, put},
    program::{after, rscert},
};
use ndarray::{ArrayD, ShapeBuilder, aview1};
use zip::{ZipWriter, write::SimpleFileOptions};

const MIB: u64 = 1 << 20;

/// Most memory that was taken at once, where a list that grows is counted with what it was before.
fn peak(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).bytes_max
}

/// The start of an npy file of bytes.
fn npy(shape: &str, is_fortran: bool) -> Vec<u8> {
    let order = if is_fortran { "True" } else { "False" };
    let header = format!("{{'descr': '|u1', 'fortran_order': {order}, 'shape': ({shape}), }}\n");
    [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat()
}

/// Writes an npz file to `path`. Each of `members` is a name, the first bytes of the member, and the number of zero bytes
/// that follow them.
fn zeros(path: &Path, members: &[(&str, Vec<u8>, u64)]) {
    let mut archive = ZipWriter::new(File::create(path).unwrap());
    let options = SimpleFileOptions::default().compression_level(Some(1)).large_file(true);
    for (name, start, count) in members {
        archive.start_file(*name, options).unwrap();
        archive.write_all(start).unwrap();
        io::copy(&mut io::Read::take(io::repeat(0), *count), &mut archive).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn a_data_set_is_in_memory_twice_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.npz");
    let count = 8192;
    let labels = vec![1_i64; count];
    let size = (count * 32 * 32 * 3) as u64;
    let ordered = ArrayD::<u8>::from_elem(vec![count, 3, 32, 32], 7);
    let last = ArrayD::<u8>::from_elem(vec![count, 32, 32, 3], 7);
    let fortran = ArrayD::<u8>::from_elem(vec![count, 32, 32, 3].f(), 7);
    for (name, images) in [("N×C×H×W", ordered), ("N×H×W×C", last), ("Fortran order", fortran)] {
        let arrays = [
            ("images", NpzArray::Bytes(images.view())),
            ("labels", NpzArray::Integers(aview1(&labels).into_dyn())),
        ];
        write_npz(&path, &arrays).unwrap();
        let taken = peak(|| assert_eq!(Dataset::open(&path, Split::Test).unwrap().len(), count));
        assert!(taken < 2 * size + size / 8 + MIB, "{name}: {taken} bytes for {size}");
    }
}

#[test]
fn what_can_be_refused_by_its_header_is_not_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.npz");
    let two = || ("labels.npy", [npy("2,", false), vec![0, 1]].concat(), 0);
    let images = |shape: &str, zeros| ("images.npy", npy(shape, false), zeros);
    let large = 128 * MIB;
    for (members, expected) in [
        (
            vec![images("2, 8192, 8192", large), ("labels.npy", npy("134217728,", false), large)],
            "and 134217728 labels",
        ),
        (vec![images("2, 67108864", large), two()], "images are N×H×W"),
        (vec![images("2, 4, 4194304, 4", large), two()], "in which neither end"),
        (vec![images("4, 8192, 8192", large), two()], "and only 134217728 follow"),
        (vec![images("2, 2, 2", large), two()], "and more follow"),
        (
            vec![images("2, 2, 2", 8), ("labels.npy", npy("2, 67108864", false), large)],
            "labels have one dimension",
        ),
    ] {
        zeros(&path, &members);
        let mut said = String::new();
        let taken = peak(|| said = Dataset::open(&path, Split::Test).unwrap_err().to_string());
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(taken < 2 * MIB, "{expected}: {taken} bytes");
    }
}

/// An IDX file of zeros, as gzip.
fn idx(path: &Path, shape: &[u32]) {
    let mut encoder = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    encoder.write_all(&[0, 0, 8, shape.len() as u8]).unwrap();
    for size in shape {
        encoder.write_all(&size.to_be_bytes()).unwrap();
    }
    let count = shape.iter().map(|&size| u64::from(size)).product();
    io::copy(&mut io::Read::take(io::repeat(0), count), &mut encoder).unwrap();
    encoder.finish().unwrap();
}

#[test]
fn an_idx_file_takes_what_it_promises_if_that_is_images() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (images, labels) = (root.join("t10k-images-idx3-ubyte"), root.join("t10k-labels-idx1-ubyte"));
    let open = || Dataset::from_idx(&images, &labels);
    idx(&labels, &[2]);
    for (shape, expected) in [
        (&[2, 1 << 28][..], "3 or 4 dimensions"),
        (&[1 << 29], "3 or 4 dimensions"),
        (&[0, 1 << 14, 1 << 14], "no image"),
    ] {
        idx(&images, shape);
        let mut said = String::new();
        let taken = peak(|| said = open().unwrap_err().to_string());
        assert!(said.contains(expected) && taken < 2 * MIB, "{said}: {taken} bytes");
    }
    idx(&images, &[2, 4096, 4096]);
    let taken = peak(|| assert_eq!(open().unwrap().len(), 2));
    assert!(taken < 65 * MIB, "{taken} bytes");
    idx(&labels, &[2, 1 << 28]);
    let mut said = String::new();
    let taken = peak(|| said = open().unwrap_err().to_string());
    assert!(said.contains("labels have 1 dimension") && taken < 66 * MIB, "{said}: {taken} bytes");
}

#[test]
fn a_line_without_end_is_no_line_of_results() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results");
    let long = 17 << 20;
    for (start, middle) in [
        ("{\"kind\":\"header\",\"schema\":[", "0,"),
        ("idx\tlabel\tpredict\tradius", "\t"),
        ("idx\tlabel\tpredict\tradius\n0", "\t"),
    ] {
        fs::write(&path, format!("{start}{}\n", middle.repeat(long / middle.len()))).unwrap();
        let mut said = String::new();
        let taken = peak(|| said = read_results(&path).unwrap_err().to_string());
        assert!(said.contains("a line may have at most 16777216"), "{said}");
        assert!(taken < 3 * long as u64, "{taken} bytes");
    }
    assert!(is_table(b"idx\tlabel"));
    // Deep, and not long: the parser goes so far and no further.
    fs::write(&path, format!("{{\"kind\":\"header\",\"model\":{}\n", "[".repeat(100_000))).unwrap();
    assert!(read_results(&path).unwrap_err().to_string().contains("recursion limit"));
}

/// Runs a command with 2 GB of address space.
fn limited(root: &Path, arguments: &[&str]) -> String {
    let output = after("ulimit -v 2000000", &rscert(root, arguments)).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {} {said}", output.status);
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    said
}

#[cfg(target_os = "linux")]
#[test]
fn too_little_memory_is_a_sentence_for_every_reader() {
    let folder = place();
    let root = folder.path();
    let (count, large) = (2_200_000_000_u64, "2200000000, 1, 1");
    // Two megabytes that hold two gigabytes.
    zeros(
        &root.join("images.npz"),
        &[("images.npy", npy(large, false), count), ("labels.npy", npy("2200000000,", false), count)],
    );
    zeros(&root.join("last.npz"), &[("images.npy", npy("100, 11000, 2000, 1", true), count)]);
    fs::create_dir(root.join("idx")).unwrap();
    idx(&root.join("idx/t10k-images-idx3-ubyte"), &[1100, 1000, 2000]);
    idx(&root.join("idx/t10k-labels-idx1-ubyte"), &[1100]);
    // Files with holes.
    for name in ["test_batch.bin", "large.npy", "large.onnx", "large.jsonl"] {
        let file = File::create(root.join(name)).unwrap();
        match name {
            "large.npy" => (&file).write_all(&npy(large, false)).unwrap(),
            "large.jsonl" => (&file).write_all(b"{\"kind\":\"header\"}\n").unwrap(),
            _ => {}
        }
        file.set_len(if name == "test_batch.bin" { 3073 * 700_000 } else { count - count % 4 }).unwrap();
    }
    fs::rename(root.join("large.npy"), root.join("images.npy")).unwrap();
    put(root, "weights.onnx", &heavy());
    File::create(root.join("weights.bin")).unwrap().set_len(count).unwrap();
    let certify = |what: &'static str, data: &'static str| {
        [what, "--sigma", "0.25", "--n", "100", "--out", "out.jsonl", "--model", "model.onnx", "--data", data]
    };
    for data in ["images.npz", "last.npz", "idx", "test_batch.bin", "images.npy"] {
        let said = limited(root, &certify("certify", data));
        assert!(said.contains("MiB") || said.contains("memory"), "{data}: {said}");
    }
    for arguments in [
        &["audit", "large.jsonl"][..],
        &["verify", "large.jsonl"],
        &["merge", "large.jsonl", "--out", "merged.jsonl"],
        &["inspect", "large.onnx"],
        &["bench", "--model", "weights.onnx"],
    ] {
        let said = limited(root, arguments);
        assert!(said.contains("MiB of memory") || said.contains("at most 2 GiB"), "{arguments:?}: {said}");
    }
    let new = certify("certify", "data");
    let resume = [&new[..6], &["large.jsonl", "--resume"], &new[7..]];
    let said = limited(root, &resume.concat()[..]);
    assert!(said.contains("large.jsonl") && said.contains("MiB of memory"), "{said}");
}

/// A model whose weights are in a file beside it.
fn heavy() -> Vec<u8> {
    use mithridate_onnx::messages::StringStringEntryProto;

    let mut model = halves::model(&mithridate_onnx::ModelMetadata::default());
    let weight = &mut model.graph.as_mut().unwrap().initializer[0];
    let location = StringStringEntryProto { key: Some("location".into()), value: Some("weights.bin".into()) };
    (weight.raw_data, weight.data_location, weight.external_data) = (None, Some(1), vec![location]);
    mithridate_onnx::to_bytes(&model)
}
