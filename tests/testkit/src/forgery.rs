//! How a forger works: whole files written anew, with hashes, totals and everything that follows from what was changed.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use mithridate_runtime::{
    certify::{Decision, Procedure, Vote},
    evidence::{EvidenceError, EvidenceWriter, Header, KeptVotes, Record, read_evidence, votes_path},
};

use crate::place::Place;

/// Writes the run in `from` anew as `to` after a change of header and records.
///
/// # Errors
/// If `from` is no evidence, or `to` is there or can't be written.
pub fn rewrite(
    from: &Path,
    to: &Path,
    change: impl FnOnce(&mut Header, &mut Vec<Record>),
) -> Result<(), EvidenceError> {
    let evidence = read_evidence(from)?;
    let (mut header, mut records) = (evidence.header, evidence.records);
    change(&mut header, &mut records);
    let mut writer = EvidenceWriter::create(to, &header)?;
    for record in &records {
        writer.record(record)?;
    }
    writer.finish()?;
    Ok(())
}

/// [Rewrites](rewrite) a run of a place as `out`, over what is there.
pub fn forge(
    place: &Place,
    run: &str,
    out: &str,
    change: impl FnOnce(&mut Header, &mut Vec<Record>),
) -> PathBuf {
    let path = place.path(out);
    let _ = fs::remove_file(&path);
    let _ = fs::remove_file(votes_path(&path));
    rewrite(&place.path(run), &path, change).unwrap();
    path
}

/// Writes a run of a place whose votes are kept anew as `out`: `change` makes the vote of each sample of an input, from
/// which everything else follows.
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

/// Sets class, bound and radius to what follows from the votes of the record.
///
/// # Errors
/// If the header has settings, or the record has votes, that no run can have; the record is as it was then.
pub fn prove(record: &mut Record, header: &Header) -> Result<(), Box<dyn Error>> {
    let procedure = Procedure::new(header.settings.clone())?;
    let Decision { class, p_lower, radius } =
        procedure.decide(&record.selection, &record.estimation, record.samples)?;
    (record.class, record.p_lower, record.radius) = (class, p_lower, radius.unwrap_or(0.0));
    record.radii = radius.map(|radius| header.radii(radius));
    record.abstained = radius.is_none();
    Ok(())
}

/// The record with class, bound and radius that follow from its votes alone, without those of an earlier model.
pub fn proved(record: &Record, header: &Header) -> Record {
    let mut record = Record { change: None, ..record.clone() };
    prove(&mut record, header).unwrap();
    record
}
