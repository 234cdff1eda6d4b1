//! Data sets in npz and npy files: those NumPy wrote, those we write, and those that are broken.

#![allow(clippy::unwrap_used)]

use std::{fs, io::Write, path::Path};

use mithridate_runtime::data::{Dataset, NpzArray, Split, write_npz};
use ndarray::{ArrayD, aview0, aview1};
use proptest::prelude::*;
use zip::{ZipWriter, write::SimpleFileOptions};

fn numpy(name: &str) -> Dataset {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/npz");
    Dataset::open(&folder.join(name), Split::Test).unwrap()
}

/// Pixel (n, c, h, w) in the files of `fixtures/npz.py`.
fn pixels(n: usize, channels: usize) -> Vec<u8> {
    let position = |c: usize| (0..8).map(move |hw| (64 * n + 16 * c + 4 * (hw / 2) + hw % 2) as u8);
    (0..channels).flat_map(position).collect()
}

#[test]
fn files_of_numpy_are_read_in_every_layout() {
    for (name, channels) in
        [("chw.npz", 3), ("hwc.npz", 3), ("fortran.npz", 3), ("images.npy", 3), ("gray.npz", 1)]
    {
        let data = numpy(name);
        assert_eq!((data.len(), data.shape()), (4, [channels, 4, 2]), "{name}");
        assert_eq!(data.labels(), [3, 2, 1, 0], "{name}");
        for n in 0..4 {
            assert_eq!(data.pixels(n), pixels(n, channels), "image {n} of {name}");
        }
        assert_eq!(data.class_names(), None);
    }
}

#[test]
fn hashes_are_those_of_the_arrays_as_npy_files() {
    // Of sha256sum.
    let images = "e3917da31a80b0fa99f95f7df34f85d5130ac692566a9b9e42c09eeae7925726";
    let labels = "4cdd69fe816c605b22cc4827efe90521596168210b3941a6a4a9aa315e1dca06";
    for name in ["chw.npz", "images.npy"] {
        let data = numpy(name);
        assert_eq!((data.images_sha256.as_str(), data.labels_sha256.as_str()), (images, labels), "{name}");
    }
}

#[test]
fn what_is_written_is_read_again_and_always_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (path, again) = (folder.path().join("a.npz"), folder.path().join("b.npz"));
    let images = ArrayD::from_shape_fn(vec![5, 3, 4, 2], |i| (50 * i[0] + 20 * i[1] + 3 * i[2] + i[3]) as u8);
    let labels = [0, 255, 7, 7, 1];
    let arrays = [
        ("images", NpzArray::Bytes(images.view())),
        ("labels", NpzArray::Integers(aview1(&labels).into_dyn())),
        ("more", NpzArray::Integers(aview0(&-1).into_dyn())),
    ];
    write_npz(&path, &arrays).unwrap();
    write_npz(&again, &arrays).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
    let data = Dataset::open(&path, Split::Test).unwrap();
    assert_eq!((data.len(), data.shape(), data.labels()), (5, [3, 4, 2], &[0, 255, 7, 7, 1][..]));
    assert_eq!(
        (0..5).flat_map(|n| data.pixels(n).to_vec()).collect::<Vec<u8>>(),
        images.iter().copied().collect::<Vec<u8>>()
    );

    let twice = [arrays[0].clone(), arrays[0].clone()];
    let error = write_npz(&folder.path().join("c.npz"), &twice).unwrap_err();
    assert!(error.to_string().starts_with("cannot write"), "{error}");
    assert!(!folder.path().join("c.npz").exists());
}

/// An npy file of version 1 or 2 with this header.
fn npy(version: u8, header: &str, elements: &[u8]) -> Vec<u8> {
    let length = (header.len() as u32).to_le_bytes();
    let length = if version == 1 { &length[..2] } else { &length[..] };
    [b"\x93NUMPY".as_slice(), &[version, 0], length, header.as_bytes(), elements].concat()
}

fn array(element: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    npy(1, &format!("{{'descr': '{element}', 'fortran_order': False, 'shape': ({shape}), }}\n"), elements)
}

