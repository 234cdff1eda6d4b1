//! `pacd boundary`: that poison lowers the certified radius in every panel, and what the pictures hold.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, io::BufReader, path::Path};

use mithridate_tests::command;
use serde_json::{Value, json};

fn boundary(folder: &Path, arguments: &[&str]) -> String {
    let output = command("pacd").current_dir(folder).arg("boundary").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn poison_takes_certified_radius_in_every_panel() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let arguments = ["--seed", "3", "--points", "30", "--epsilon", "0.08", "--json", "--out", "new/plane"];
    let text = boundary(folder, &arguments);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["files"], json!(["new/plane.svg", "new/plane.png"]));
    let expected = json!({ "seed": 3, "points": 30, "epsilon": 0.08, "sigma": 0.1, "method": "gaussian" });
    assert_eq!(document["settings"], expected);
    let panels = document["panels"].as_array().unwrap();
    let named: Vec<(&str, &str)> = panels
        .iter()
        .map(|panel| (panel["points"].as_str().unwrap(), panel["network"].as_str().unwrap()))
        .collect();
    assert_eq!(named, [("blobs", "linear"), ("blobs", "mlp"), ("moons", "linear"), ("moons", "mlp")]);
    let svg = fs::read_to_string(folder.join("new/plane.svg")).unwrap();
    for panel in panels {
        let number = |of: &str, what: &str| panel[of][what].as_f64().unwrap();
        let (clean, poisoned) = (number("clean", "acr"), number("poisoned", "acr"));
        assert!(0.0 < poisoned && poisoned < 0.9 * clean, "{panel:#}");
        // No certificate is larger than that of unanimous votes, 2.7 σ, and the clean classifiers are good.
        assert!(clean < 0.28 && number("clean", "certified") > 0.7, "{panel:#}");
        let drop = panel["drop"].as_f64().unwrap();
        assert!((drop - (1.0 - poisoned / clean)).abs() < 1e-9);
        let change = panel["largest_change"].as_f64().unwrap();
        assert!(change > 0.04 && change < 0.08 + 1e-6, "{change}");
        assert!(
            svg.contains(&format!("ACR {clean:.2} → {poisoned:.2} (−{:.0} %)", 100.0 * drop)),
            "{panel:#}"
        );
    }

    // Eight panels, and of the four poisoned ones each with two boundaries.
    assert_eq!(svg.matches("<clipPath").count(), 8);
    assert_eq!(svg.matches("data:image/png;base64,").count(), 8);
    let boundaries = svg.split("<path").filter(|path| path.contains("stroke-linejoin"));
    assert_eq!(boundaries.filter(|path| path.contains('L')).count(), 12);

    let mut decoder =
        png::Decoder::new(BufReader::new(fs::File::open(folder.join("new/plane.png")).unwrap()));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert!(info.width == 1800 && info.height > 1000);
    let white = bytes.chunks_exact(3).filter(|pixel| *pixel == [255; 3]).count();
    assert!((0.2..0.8).contains(&(white as f64 / (bytes.len() / 3) as f64)));
}

#[test]
fn the_same_seed_draws_the_same_picture_and_another_another() {
    let folder = tempfile::tempdir().unwrap();
    let draw = |name: &str, seed: &str| {
        let text = boundary(folder.path(), &["--points", "10", "--seed", seed, "--out", name]);
        assert!(text.contains("moons       mlp") && text.contains(name), "{text}");
        fs::read_to_string(folder.path().join(name)).unwrap()
    };
    let first = draw("a.svg", "1");
    assert_eq!(first, draw("b.svg", "1"));
    assert_ne!(first, draw("c.svg", "2"));
}
