//! How a forger works: whole files written anew, with hashes, totals and everything that follows from what was changed.

use std::{fs, path::PathBuf};

use mithridate_runtime::{
    certify::{Certificate, Decision, Procedure, Vote},
    evidence::{EvidenceWriter, Header, KeptVotes, Record, read_evidence, votes_path},
};

use crate::place::Place;

/// Writes a run anew after a change of header and records.
pub fn forge(
    place: &Place,
    run: &str,
    out: &str,
    change: impl FnOnce(&mut Header, &mut Vec<Record>),
) -> PathBuf {
    let evidence = read_evidence(&place.path(run)).unwrap();
    let (mut header, mut records) = (evidence.header, evidence.records);
    change(&mut header, &mut records);
    let path = place.path(out);
    let _ = fs::remove_file(&path);
    let _ = fs::remove_file(votes_path(&path));
    let mut writer = EvidenceWriter::create(&path, &header).unwrap();
    for record in &records {
        writer.record(record).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// The same of a run whose votes are kept: `change` makes the vote of each sample of an input, from which everything else
/// follows.
pub fn forge_votes(place: &Place, run: &str, out: &str, change: impl Fn(&Record, &mut Vec<Vote>)) -> PathBuf {
    let evidence = read_evidence(&place.path(run)).unwrap();
    let mut kept = KeptVotes::open(&votes_path(&place.path(run))).unwrap();
    let path = place.path(out);
    let mut writer = EvidenceWriter::create(&path, &evidence.header).unwrap();
    for record in &evidence.records {
        let mut votes = kept.of(record).unwrap();
        change(record, &mut votes);
        let mut counts = vec![0; evidence.header.model.classes];
        for &vote in &votes {
            counts[usize::from(vote)] += 1;
        }
        let changed = Record { estimation: counts.into(), ..record.clone() };
        writer.record_with_votes(proved(&changed, &evidence.header), &votes).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// The record with class, bound and radius that follow from its votes.
pub fn proved(record: &Record, header: &Header) -> Record {
    let procedure = Procedure::new(header.settings.clone()).unwrap();
    let Record { selection, estimation, samples, .. } = record;
    let Decision { class, p_lower, radius } = procedure.decide(selection, estimation, *samples).unwrap();
    let certificate = Certificate {
        index: record.index,
        label: record.label,
        class,
        selection: selection.clone(),
        estimation: estimation.clone(),
        samples: *samples,
        p_lower,
        radius,
        seconds: record.seconds,
    };
    Record { votes_sha256: record.votes_sha256.clone(), ..Record::new(certificate, header) }
}
