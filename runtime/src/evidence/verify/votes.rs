use std::path::Path;

use super::{Verification, in_one_line};
use crate::evidence::KeptVotes;

impl Verification {
    /// Checks the file of kept votes at `path` against the hashes and counts in the evidence. Returns the opened file,
    /// if it can be read.
    pub fn check_votes(&mut self, path: &Path) -> Option<KeptVotes> {
        let mut kept = match KeptVotes::open(path) {
            Ok(kept) => kept,
            Err(error) => {
                self.add(0, in_one_line(&error));
                return None;
            }
        };
        let mut found = Vec::new();
        for (number, record) in self.records.iter().enumerate() {
            if let Err(error) = kept.of(record) {
                found.push((number + 2, in_one_line(&error)));
            }
        }
        if let Err(error) = kept.is_of(&self.records) {
            found.push((0, in_one_line(&error)));
        }
        self.add_all(found);
        self.add_checked(
            "votes",
            "the vote of each estimation sample: hashes and counts, for nobody included",
        );
        Some(kept)
    }
}
