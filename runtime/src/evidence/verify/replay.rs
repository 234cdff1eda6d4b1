use serde::Serialize;

use crate::{
    certify::{CountedVotes, Vote, Votes},
    evidence::{Record, votes::sha256_of_votes},
};

/// Replay of an input: its recorded noise was drawn again from its keys and run through the model, and the votes
/// compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    /// Index of the input.
    pub index: u64,
    /// Lower limit of the number of samples whose votes differ.
    pub differing: u64,
    /// Number of samples that were replayed.
    pub samples: u64,
}

/// Compares the votes of `record` with `again`, the votes of a replay of the same noise with `n0` selection samples. If
/// `n0` is 0, as in a recertification, where the earlier model selected the class, only estimation votes are compared.
pub fn replayed(record: &Record, again: &CountedVotes, n0: u64) -> Replay {
    let selection = if n0 == 0 { 0 } else { moved(&record.selection, &again.selection) };
    let differing = selection.saturating_add(moved(&record.estimation, &again.estimation));
    Replay { index: record.index, differing, samples: n0.saturating_add(record.samples) }
}

impl Replay {
    /// Compares kept votes with those of the replay, sample by sample. This finds differences that leave the counts
    /// unchanged.
    pub fn compare(&mut self, kept: &[Vote], again: &[Vote]) {
        let differing = kept.iter().zip(again).filter(|(before, after)| before != after).count();
        let differing = differing + kept.len().abs_diff(again.len());
        self.differing = self.differing.max(differing as u64);
    }

    /// Compares the hash of the kept votes in `record` with that of the replayed votes `again`, if the file of kept votes
    /// is missing. All estimation samples must have been replayed. Votes that differ have another hash in any case, so
    /// the hash gives new information only if no differing vote is known.
    pub fn compare_hash(&mut self, record: &Record, again: &[Vote]) {
        let Some(hash) = &record.votes_sha256 else { return };
        if self.differing == 0 && *hash != sha256_of_votes(again) {
            self.differing = 1;
        }
    }
}

/// The smallest number of votes that must change to turn the counts `before` into `after`. Votes for nobody are counted
/// by reason.
pub(super) fn moved(before: &Votes, after: &Votes) -> u64 {
    let classes = before.by_class().len().max(after.by_class().len());
    let at = |votes: &Votes, class: usize| votes.by_class().get(class).copied().unwrap_or(0);
    let nobody = |votes: &Votes| {
        let nobody = votes.nobody();
        [nobody.ties, nobody.infinite, nobody.not_a_number]
    };
    let pairs = (0..classes).map(|class| (at(before, class), at(after, class)));
    let pairs = pairs.chain(nobody(before).into_iter().zip(nobody(after)));
    let (lost, gained) = pairs.fold((0_u64, 0_u64), |(lost, gained), (before, after)| {
        let lost = lost.saturating_add(before.saturating_sub(after));
        (lost, gained.saturating_add(after.saturating_sub(before)))
    });
    lost.max(gained)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certify::TIE;

    #[test]
    fn moved_votes_are_counted_and_votes_for_nobody_are_votes() {
        let votes = |by_class: [u64; 2], ties: u64| -> Votes {
            serde_json::from_value(serde_json::json!({ "by_class": by_class, "ties": ties })).unwrap()
        };
        assert_eq!(moved(&votes([90, 10], 0), &votes([90, 10], 0)), 0);
        assert_eq!(moved(&votes([90, 10], 0), &votes([88, 10], 2)), 2);
        assert_eq!(moved(&votes([90, 10], 0), &votes([80, 20], 0)), 10);
        assert_eq!(moved(&votes([u64::MAX, 10], u64::MAX), &votes([0, 0], 0)), u64::MAX);
    }

    #[test]
    fn votes_in_other_places_differ() {
        let mut replay = Replay { index: 0, differing: 0, samples: 4 };
        replay.compare(&[0, 1, 1, TIE], &[1, 0, 1, TIE]);
        assert_eq!(replay.differing, 2);
        replay.compare(&[0], &[0, 1]);
        assert_eq!(replay.differing, 2);
    }
}
