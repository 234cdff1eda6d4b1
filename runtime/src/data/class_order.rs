use super::{DataError, Dataset, idx::labels_sha256};

/// How the class names of a data set relate to those of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassOrder {
    /// They are equal, or one side has no names.
    Same,
    /// They were in another order, or the data set had fewer; the labels were changed to the model's class indices.
    Renumbered,
    /// No name is common to both, or the model's names are not unique; the labels are unchanged.
    Unrelated,
}

impl Dataset {
    /// Changes the labels to the class indices of a model whose outputs have the class names `names`, if the data set
    /// has class names too. Folders of images are numbered in the order of their names, which need not be the order
    /// with which a model was trained. The order of the images does not change.
    ///
    /// # Errors
    /// [`DataError::ClassNames`] if some class names of the data set are among `names` and others are not.
    ///
    /// ```no_run
    /// use mithridate_runtime::data::{ClassOrder, Dataset, Split};
    ///
    /// // Folders cat and dog: labels 0 and 1.
    /// let mut data = Dataset::open("pets".as_ref(), Split::Test)?;
    /// let order = data.order_classes(&["dog".into(), "cat".into()])?;
    /// assert_eq!((order, data.labels()[0]), (ClassOrder::Renumbered, 1));
    /// # Ok::<(), mithridate_runtime::data::DataError>(())
    /// ```
    pub fn order_classes(&mut self, names: &[String]) -> Result<ClassOrder, DataError> {
        let Some(own) = self.class_names.take() else { return Ok(ClassOrder::Same) };
        let numbers: Vec<Option<usize>> =
            own.iter().map(|name| names.iter().position(|other| other == name)).collect();
        let is_ambiguous = names.iter().enumerate().any(|(at, name)| names[..at].contains(name));
        if names.is_empty() || names == own || is_ambiguous || numbers.iter().all(Option::is_none) {
            let is_same = names.is_empty() || names == own;
            self.class_names = Some(own);
            return Ok(if is_same { ClassOrder::Same } else { ClassOrder::Unrelated });
        }
        let mut labels = Vec::with_capacity(own.len());
        for (name, number) in own.iter().zip(&numbers) {
            let Some(label) = number.and_then(|number| u16::try_from(number).ok()) else {
                let problem = DataError::ClassNames {
                    path: self.path.clone(),
                    name: name.clone(),
                    others: names.to_vec(),
                };
                self.class_names = Some(own);
                return Err(problem);
            };
            labels.push(label);
        }
        let is_renumbered = labels.iter().zip(0..).any(|(&label, before)| label != before);
        for label in &mut self.labels {
            // A label without a name keeps its number.
            *label = labels.get(usize::from(*label)).copied().unwrap_or(*label);
        }
        self.rehash_labels();
        self.class_names = Some(names.to_vec());
        Ok(if is_renumbered { ClassOrder::Renumbered } else { ClassOrder::Same })
    }

    /// Replaces each label by its index in `class_labels`, the labels that a model has for its outputs. For a model with
    /// the labels 3, 5 and 8, label 5 becomes class 1.
    ///
    /// Returns whether labels were replaced. They are not if the data set has class names, or if `class_labels` is
    /// empty or contains anything but integers.
    ///
    /// # Errors
    /// [`DataError::ClassLabel`] if the data set has a label that is not in `class_labels`.
    pub fn number_by(&mut self, class_labels: &[String]) -> Result<bool, DataError> {
        let numbers: Option<Vec<i64>> = class_labels.iter().map(|label| label.parse().ok()).collect();
        let (Some(numbers), None) = (numbers.filter(|list| !list.is_empty()), &self.class_names) else {
            return Ok(false);
        };
        let class_of = |(index, &label): (usize, &u16)| {
            let class = numbers.iter().position(|&number| number == i64::from(label));
            class.and_then(|class| u16::try_from(class).ok()).ok_or_else(|| DataError::ClassLabel {
                path: self.path.clone(),
                index,
                label,
                others: class_labels.to_vec(),
            })
        };
        self.labels = self.labels.iter().enumerate().map(class_of).collect::<Result<_, _>>()?;
        self.rehash_labels();
        self.class_names = Some(class_labels.to_vec());
        Ok(true)
    }