/// What is wrong with an npz file of these members.
fn problem(members: &[(&str, Vec<u8>)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let mut archive = ZipWriter::new(fs::File::create(&path).unwrap());
    for (name, content) in members {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap();
    let text = Dataset::open(&path, Split::Test).unwrap_err().to_string();
    assert!(!text.contains('\n'), "{text}");
    text.split_once("npz file: ").unwrap().1.to_owned()
}

fn problem_of_images(images: Vec<u8>) -> String {
    let text = problem(&[("images.npy", images), ("labels.npy", array("|u1", "2,", &[0, 1]))]);
    text.strip_prefix("its array 'images' ").unwrap().to_owned()
}

fn problem_of_labels(labels: Vec<u8>) -> String {
    let text = problem(&[("images.npy", array("|u1", "2, 2, 2", &[0; 8])), ("labels.npy", labels)]);
    text.strip_prefix("its array 'labels' ").unwrap().to_owned()
}

#[test]
fn arrays_that_are_no_data_set_are_refused() {
    let images = ("images.npy", array("|u1", "2, 2, 2", &[0; 8]));
    assert_eq!(
        problem(&[]),
        "it holds no array 'images', none at all; a data set needs the arrays 'images' and 'labels'"
    );
    assert_eq!(
        problem(&[("x.npy", vec![]), ("y", vec![])]),
        "it holds no array 'images', only 'x', 'y'; a data set needs the arrays 'images' and 'labels'"
    );
    assert_eq!(
        problem(std::slice::from_ref(&images)),
        "it holds no array 'labels', only 'images'; a data set needs the arrays 'images' and 'labels'"
    );
    assert_eq!(
        problem(&[images, ("labels.npy", array("|u1", "3,", &[0; 3]))]),
        "it holds 2 images and 3 labels"
    );
    assert_eq!(
        problem_of_images(array("<f4", "2, 2, 2", &[0; 32])),
        "has elements of type '<f4' and not uint8 from 0 to 255; scale and round them first"
    );
    assert_eq!(
        problem_of_images(array("|u1", "2, 3, 4, 1", &[0; 24])),
        "has the shape [2, 3, 4, 1], which can be N×C×H×W or N×H×W×C; store images of one channel as N×H×W, or \
         give them more pixels"
    );
    assert!(problem_of_images(array("|u1", "2, 2, 4, 2", &[0; 32])).contains("neither end"));
    assert!(problem_of_images(array("|u1", "2, 8", &[0; 16])).contains("images are N×H×W"));
    assert!(problem_of_images(array("|u1", "0, 8, 8", &[])).contains("contains no image"));
    assert_eq!(
        problem_of_labels(array("<f8", "2,", &[0; 16])),
        "has elements of type '<f8' and not integers; store class numbers from 0"
    );
    assert_eq!(
        problem_of_labels(array(">i4", "2,", &[0, 0, 255, 255, 0, 1, 0, 0])),
        "holds the label 65536 of image 1, which is not from 0 to 65535"
    );
    assert!(problem_of_labels(array("|i1", "2,", &[255, 0])).contains("the label -1 of image 0"));
    assert!(problem_of_labels(array("|u1", "2, 1", &[0, 0])).contains("labels have one dimension"));
}

#[test]
fn several_sets_of_images_are_refused_by_name() {
    let images = || array("|u1", "2, 2, 2", &[0; 8]);
    let labels = || array("|u1", "2,", &[0, 1]);
    let pair = || vec![("images.npy", images()), ("labels.npy", labels())];
    let with = |more: Vec<(&'static str, Vec<u8>)>| [pair(), more].concat();
    assert_eq!(
        problem(&with(vec![("x_test.npy", images()), ("y_test.npy", labels())])),
        "it holds several sets of images: 'images' with 'labels', and 'x_test' with 'y_test'; keep one of them, under the \
         names 'images' and 'labels'"
    );
    let text = problem(&with(vec![
        ("train_images.npy", images()),
        ("train_labels.npy", labels()),
        ("X.npy", images()),
        ("Y.npy", labels()),
    ]));
    assert!(text.contains("and 'train_images' with 'train_labels', and 'X' with 'Y'; keep"), "{text}");
    assert_eq!(
        problem(&with(vec![("images", images())])),
        "it holds two arrays 'images', as the members 'images.npy' and 'images'; keep one of them"
    );
}

#[test]
fn arrays_beside_the_images_that_are_no_second_set_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let images = ArrayD::<u8>::zeros(vec![2, 2, 2]);
    let labels = [0, 1];
    let labels = || NpzArray::Integers(aview1(&labels).into_dyn());
    // Images without labels, labels without images, and positions.
    let arrays = [
        ("images", NpzArray::Bytes(images.view())),
        ("clean", NpzArray::Bytes(images.view())),
        ("x_test", NpzArray::Bytes(images.view())),
        ("labels", labels()),
        ("indices", labels()),
        ("y_train", labels()),
        ("x", labels()),
        ("y", labels()),
    ];
    write_npz(&path, &arrays).unwrap();
    assert_eq!(Dataset::open(&path, Split::Test).unwrap().labels(), [0, 1]);
}

#[test]
fn damage_is_named_and_reserves_no_memory() {
    assert_eq!(problem_of_images(b"\x93NUM".to_vec()), "is truncated");
    assert!(problem_of_images(vec![0; 100]).starts_with("is not an npy file"));
    assert_eq!(problem_of_images(npy(1, "{'descr'", &[])), "has a header that can't be parsed");
    assert_eq!(problem_of_images(npy(9, "{}\n", &[])), "has a header that can't be parsed");
    assert_eq!(
        problem_of_images(npy(1, &format!("{}\n", "(".repeat(9000)), &[])),
        "has a header that can't be parsed"
    );
    let long = [b"\x93NUMPY\x02\x00".as_slice(), &[255; 4]].concat();
    assert_eq!(problem_of_images(long), "has a header of 4294967295 bytes and can have at most 10000");
    assert_eq!(
        problem_of_images(array("|u1", "2, 2, 2", &[0; 7])),
        "declares 8 bytes of shape [2, 2, 2] in its header, and only 7 follow"
    );
    assert!(problem_of_images(array("|u1", "2, 2, 2", &[0; 9])).ends_with("and more follow"));
    assert!(problem_of_images(array("|u1", "9223372036854775807, 1, 1", &[])).ends_with("and only 0 follow"));
    assert!(problem_of_images(array("|u1", "9223372036854775807, 9, 9", &[])).ends_with("that is too large"));
    assert!(problem_of_images(array("|u1", "0, 9223372036854775807, 9", &[])).contains("contains no image"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let text = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        Dataset::open(&path, Split::Test).unwrap_err().to_string()
    };
    assert!(text(b"").contains("it is not a zip archive or is truncated"));
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/npz/chw.npz");
    let mut whole = fs::read(fixture).unwrap();
    assert!(text(&whole[..whole.len() / 2]).contains("it is not a zip archive or is truncated"));
    let pixel = whole.windows(4).position(|bytes| bytes == [4, 5, 8, 9]).unwrap();
    whole[pixel] ^= 1;
    assert!(text(&whole).contains("its array 'images' is damaged"), "{}", text(&whole));
}

proptest! {
    #[test]
    fn changed_bytes_are_read_or_refused(changes in proptest::collection::vec((0_usize..1200, any::<u8>()), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/npz");
        for name in ["hwc.npz", "images.npy"] {
            let mut content = fs::read(fixtures.join(name)).unwrap();
            let length = content.len();
            for &(position, byte) in &changes {
                content[position % length] = byte;
            }
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            fs::copy(fixtures.join("labels.npy"), folder.path().join("labels.npy")).unwrap();
            match Dataset::open(&path, Split::Test) {
                Ok(data) => prop_assert_eq!((data.len(), data.pixels(3).len()), (4, 24)),
                Err(error) => prop_assert!(!error.to_string().contains('\n'), "{}", error),
            }
        }
    }
}
