use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    Evidence, EvidenceError, EvidenceWriter, Footer, Header, KeptVotes,
    encode::{Difference, differences},
    read_evidence, votes_path,
};
use crate::files;

/// Largest number of missing shards that are listed one by one.
const MOST_LISTED: usize = 10;

/// Merges the evidence files of all [shards](super::Shard) of a run into the evidence of the whole run, `out`. Except
/// for times, the result has the same lines and chain value as an undivided run; machine and plan are those of the
/// first shard. Kept votes are merged too.
///
/// # Errors
/// [`EvidenceError::OtherParts`] with all problems if a file is not a shard, a shard is duplicated or missing, or
/// shards are of different runs; any error of reading a shard; [`EvidenceError::Taken`] or [`EvidenceError::Write`] for
/// `out`, which then does not exist.
pub fn merge(parts: &[PathBuf], out: &Path) -> Result<Footer, EvidenceError> {
    for place in [out, &votes_path(out)] {
        if place.exists() {
            return Err(EvidenceError::Taken { path: place.to_owned() });
        }
    }
    let evidence = parts.iter().map(|path| read_evidence(path)).collect::<Result<Vec<_>, _>>()?;
    let problems = problems(parts, &evidence)
        .map_err(|error| EvidenceError::Write { path: out.to_owned(), source: error.into() })?;
    if !problems.is_empty() {
        return Err(EvidenceError::OtherParts { problems });
    }
    let mut in_order: Vec<&Evidence> = evidence.iter().collect();
    in_order.sort_by_key(|part| part.header.shard);
    let Some(first) = in_order.first() else {
        return Err(EvidenceError::OtherParts { problems: vec!["no file is given".into()] });
    };
    let started = evidence.iter().map(|part| part.header.started).min().unwrap_or_default();
    let header = Header { shard: None, started, ..first.header.clone() };
    let mut kept = parts
        .iter()
        .filter(|_| header.keeps_votes)
        .map(|part| KeptVotes::open(&votes_path(part)))
        .collect::<Result<Vec<_>, _>>()?;
    // Write to a temporary folder, so that an incomplete file never looks like a run.
    let write_error = |source| EvidenceError::Write { path: out.to_owned(), source };
    let of_out = |error| match error {
        EvidenceError::Write { source, .. } => write_error(source),
        other => other,
    };
    let folder = files::folder_beside(out).map_err(write_error)?;
    let joined = folder.path().join("run");
    let mut writer = EvidenceWriter::create(&joined, &header).map_err(of_out)?;
    let places: Vec<usize> = {
        let mut places: Vec<usize> = (0..parts.len()).collect();
        places.sort_by_key(|&place| evidence[place].header.shard);
        places
    };
    let mut records: Vec<_> = in_order.iter().map(|part| part.records.iter()).collect();
    let parts = records.len();
    for position in 0..usize::try_from(header.subset.count).unwrap_or(usize::MAX) {
        // Every shard has the number of records that its header declares; otherwise reading it would have failed.
        let part = position % parts;
        if let Some(record) = records[part].next() {
            let votes = match kept.get_mut(places[part]) {
                Some(kept) => kept.of(record)?,
                None => Vec::new(),
            };
            writer.record_with_votes(record.clone(), &votes).map_err(of_out)?;
        }
    }
    let footer = writer.finish().map_err(of_out)?;
    if header.keeps_votes {
        fs::rename(votes_path(&joined), votes_path(out)).map_err(write_error)?;
    }
    fs::rename(&joined, out).map_err(write_error)?;
    Ok(footer)
}

/// All reasons why the files are not the shards of one run.
fn problems(paths: &[PathBuf], parts: &[Evidence]) -> serde_json::Result<Vec<String>> {
    let mut problems = Vec::new();
    let named = || paths.iter().map(|path| path.display()).zip(parts);
    for (name, part) in named().filter(|(_, part)| part.header.shard.is_none()) {
        problems.push(format!("{name} is a whole run of {} inputs and not a part", part.records.len()));
    }
    let mut sharded = named().filter_map(|(name, part)| Some((name, &part.header, part.header.shard?)));
    let Some((first_name, first, first_shard)) = sharded.next() else { return Ok(problems) };
    for (name, header, shard) in sharded {
        for Difference { name: setting, left, right } in differences(first, header)? {
            problems.push(format!("{name}: its {setting} is {right}, and {left} in {first_name}"));
        }
        if shard.of() != first_shard.of() {
            let (of, first_of) = (shard.of(), first_shard.of());
            problems.push(format!("{name} is one of {of} parts, and {first_name} one of {first_of}"));
        }
    }
    let mut holders: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (name, part) in named() {
        if let Some(shard) = part.header.shard {
            holders.entry(shard.number()).or_default().push(name.to_string());
        }
    }
    let of = first_shard.of();
    for (number, names) in holders.iter().filter(|(_, names)| names.len() > 1) {
        problems.push(format!("part {number}/{of} is given more than once: {}", names.join(", ")));
    }
    let missing = of.saturating_sub(holders.len() as u64);
    let first_missing = (1..=of).filter(|number| !holders.contains_key(number)).take(MOST_LISTED);
    problems.extend(first_missing.map(|number| format!("part {number}/{of} is missing")));
    if missing > MOST_LISTED as u64 {
        problems.push(format!("{} other parts are missing", missing - MOST_LISTED as u64));
    }
    Ok(problems)
}
