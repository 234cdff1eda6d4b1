//! Images in files of their own: against what Pillow makes of them, by class, and broken in every way.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use mithridate_runtime::data::{Dataset, OpenOptions, Preparation, Split, sha256};
use ndarray::ArrayD;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images").join(name)
}

fn one(path: &Path, preparation: Preparation) -> Result<Dataset, String> {
    let options = OpenOptions { label: Some(3), preparation, ..OpenOptions::new(Split::Test) };
    Dataset::open_with(path, &options).map_err(|error| error.to_string())
}

fn resize(side: u32) -> Preparation {
    Preparation { resize: Some(side), crop: None }
}

fn crop(side: u32) -> Preparation {
    Preparation { resize: None, crop: Some(side) }
}

/// What Pillow has, H×W or H×W×C, as C×H×W.
fn pillow(name: &str) -> ([usize; 3], Vec<u8>) {
    let file = fs::File::open(fixture(name)).unwrap();
    let array: ArrayD<u8> = ndarray_npy::ReadNpyExt::read_npy(file).unwrap();
    let array = if array.ndim() == 2 { array.insert_axis(ndarray::Axis(2)) } else { array };
    let shape = [array.shape()[2], array.shape()[0], array.shape()[1]];
    (shape, array.permuted_axes(vec![2, 0, 1]).iter().copied().collect())
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// Decoded and prepared as Pillow does it, but for so much a value.
fn like_pillow(name: &str, preparation: Preparation, expected: &str, tolerance: u8) {
    let data = one(&fixture(name), preparation).unwrap();
    let (shape, expected) = pillow(expected);
    assert_eq!((data.len(), data.shape(), data.labels()), (1, shape, &[3][..]), "{name}");
    let difference = largest_difference(data.pixels(0), &expected);
    assert!(difference <= tolerance, "{name}: {difference}");
}

#[test]
fn images_are_decoded_as_by_pillow() {
    for name in ["rgb.png", "palette.png", "grey.png"] {
        like_pillow(name, Preparation::default(), &format!("{name}.npy"), 0);
    }
    // Decoders of JPEG differ in how they round.
    for name in ["rgb.jpg", "grey.jpeg", "progressive.jpg", "cmyk.jpg"] {
        like_pillow(name, Preparation::default(), &format!("{name}.npy"), 2);
    }
}

#[test]
fn images_are_resized_as_by_pillow() {
    for name in ["rgb.png", "grey.png"] {
        like_pillow(name, resize(9), &format!("{name}.9.npy"), 1);
        like_pillow(name, resize(31), &format!("{name}.31.npy"), 1);
    }
}

#[test]
fn an_alpha_channel_is_dropped_where_it_hides_nothing_and_refused_where_it_does() {
    let plain = Preparation::default();
    let (opaque, rgb) =
        (one(&fixture("opaque.png"), plain).unwrap(), one(&fixture("rgb.png"), plain).unwrap());
    assert_eq!((opaque.shape(), opaque.pixels(0)), (rgb.shape(), rgb.pixels(0)));
    let text = one(&fixture("transparent.png"), plain).unwrap_err();
    assert!(text.contains("some of its pixels are transparent"), "{text}");
}

#[test]
fn sixteen_bits_are_rounded_to_eight() {
    let data = one(&fixture("sixteen.png"), Preparation::default()).unwrap();
    let expected: Vec<u8> = (0..12).map(|i| (f64::from(i) * 5000.0 / 257.0).round() as u8).collect();
    assert_eq!((data.shape(), data.pixels(0)), ([1, 3, 4], expected.as_slice()));
}

#[test]
fn a_note_says_that_values_were_rounded() {
    let path = fixture("sixteen.png");
    let note = format!("{} has values of 16 bits, which were rounded to 8 bits", path.display());
    assert_eq!(one(&path, Preparation::default()).unwrap().notes(), [note]);
    for name in ["rgb.png", "palette.png", "grey.png", "opaque.png", "rgb.jpg"] {
        assert!(one(&fixture(name), Preparation::default()).unwrap().notes().is_empty(), "{name}");
    }

    let folder = tempfile::tempdir().unwrap();
    let sixteen = fs::read(path).unwrap();
    put(folder.path(), "a/1.png", &png(4, 3, png::ColorType::Grayscale, &[0; 12]));
    put(folder.path(), "a/2.png", &sixteen);
    put(folder.path(), "b/1.png", &sixteen);
    let notes = Dataset::open(folder.path(), Split::Test).unwrap().notes().join("\n");
    assert_eq!(
        notes.replace(&folder.path().display().to_string(), "F"),
        "2 of 3 images (the first is F/a/2.png) have values of 16 bits, which were rounded to 8 bits"
    );
}

#[cfg(feature = "cli")]
#[test]
fn who_certifies_or_verifies_is_told_of_rounding() {
    let place = mithridate_testkit::place::place();
    put(place.path(), "sixteen.png", &fs::read(fixture("sixteen.png")).unwrap());
    let certify = "certify --model model.onnx --data sixteen.png --label 0 --crop 2 --sigma 0.25 --n 100 --out run.jsonl";
    for arguments in [certify, "verify run.jsonl --data sixteen.png"] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let output = mithridate_testkit::program::rscert(place.path(), &arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("sixteen.png has values of 16 bits, which were rounded to 8 bits"), "{said}");
    }
}

