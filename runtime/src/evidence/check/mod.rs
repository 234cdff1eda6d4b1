//! Checks of every evidence file that is read: its settings must be valid, and its numbers must follow from its votes.

mod header;
mod recertification;
mod record;
mod second_check;

pub(super) use header::check_header;
pub(super) use recertification::ReplayedHits;
pub(super) use record::check_record;

/// A class as text for messages.
pub(super) fn in_words(class: Option<usize>) -> String {
    class.map_or_else(|| "none".to_owned(), |class| class.to_string())
}
