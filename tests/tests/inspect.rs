//! `pacd inspect`: its numbers against those counted here from the files, its pictures, and what it says of a network.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, io::BufReader, path::Path};

use mithridate_runtime::data::{Dataset, Split, write_idx};
use mithridate_tests::{bars, command, trained};
use serde_json::Value;

/// Made-up data in `data` and a set of random signs at ε = 0.1 for class 1 in `set`.
fn random_set(folder: &Path) {
    let mut poison = command("pacd");
    poison.current_dir(folder).args(["poison", "--attack", "random", "--data", "data", "--out", "set"]);
    poison.args(["--class", "1", "--epsilon", "0.1", "--validation", "20", "--seed", "5"]).assert().success();
}

fn grey(folder: &Path) {
    fs::create_dir(folder.join("data")).unwrap();
    bars(&folder.join("data"), 16, 4, 100, 20);
    random_set(folder);
}

fn inspect(folder: &Path, arguments: &[&str]) -> String {
    let output = command("pacd")
        .current_dir(folder)
        .args(["inspect", "set", "--data", "data"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Shape (channels, height, width) and bytes, H×W×C, of a PNG file.
fn decode(path: &Path) -> ([usize; 3], Vec<u8>) {
    let file = BufReader::new(fs::File::open(path).unwrap());
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    ([info.color_type.samples(), info.height as usize, info.width as usize], bytes)
}

/// Clean and poisoned bytes of each image of the set, as the files say.
fn pairs(folder: &Path) -> Vec<(usize, Vec<u8>, Vec<u8>)> {
    let clean = Dataset::open(&folder.join("data"), Split::Train).unwrap();
    let poisoned = Dataset::open(&folder.join("set/images-idx3-ubyte"), Split::Train).unwrap();
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.join("set/manifest.json")).unwrap()).unwrap();
    let indices = manifest["indices"].as_array().unwrap();
    assert_eq!(indices.len(), poisoned.len());
    indices
        .iter()
        .enumerate()
        .map(|(number, index)| {
            let index = index.as_u64().unwrap() as usize;
            (index, clean.pixels(index).to_vec(), poisoned.pixels(number).to_vec())
        })
        .collect()
}

#[test]
fn the_numbers_are_those_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    grey(folder.path());
    let document: Value = serde_json::from_str(&inspect(folder.path(), &["--json"])).unwrap();
    assert_eq!(document["kind"], "poison");
    let summary = &document["summary"];
    let pairs = pairs(folder.path());
    assert_eq!(summary["images"], pairs.len());
    assert_eq!(
        (&summary["target_classes"], &summary["training_images"]),
        (&serde_json::json!([1]), &80.into())
    );
    assert_eq!(summary["generator"]["kind"], "random");
    // floor(0.1 · 255) steps, and random signs take them all where the range of a byte allows.
    assert_eq!(summary["epsilon_steps"], 25);
    assert_eq!(summary["largest_change"], 25);

    let changes: Vec<i64> = pairs
        .iter()
        .flat_map(|(_, clean, poisoned)| clean.iter().zip(poisoned))
        .map(|(&before, &after)| i64::from(after) - i64::from(before))
        .collect();
    let share = |of: &dyn Fn(i64) -> bool| {
        changes.iter().filter(|change| of(**change)).count() as f64 / changes.len() as f64
    };
    let close = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value - expected).abs() < 1e-9, "{value} and not {expected}");
    };
    close(&summary["changed"], share(&|change| change != 0));
    close(&summary["at_bound"], share(&|change| change.abs() == 25));
    let total: i64 = changes.iter().map(|change| change.abs()).sum();
    close(&summary["mean_change"], total as f64 / changes.len() as f64);
    let histogram = summary["histogram"].as_array().unwrap();
    assert_eq!(histogram.len(), 51);
    for bin in histogram {
        let steps = bin["steps"].as_i64().unwrap();
        assert_eq!(bin["values"], changes.iter().filter(|change| **change == steps).count());
    }
    let squares: Vec<f64> =
        changes.chunks(256).map(|image| image.iter().map(|change| (change * change) as f64).sum()).collect();
    let norms: Vec<f64> = squares.iter().map(|square: &f64| square.sqrt() / 255.0).collect();
    close(&summary["l2"]["mean"], norms.iter().sum::<f64>() / norms.len() as f64);
    close(&summary["l2"]["max"], norms.iter().copied().fold(0.0, f64::max));
    let ratios: Vec<f64> =
        squares.iter().map(|square| 20.0 * 255_f64.log10() - 10.0 * (square / 256.0).log10()).collect();
    close(&summary["psnr"]["mean"], ratios.iter().sum::<f64>() / ratios.len() as f64);
    close(&summary["psnr"]["min"], ratios.iter().copied().fold(f64::MAX, f64::min));
    let similarity = summary["ssim"]["mean"].as_f64().unwrap();
    assert!(0.0 < similarity && similarity < 1.0, "{similarity}");
}

