//! Labels that a model returns besides its scores: whether they agree with the largest scores, and the labels of the
//! classes.

use std::collections::{BTreeMap, BTreeSet};

use mithridate_onnx::{Dim, ElementType, ModelSummary, OnnxError, find_labels, messages::ModelProto};

/// An output with a label for each input.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    /// Name of the output.
    pub output: String,
    pub element_type: ElementType,
    /// The labels in the order of the scores, if the model lists them.
    pub listed: Option<Vec<String>>,
}

impl Labels {
    /// The outputs of a model that have labels.
    pub fn of(model: &ModelProto, summary: &ModelSummary, scores: &str) -> Result<Vec<Self>, OnnxError> {
        let mut found = Vec::new();
        for output in summary.outputs.iter().filter(|output| output.name != scores) {
            let is_label =
                matches!(output.element_type, ElementType::Int64 | ElementType::Int32 | ElementType::String);
            let is_one = output.shape.as_deref().is_none_or(|shape| {
                shape.iter().skip(1).all(|dim| matches!(dim, Dim::Fixed(1) | Dim::Symbolic(_)))
            });
            if is_label
                && is_one
                && let Some(labels) = find_labels(model, &output.name)?
            {
                let (output, element_type) = (output.name.clone(), output.element_type);
                found.push(Self { output, element_type, listed: labels.labels });
            }
        }
        Ok(found)
    }

    /// Compares labels with the class of the largest score of each input; inputs with a tie are skipped. Returns the
    /// labels of the classes, in the order of the scores; `None` if they are 0, 1, 2, ….
    ///
    /// # Errors
    /// A sentence about the model that says what is wrong.
    pub fn compare(
        &self,
        scores: &str,
        classes: usize,
        largest: &[Option<usize>],
        labels: &[String],
    ) -> Result<Option<Vec<String>>, String> {
        let output = &self.output;
        let numbers = || (0..classes).map(|class| class.to_string()).collect::<Vec<_>>();
        if let Some(listed) = &self.listed
            && listed.len() != classes
        {
            return Err(format!(
                "its output {output} has {} possible labels, and its output {scores} has {classes} columns, so these are \
                 not scores of the classes (perhaps of pairs of classes); export it with one score for each class",
                listed.len()
            ));
        }
        let pairs: Vec<(usize, &str)> = largest
            .iter()
            .zip(labels)
            .filter_map(|(class, label)| Some(((*class)?, label.as_str())))
            .collect();
        let differing =
            |names: &[String]| pairs.iter().filter(|(class, label)| names[*class] != *label).count();
        if let Some(listed) = &self.listed {
            let differing = differing(listed);
            let is_plain = *listed == numbers();
            return if differing > 0 {
                Err(contradiction(output, scores, differing, pairs.len()))
            } else {
                Ok((!is_plain).then(|| listed.clone()))
            };
        }
        let differing = differing(&numbers());
        if differing == 0 {
            return Ok(None);
        }
        // Without a list, the labels seen are used if each class has one label and each label one class.
        let mut names: BTreeMap<usize, &str> = BTreeMap::new();
        let is_one_to_one = pairs.iter().all(|(class, label)| names.entry(*class).or_insert(label) == label)
            && names.values().collect::<BTreeSet<_>>().len() == names.len();
        if !is_one_to_one {
            return Err(contradiction(output, scores, differing, pairs.len()));
        }
        if names.len() == classes {
            return Ok(Some(names.into_values().map(str::to_owned).collect()));
        }
        let (class, label) =
            pairs.iter().find(|(class, label)| class.to_string() != *label).copied().unwrap_or_default();
        Err(format!(
            "its output {output} is {label} where score {class} of its output {scores} is the largest, and the labels of the \
             other classes are not known; export it with the list of its class labels, or without the output {output}"
        ))
    }
}

fn contradiction(output: &str, scores: &str, differing: usize, all: usize) -> String {
    format!(
        "its output {output} contradicts its output {scores}: for {differing} of {all} inputs the label is not the class \
         with the largest score, so that a certificate for that class would not be valid for the label; export it with \
         scores that determine the label, or without the output {output}"
    )
}

/// The class with the largest score of each row; `None` if two are equal or one is NaN.
pub(super) fn largest(rows: &[f32], classes: usize) -> Vec<Option<usize>> {
    rows.chunks(classes)
        .map(|row| {
            let class = usize::from(crate::backend::vote(row));
            (class < classes).then_some(class)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(
        listed: Option<&[&str]>,
        classes: usize,
        pairs: &[(usize, &str)],
    ) -> Result<Option<Vec<String>>, String> {
        let listed = listed.map(|list| list.iter().map(|&text| text.into()).collect());
        let labels = Labels { output: "label".into(), element_type: ElementType::Int64, listed };
        let (largest, texts): (Vec<_>, Vec<_>) =
            pairs.iter().map(|&(class, text)| (Some(class), text.to_owned())).unzip();
        labels.compare("scores", classes, &largest, &texts)
    }

    #[test]
    fn labels_of_the_largest_scores_name_the_classes() {
        assert_eq!(compare(None, 3, &[(0, "0"), (2, "2")]), Ok(None));
        assert_eq!(compare(Some(&["0", "1"]), 2, &[(0, "0")]), Ok(None));
        let three = Ok(Some(vec!["3".into(), "5".into(), "8".into()]));
        assert_eq!(compare(Some(&["3", "5", "8"]), 3, &[(1, "5")]), three);
        assert_eq!(compare(None, 3, &[(1, "5"), (0, "3"), (2, "8"), (1, "5")]), three);
    }

    #[test]
    fn others_are_refused() {
        for (listed, classes, pairs, expected) in [
            (None, 2, &[(0, "1"), (1, "0"), (0, "0")][..], "for 2 of 3 inputs the label is not the class"),
            (Some(&["0", "1"][..]), 2, &[(0, "1"), (1, "0")], "for 2 of 2 inputs"),
            (Some(&["0", "1", "2"]), 3, &[(0, "0"), (1, "2")], "for 1 of 2 inputs"),
            (Some(&["0", "1", "2"]), 45, &[], "has 3 possible labels, and its output scores has 45 columns"),
            (None, 3, &[(0, "1"), (1, "2")], "is 1 where score 0 of its output scores is the largest"),
            (None, 3, &[(0, "7"), (1, "7")], "for 2 of 2 inputs"),
        ] {
            let text = compare(listed, classes, pairs).unwrap_err();
            assert!(text.contains(expected), "{text}");
        }
    }
}