#[test]
fn a_crop_is_the_middle() {
    let whole = one(&fixture("grey.png"), Preparation::default()).unwrap();
    let data = one(&fixture("grey.png"), crop(4)).unwrap();
    assert_eq!(data.shape(), [1, 4, 4]);
    // 17 x 23 pixels: 6 rows above and 7 below, 9 columns left and 10 right.
    for row in 0..4 {
        let start = (row + 6) * 23 + 9;
        assert_eq!(data.pixels(0)[row * 4..row * 4 + 4], whole.pixels(0)[start..start + 4]);
    }
    let both = one(&fixture("grey.png"), Preparation { resize: Some(9), crop: Some(9) }).unwrap();
    assert_eq!(both.shape(), [1, 9, 9]);
    let text = one(&fixture("grey.png"), crop(18)).unwrap_err();
    assert!(text.ends_with("its 23 x 17 pixels are too few for a crop of 18 x 18"), "{text}");
}

/// A PNG file.
fn png(width: u32, height: u32, colour: png::ColorType, bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(bytes).unwrap();
    file
}

/// A grey image of 2 × 1 pixels.
fn grey(first: u8, second: u8) -> Vec<u8> {
    png(2, 1, png::ColorType::Grayscale, &[first, second])
}

fn put(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn sentence(folder: &Path, split: Split) -> String {
    let text = Dataset::open(folder, split).unwrap_err().to_string();
    assert!(!text.contains('\n'), "{text}");
    text.replace(&folder.display().to_string(), "F")
}

#[test]
fn folders_are_classes_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(root, "hund/b.png", &grey(3, 4));
    put(root, "hund/a.PNG", &grey(1, 2));
    put(root, "Äpfel <b>/é ü.png", &grey(7, 8));
    put(root, "katze/0.png", &grey(5, 6));
    put(root, ".git/x", b"hidden");
    put(root, "katze/.DS_Store", b"hidden");
    fs::create_dir(root.join("empty")).unwrap();
    let data = Dataset::open(root, Split::Test).unwrap();
    assert_eq!(data.class_names().unwrap(), ["empty", "hund", "katze", "Äpfel <b>"]);
    assert_eq!((data.labels(), data.shape()), (&[1, 1, 2, 3][..], [1, 1, 2]));
    let pixels: Vec<&[u8]> = (0..4).map(|index| data.pixels(index)).collect();
    assert_eq!(pixels, [[1, 2], [3, 4], [5, 6], [7, 8]]);
    // As an IDX file of four images of 1 × 2 pixels, and one of labels.
    let images = [0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(data.images_sha256, sha256(&images));
    assert_eq!(data.labels_sha256, sha256(&[0, 0, 8, 1, 0, 0, 0, 4, 1, 1, 2, 3]));
    assert_eq!(
        sentence(root, Split::Train),
        "there is no train split in F: its image files lack a folder train with a folder of images for each class"
    );
}

#[test]
fn numbers_are_the_classes_they_name() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["10", "9", "300"] {
        put(folder.path(), &format!("{class}/x.png"), &grey(0, 0));
    }
    let data = Dataset::open(folder.path(), Split::Test).unwrap();
    assert_eq!((data.labels(), data.class_names()), (&[9, 10, 300][..], None));
    // More than 256 classes do not fit bytes: 32-bit integers.
    let labels = [0, 0, 0x0c, 1, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 10, 0, 0, 1, 44];
    assert_eq!(data.labels_sha256, sha256(&labels));
    put(folder.path(), "009/x.png", &grey(0, 0));
    assert!(sentence(folder.path(), Split::Test).ends_with("is a second folder of class 9"));
    fs::remove_dir_all(folder.path().join("009")).unwrap();
    put(folder.path(), "65536/x.png", &grey(0, 0));
    assert_eq!(sentence(folder.path(), Split::Test), "F/65536 is not a class: classes are from 0 to 65535");
}

