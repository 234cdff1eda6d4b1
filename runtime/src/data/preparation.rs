use serde::{Deserialize, Serialize};

/// What is done with the images of files before anything else; they must come out at one size.
///
/// ```
/// use mithridate_runtime::data::Preparation;
/// // As classifiers of ImageNet are tested.
/// let preparation = Preparation { resize: Some(256), crop: Some(224) };
/// assert_eq!(preparation.to_string(), "resize 256, crop 224");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// Pixels of the shorter side after resizing, the longer side rounded down; linear interpolation, over the area
    /// that a new pixel covers where the image shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<u32>,
    /// Side of the square cut from the middle, after resizing; where the middle falls between two pixels, the one
    /// nearer to the left or top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<u32>,
}

impl Preparation {
    /// Whether nothing is done.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for Preparation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps = [("resize", self.resize), ("crop", self.crop)];
        let words: Vec<String> =
            steps.iter().filter_map(|(name, side)| side.map(|side| format!("{name} {side}"))).collect();
        f.write_str(if words.is_empty() { "none" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}
