//! What every evidence file is asked, wherever it is read: whether its numbers can be, and follow from its votes.

mod header;
mod otherwise;
mod recertification;
mod record;

pub(super) use header::check_header;
pub(super) use recertification::ReplayedHits;
pub(super) use record::check_record;

/// A class as a sentence has it.
pub(super) fn in_words(class: Option<usize>) -> String {
    class.map_or_else(|| "none".to_owned(), |class| class.to_string())
}
