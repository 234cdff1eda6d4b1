/// An input to certify.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Index in its data set. It is part of the noise key.
    pub index: u64,
    /// True class, if known.
    pub label: Option<usize>,
    /// Values in data-set units, C·H·W of them.
    pub image: Vec<f32>,
}