    fn rehash_labels(&mut self) {
        // CIFAR files contain images and labels, and are hashed as a whole.
        if self.labels_sha256 != self.images_sha256 && !self.labels.is_empty() {
            self.labels_sha256 = labels_sha256(&self.labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn data(names: &[&str], labels: &[u16]) -> Dataset {
        Dataset {
            pixels: vec![0; labels.len()],
            shape: [1, 1, 1],
            labels: labels.to_vec(),
            class_names: Some(names.iter().map(|&name| name.into()).collect()),
            notes: Vec::new(),
            path: PathBuf::from("pets"),
            images_sha256: "images".into(),
            labels_sha256: labels_sha256(labels),
        }
    }

    fn ordered(data: &mut Dataset, names: &[&str]) -> Result<ClassOrder, String> {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        data.order_classes(&names).map_err(|error| error.to_string())
    }

    #[test]
    fn labels_become_the_numbers_of_the_other_side() {
        let mut pets = data(&["ant", "cat", "dog"], &[0, 1, 1, 2]);
        assert_eq!(ordered(&mut pets, &["dog", "eel", "ant", "cat"]), Ok(ClassOrder::Renumbered));
        assert_eq!(pets.labels(), [2, 3, 3, 0]);
        assert_eq!(pets.labels_sha256, labels_sha256(&[2, 3, 3, 0]));
        assert_eq!(pets.class_names().unwrap(), ["dog", "eel", "ant", "cat"]);
        // Renumbering a second time changes nothing.
        assert_eq!(ordered(&mut pets, &["dog", "eel", "ant", "cat"]), Ok(ClassOrder::Same));
        assert_eq!(pets.labels(), [2, 3, 3, 0]);
    }

    #[test]
    fn what_has_no_names_in_common_stays_as_it_is() {
        for (names, order) in [
            (&[][..], ClassOrder::Same),
            (&["ant", "cat"], ClassOrder::Same),
            (&["0", "1"], ClassOrder::Unrelated),
            (&["cat", "cat", "ant"], ClassOrder::Unrelated),
        ] {
            let mut pets = data(&["ant", "cat"], &[0, 1]);
            assert_eq!(ordered(&mut pets, names), Ok(order), "{names:?}");
            assert_eq!(
                (pets.labels(), pets.class_names().unwrap()),
                (&[0, 1][..], vec!["ant".into(), "cat".into()])
            );
        }
        let mut more = data(&["ant", "cat"], &[0, 1]);
        assert_eq!(ordered(&mut more, &["ant", "cat", "dog"]), Ok(ClassOrder::Same));
        assert_eq!(more.class_names().unwrap().len(), 3);
    }

    #[test]
    fn names_of_which_only_some_are_known_are_refused() {
        let mut pets = data(&["ant", "cat"], &[0, 1]);
        let text = ordered(&mut pets, &["cat", "dog"]).unwrap_err();
        assert_eq!(
            text,
            "the class ant of pets is not a class of the model (cat, dog), but others are; rename or remove its folder"
        );
        assert_eq!(pets.labels(), [0, 1]);
    }

    #[test]
    fn labels_become_the_places_of_the_class_labels_of_a_model() {
        let labels: Vec<String> = ["3", "5", "8"].map(Into::into).to_vec();
        let mut digits = Dataset { class_names: None, ..data(&[], &[5, 8, 3, 3]) };
        assert!(digits.number_by(&labels).unwrap());
        assert_eq!((digits.labels(), digits.class_names().unwrap()), (&[1, 2, 0, 0][..], labels.clone()));
        assert_eq!(digits.labels_sha256, labels_sha256(&[1, 2, 0, 0]));
        let mut others = Dataset { class_names: None, ..data(&[], &[3, 0]) };
        let text = others.number_by(&labels).unwrap_err().to_string();
        assert!(
            text.starts_with(
                "label 0 of image 1 in pets is not among the class labels of the model (3, 5, 8)"
            ),
            "{text}"
        );
        // A data set with class names is not renumbered by class labels.
        assert!(!data(&["3", "5"], &[0, 1]).number_by(&labels).unwrap());
        let names: Vec<String> = ["cat", "dog"].map(Into::into).to_vec();
        assert!(!Dataset { class_names: None, ..data(&[], &[0, 1]) }.number_by(&names).unwrap());
    }
}