#[test]
fn splits_are_folders_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(root, "train/a/1.png", &grey(1, 1));
    put(root, "train/b/1.png", &grey(2, 2));
    put(root, "val/b/1.png", &grey(3, 3));
    put(root, "val/a/1.png", &grey(4, 4));
    assert_eq!(Dataset::open(root, Split::Train).unwrap().pixels(1), [2, 2]);
    assert_eq!(Dataset::open(root, Split::Test).unwrap().pixels(1), [3, 3]);
    put(root, "test/a/1.png", &grey(5, 5));
    assert_eq!(Dataset::open(root, Split::Test).unwrap().pixels(0), [5, 5]);
    fs::remove_dir_all(root.join("train")).unwrap();
    assert!(sentence(root, Split::Train).contains("lack a folder train"));
    // A class called train, as in CIFAR-100.
    let classes = folder.path().join("val");
    put(&classes, "train/1.png", &grey(6, 6));
    assert_eq!(Dataset::open(&classes, Split::Test).unwrap().labels(), [0, 1, 2]);
}

#[test]
fn one_colour_image_makes_all_of_them_rgb() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a/1.png", &grey(1, 2));
    put(folder.path(), "a/2.png", &png(2, 1, png::ColorType::Rgb, &[10, 20, 30, 40, 50, 60]));
    put(folder.path(), "b/3.png", &grey(3, 4));
    let data = Dataset::open(folder.path(), Split::Test).unwrap();
    assert_eq!(data.shape(), [3, 1, 2]);
    let pixels: Vec<&[u8]> = (0..3).map(|index| data.pixels(index)).collect();
    assert_eq!(pixels, [[1, 2, 1, 2, 1, 2], [10, 40, 20, 50, 30, 60], [3, 4, 3, 4, 3, 4]]);
}

#[test]
fn one_pixel_is_an_image() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a/1.png", &png(1, 1, png::ColorType::Grayscale, &[9]));
    let data = Dataset::open(folder.path(), Split::Test).unwrap();
    assert_eq!((data.shape(), data.pixels(0)), ([1, 1, 1], &[9][..]));
    assert_eq!(one(&folder.path().join("a/1.png"), resize(3)).unwrap().pixels(0), [9; 9]);
}

