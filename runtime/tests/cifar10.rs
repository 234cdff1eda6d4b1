//! The real CIFAR-10, where `python3 scripts/setup.py cifar10` has put it, is what the literature says of it.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use mithridate_runtime::data::{Dataset, Split};

#[test]
fn statistics_are_those_published() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/cifar10");
    if !folder.join("test_batch.bin").is_file() {
        eprintln!(
            "skipped: there is no CIFAR-10 in data/cifar10; `python3 scripts/setup.py cifar10` fetches it"
        );
        return;
    }
    let train = Dataset::open(&folder, Split::Train).unwrap();
    let test = Dataset::open(&folder, Split::Test).unwrap();
    assert_eq!((train.len(), test.len(), train.shape()), (50_000, 10_000, [3, 32, 32]));
    let names = "airplane automobile bird cat deer dog frog horse ship truck";
    assert_eq!(train.class_names().unwrap().join(" "), names);
    let counts = |data: &Dataset| {
        let mut counts = [0; 10];
        data.labels().iter().for_each(|&label| counts[usize::from(label)] += 1);
        counts
    };
    assert_eq!((counts(&train), counts(&test)), ([5000; 10], [1000; 10]));
    // A frog and two trucks, a cat and two ships come first.
    assert_eq!((&train.labels()[..3], &test.labels()[..3]), (&[6, 9, 9][..], &[3, 8, 8][..]));
    assert_eq!(test.images_sha256, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b");
    assert_eq!(train.images_sha256, "a0181da372c0d63a5920fdbea2ec3f83ecbc552d378218e1cb473cf634941a3b");

    // Mean and standard deviation of red, green, blue in the training images, as preprocessing uses them everywhere.
    for (channel, (mean, deviation)) in
        [(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)].into_iter().enumerate()
    {
        let (mut sum, mut squares) = (0_u64, 0_u64);
        for index in 0..train.len() {
            for &value in &train.pixels(index)[1024 * channel..1024 * (channel + 1)] {
                sum += u64::from(value);
                squares += u64::from(value).pow(2);
            }
        }
        let count = (1024 * train.len()) as f64;
        let found = sum as f64 / count;
        assert!((found / 255.0 - mean).abs() < 5e-5, "mean {channel}: {}", found / 255.0);
        let found = (squares as f64 / count - found * found).sqrt() / 255.0;
        assert!((found - deviation).abs() < 1e-4, "deviation {channel}: {found}");
    }
}
