use serde::Serialize;

/// Kind of values of an output. The class with the largest value is the same for all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Any numbers.
    Logits,
    /// Numbers from 0 to 1 that sum to 1.
    Probabilities,
    /// Logarithms of probabilities.
    #[serde(rename = "log-probabilities")]
    LogProbabilities,
}

impl OutputKind {
    /// Name of the kind in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
            Self::LogProbabilities => "log-probabilities",
        }
    }

    /// Determines the kind from rows of output.
    pub(super) fn of<'a>(mut rows: impl Iterator<Item = &'a [f32]> + Clone) -> Self {
        let sums_to_one = |values: f32| (values - 1.0).abs() < 1e-2;
        if rows
            .clone()
            .all(|row| row.iter().all(|v| (0.0..=1.0).contains(v)) && sums_to_one(row.iter().sum()))
        {
            Self::Probabilities
        } else if rows
            .all(|row| row.iter().all(|&v| v <= 0.0) && sums_to_one(row.iter().map(|v| v.exp()).sum()))
        {
            Self::LogProbabilities
        } else {
            Self::Logits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_output_are_told_apart() {
        let kind = |rows: &[&[f32]]| OutputKind::of(rows.iter().copied());
        assert_eq!(kind(&[&[0.25, 0.75], &[1.0, 0.0]]), OutputKind::Probabilities);
        assert_eq!(kind(&[&[0.25_f32.ln(), 0.75_f32.ln()]]), OutputKind::LogProbabilities);
        assert_eq!(kind(&[&[0.25, 0.75], &[1.0, 2.0]]), OutputKind::Logits);
        assert_eq!(kind(&[&[f32::NAN, 1.0]]), OutputKind::Logits);
    }
}