#[test]
fn words_picture_and_exported_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    grey(folder);
    let text = inspect(folder, &["--picture", "new/panel.png", "--export", "images", "--images", "3"]);
    for part in ["of class 1, ", "random", "largest change found is 25/255", "PSNR:", "SSIM:", "+25"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let ([channels, height, width], bytes) = decode(&folder.join("new/panel.png"));
    assert_eq!((channels, width), (3, 1800));
    assert!(height > 600 && bytes[..3] == [255; 3] && bytes.iter().any(|&value| value < 50), "ink on white");
    let exported: Vec<(usize, Vec<u8>, Vec<u8>)> = pairs(folder).into_iter().take(3).collect();
    assert_eq!(fs::read_dir(folder.join("images")).unwrap().count(), 6);
    for (index, clean, poisoned) in exported {
        for (name, expected) in [("clean", clean), ("poisoned", poisoned)] {
            let picture = decode(&folder.join(format!("images/{name}-{index:05}.png")));
            assert_eq!(picture, ([1, 16, 16], expected), "{name} {index}");
        }
    }
    inspect(folder, &["--picture", "panel.svg", "--images", "4"]);
    let svg = fs::read_to_string(folder.join("panel.svg")).unwrap();
    assert!(svg.starts_with("<svg xmlns=") && svg.contains("difference × 5"));
    assert_eq!(svg.matches("data:image/png;base64,").count(), 12);
}

#[test]
fn colour_images_and_images_too_small_for_ssim() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("data")).unwrap();
    let shape = [40, 3, 9, 10];
    let bytes: Vec<u8> = (0..shape.iter().product::<usize>()).map(|i| (i * 37 % 256) as u8).collect();
    let labels: Vec<u8> = (0..40).map(|i| i % 2).collect();
    for prefix in ["train", "t10k"] {
        write_idx(&folder.join(format!("data/{prefix}-images-idx3-ubyte")), &shape, &bytes).unwrap();
        write_idx(&folder.join(format!("data/{prefix}-labels-idx1-ubyte")), &[40], &labels).unwrap();
    }
    random_set(folder);
    let text = inspect(folder, &["--picture", "panel.png", "--export", "images"]);
    assert!(text.contains("SSIM:         none: its window has 11 × 11 pixels, the images 9 × 10"), "{text}");
    decode(&folder.join("panel.png"));
    for (index, clean, poisoned) in pairs(folder) {
        for (name, bytes) in [("clean", clean), ("poisoned", poisoned)] {
            let interleaved: Vec<u8> =
                (0..90).flat_map(|at| [bytes[at], bytes[90 + at], bytes[180 + at]]).collect();
            let picture = decode(&folder.join(format!("images/{name}-{index:05}.png")));
            assert_eq!(picture, ([3, 9, 10], interleaved));
        }
    }
    let document: Value = serde_json::from_str(&inspect(folder, &["--json"])).unwrap();
    assert!(document["summary"]["ssim"].is_null());
}

#[test]
fn a_network_says_how_it_was_trained() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    bars(&folder.path().join("data"), 16, 4, 60, 20);
    let network = trained(folder.path(), &folder.path().join("data"), "linear");
    let report: Value = serde_json::from_slice(&fs::read(network.join("train.json")).unwrap()).unwrap();
    let run = |arguments: &[&str]| {
        let output = command("pacd").arg("inspect").arg(&network).args(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let document: Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!((&document["kind"], &document["report"]), (&"network".into(), &report));
    let text = run(&[]);
    let hash = report["training_data_sha256"].as_str().unwrap();
    for part in ["network linear", "method gaussian", "epochs 3", "poison:       none", "class 3", hash] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}
