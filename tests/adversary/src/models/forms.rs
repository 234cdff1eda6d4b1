//! Models that are odd and right.

use mithridate_onnx::ElementType;
use mithridate_testkit::zoo;

use super::{Entry, Must};

const KIND: &str = "odd and right";

pub fn all() -> Vec<Entry> {
    let mut with_inputs = zoo::plain(0);
    zoo::constants_as_inputs(&mut with_inputs);
    vec![
        Entry::new(KIND, "the plain classifier", &zoo::plain(0), Must::Votes(0)),
        Entry::new(KIND, "a batch of one in the file", &zoo::plain(1), Must::Votes(2)),
        Entry::new(KIND, "a batch of one in a constant", &zoo::reshaped(1), Must::Votes(2)),
        Entry::new(KIND, "a batch of four in a constant", &zoo::reshaped(4), Must::Votes(2)),
        Entry::new(KIND, "a batch of five that can't be taken out", &zoo::stubborn(5), Must::Votes(2)),
        Entry::new(KIND, "channels last", &zoo::channels_last(), Must::Votes(2)),
        Entry::new(KIND, "float16", &zoo::of_type(ElementType::Float16), Must::Votes(8)),
        Entry::new(KIND, "float64", &zoo::of_type(ElementType::Double), Must::Votes(2)),
        Entry::new(KIND, "8-bit integers, their steps fixed", &zoo::quantised(), Must::Votes(60)),
        Entry::new(KIND, "constants that are inputs too", &with_inputs, Must::Votes(2)),
        Entry::new(
            KIND,
            "values from 0 to 255 by --range",
            &zoo::normalising(&[0.0], &[1.0 / 256.0]),
            Must::Votes(2),
        )
        .flags(&["--range", "0,256"]),
    ]
}