#[test]
fn what_is_no_folder_of_images_is_named() {
    let wrong = |files: &[(&str, &[u8])]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            put(folder.path(), name, content);
        }
        sentence(folder.path(), Split::Test)
    };
    let image = grey(1, 2);
    assert!(wrong(&[("a/b/c.txt", b"")]).starts_with("there is no data set in F"));
    assert!(wrong(&[]).starts_with("there is no data set in F"));
    assert_eq!(
        wrong(&[("a/1.png", &image), ("a/notes.txt", b"")]),
        "F/a/notes.txt does not have the extension of an image (.png, .jpg, .jpeg); remove it"
    );
    assert_eq!(
        wrong(&[("a/1.png", &image), ("notes.txt", b"")]),
        "F/notes.txt is not a class folder with images; remove it"
    );
    assert_eq!(
        wrong(&[("1.png", &image)]),
        "F/1.png is beside the class folders; move it into one of them, or give its own path as the data set"
    );
    assert_eq!(
        wrong(&[("a/1.png", &image), ("a/deeper/2.png", &image)]),
        "F/a/deeper is a folder inside a class folder; images must be directly in the class folder"
    );
    assert_eq!(
        wrong(&[("a/1.png", &image), ("b/2.png", &png(1, 1, png::ColorType::Grayscale, &[1]))]),
        "F/b/2.png has 1 x 1 pixels and F/a/1.png has 2 x 1; all images must have the same size: use \
         `resize` and `crop`"
    );
    assert_eq!(
        wrong(&[("a/1.png", b"this is text")]),
        "F/a/1.png is not a valid image file: its first bytes are neither those of a PNG nor of a JPEG"
    );
    assert_eq!(wrong(&[("a/1.jpg", b"")]), "F/a/1.jpg is not a valid image file: it is empty");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_loops_are_named() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    put(root, "data/a/1.png", &grey(1, 2));
    symlink(root.join("data/a"), root.join("data/b")).unwrap();
    assert_eq!(Dataset::open(&root.join("data"), Split::Test).unwrap().labels(), [0, 1]);
    symlink(root.join("data"), root.join("data/a/loop")).unwrap();
    assert!(sentence(root.join("data").as_path(), Split::Test).contains("F/a/loop is a folder inside"));
    fs::remove_file(root.join("data/a/loop")).unwrap();
    symlink("self", root.join("data/self")).unwrap();
    assert_eq!(sentence(root.join("data").as_path(), Split::Test), "cannot read F/self");
    fs::remove_file(root.join("data/self")).unwrap();
    symlink("/dev/zero", root.join("data/a/zero.png")).unwrap();
    assert!(sentence(root.join("data").as_path(), Split::Test).ends_with("cannot read F/a/zero.png"));
}

/// A PNG that says how large it is and holds nothing.
fn declared(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([depth, colour, 0, 0, 0]);
    let mut crc = flate2::Crc::new();
    crc.update(&chunk);
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0d".as_slice(), &chunk, &crc.sum().to_be_bytes(), &[0, 0, 0, 0], b"IDAT"]
        .concat()
}

#[test]
fn sizes_are_checked_before_memory_is_taken() {
    for (file, pixels) in [
        (declared(u32::MAX >> 1, u32::MAX >> 1, 16, 6), "2147483647 x 2147483647"),
        (declared(16_385, 1, 8, 0), "16385 x 1"),
        (declared(16_384, 16_384, 8, 0), "16384 x 16384"),
        (declared(4000, 4000, 16, 6), "4000 x 4000"),
    ] {
        let text = Dataset::parse_image(&file, 0, Preparation::default()).unwrap_err().to_string();
        assert!(text.contains(&format!("its declared size of {pixels} pixels is too large")), "{text}");
    }
    let long = png(16_384, 1, png::ColorType::Grayscale, &[0; 16_384]);
    let text = Dataset::parse_image(&long, 0, resize(1000)).unwrap_err().to_string();
    assert!(
        text.ends_with(
            "its 16384 x 1 pixels can't be resized to a shorter side of 1000: the result is too large"
        ),
        "{text}"
    );
    assert!(Dataset::parse_image(&long, 0, resize(u32::MAX)).is_err());
}

#[test]
fn a_jpeg_of_few_bytes_holds_few_pixels() {
    let mut file = fs::read(fixture("rgb.jpg")).unwrap();
    let frame = file.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    let mut problem = |height: u16, width: u16| {
        file[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        file[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
        Dataset::parse_image(&file, 0, Preparation::default()).map(drop).unwrap_err().to_string()
    };
    let text = problem(u16::MAX, u16::MAX);
    assert!(text.contains("its declared size of 65535 x 65535 pixels is too large"), "{text}");
    let text = problem(2000, 16_000);
    assert!(text.contains("it declares more pixels than its bytes can contain"), "{text}");
}

#[test]
fn damage_is_named_wherever_it_is() {
    for name in ["rgb.png", "grey.png", "rgb.jpg", "grey.jpeg", "progressive.jpg", "cmyk.jpg"] {
        let whole = fs::read(fixture(name)).unwrap();
        let parse = |bytes: &[u8]| Dataset::parse_image(bytes, 0, Preparation::default());
        for length in 0..whole.len() {
            match parse(&whole[..length]) {
                // A PNG that lacks only its last chunk has all of its pixels.
                Ok(data) => {
                    assert!(data.pixels(0) == parse(&whole).unwrap().pixels(0), "{name} cut at {length}");
                }
                Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
            }
        }
    }
}
