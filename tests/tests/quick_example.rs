//! The quick example on real MNIST does what the README says of it.

#![allow(clippy::unwrap_used)]

use mithridate_testkit::program::workspace;
use mithridate_tests::command;
use serde_json::Value;

#[test]
fn poison_takes_much_of_the_certified_radius_and_leaves_test_accuracy() {
    if !workspace().join("data/mnist/train-images-idx3-ubyte").is_file() {
        eprintln!("skipped: there is no MNIST in data/mnist; `python3 scripts/setup.py mnist` fetches it");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = command("pacd")
        .current_dir(workspace())
        .args(["experiment", "examples/mnist-quick.toml", "--json", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{results:#}");
    let drop =
        |kind: &str, group: &str| results["victims"][kind][group]["relative_drop"]["value"].as_f64().unwrap();
    let accuracy = |kind: &str| results["victims"][kind]["test_accuracy_mean"].as_f64().unwrap();
    let (poison, random) = (drop("poison", "target"), drop("random", "target"));
    // Below what the README reports (0.49, and 3.2 times random), since processors differ in how they round and three
    // victims of a kind are few.
    assert!(poison >= 0.3, "the drop is {poison}");
    assert!(poison >= 1.5 * random, "poison {poison} against random {random}");
    assert!(drop("poison", "others").abs() < 0.1, "the other classes are left alone");
    assert!((accuracy("poison") - accuracy("clean")).abs() <= 0.015, "test accuracy stays");
}
