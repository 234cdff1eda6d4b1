//! What was computed honestly is never called into doubt by the second way of computing it.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

use mithridate_runtime::{
    certify::{Certificate, Decision, Procedure, Settings, Votes},
    evidence::{EvidenceWriter, Record, read_evidence, verify},
    noise::Distribution,
    units::Sigma,
};
use mithridate_testkit::{place::place, program::certify};

#[test]
fn every_bound_and_radius_holds_for_any_share_of_votes() {
    let folder = place();
    let root = folder.path();
    assert!(
        certify(root, &["--sigma", "1", "--n", "10", "--out", "run.jsonl"])
            .output()
            .unwrap()
            .status
            .success()
    );
    let header = read_evidence(&root.join("run.jsonl")).unwrap().header;
    let all = [Distribution::Gaussian, Distribution::Uniform, Distribution::QuantizedGaussian];
    for (number, distribution) in all.into_iter().enumerate() {
        for (step, sigma) in [0.12, 0.25, 0.3, 0.7, 1.0].into_iter().enumerate() {
            for n in [200_u64, 100_000] {
                let hits: Vec<u64> = (0..=200).map(|share| n / 2 + share * (n / 2) / 200).collect();
                let mut header = header.clone();
                header.settings =
                    Settings { n, distribution, ..Settings::new(Sigma::new(sigma).unwrap(), 1) };
                header.noise.generator = distribution.generator().into();
                header.subset.count = hits.len() as u64;
                let procedure = Procedure::new(header.settings.clone()).unwrap();
                let path = root.join(format!("{number}-{step}-{n}.jsonl"));
                let mut writer = EvidenceWriter::create(&path, &header).unwrap();
                for (index, &hits) in hits.iter().enumerate() {
                    let (selection, estimation): (Votes, Votes) =
                        (vec![100, 0].into(), vec![hits, n - hits].into());
                    let Decision { class, p_lower, radius } =
                        procedure.decide(&selection, &estimation, n).unwrap();
                    let certificate = Certificate {
                        index: index as u64,
                        label: Some(0),
                        class,
                        selection,
                        estimation,
                        samples: n,
                        p_lower,
                        radius,
                        seconds: 0.0,
                    };
                    writer.record(&Record::new(certificate, &header)).unwrap();
                }
                writer.finish().unwrap();
                let problems = verify(&path).unwrap().problems;
                assert!(problems.is_empty(), "{distribution:?} at {sigma}: {problems:#?}");
            }
        }
    }
}
