use super::{Verification, model::listed};
use crate::{
    data::{ClassOrder, DataError, Dataset},
    evidence::{Header, check::in_words},
};

impl Verification {
    /// Checks that `data` is the certified data set, that the records are of the inputs of the header's input subset,
    /// in order, and that labels and class names are right.
    ///
    /// Changes the labels of `data` to the numbering of the run: to the class names in the metadata of the model if
    /// [`check_model`](Self::check_model) was called before, else to those in the header, if possible.
    pub fn check_data(&mut self, data: &mut Dataset) {
        let Some(header) = self.header.clone() else { return };
        self.check_numbering(&header, data);
        self.check_content(&header, data);
        self.check_selected(&header, data);
        let what = if header.data.labels_sha256.is_empty() {
            "SHA-256 of the images, and the selected inputs; their true classes are not known"
        } else {
            "SHA-256 of images and labels, the selected inputs, and their labels"
        };
        self.add_checked("data", what);
        self.sort();
    }

    /// Numbers the classes of the data and compares the resulting class names with those of the header. The header is
    /// not trusted: other names would mean other labels.
    fn check_numbering(&mut self, header: &Header, data: &mut Dataset) {
        let named = &header.data.class_names;
        let own = data.class_names().unwrap_or_default();
        let numbered = match &self.model_class_names {
            Some(names) => data.order_classes(names),
            None => data.order_classes(named),
        };
        match (numbered, self.model_class_names.is_some()) {
            (Err(error @ DataError::ClassNames { .. }), _) => self.add(1, error.to_string()),
            (Err(error), _) => self.add(1, format!("the classes of the data can't be numbered as in the run: {error}")),
            (Ok(ClassOrder::Renumbered), false) => self.add_not_checked(
                "names of classes",
                format!(
                    "the classes are {} in the run, and {} in the data; to check that the order in the run is that of the \
                     model, give `model`",
                    listed(named),
                    listed(&own)
                ),
            ),
            (Ok(_), false) if !own.is_empty() => self
                .add_not_checked("names of classes", "that the model has its classes in this order: give `model`"),
            (Ok(_), _) => {}
        }
        let found = data.class_names().unwrap_or_default();
        // The class names of CIFAR are in a separate file, which may be missing here. Without names nothing is
        // renumbered.
        let is_cifar = data.images_sha256 == data.labels_sha256;
        if found.is_empty() && !named.is_empty() && is_cifar {
            if self.model_class_names.as_ref() != Some(named) {
                self.add_not_checked(
                    "names of classes",
                    format!("they are {} in the run, and the given data have none", listed(named)),
                );
            }
        } else if found != *named {
            let words = |names: &[String]| {
                if names.is_empty() { "without names".to_owned() } else { listed(names) }
            };
            self.add(
                1,
                format!(
                    "the classes of the data are {}, and those of the run are {}",
                    words(&found),
                    words(named)
                ),
            );
        }
    }

    fn check_content(&mut self, header: &Header, data: &Dataset) {
        let source = &header.data;
        for (what, found, expected) in [
            ("images", &data.images_sha256, &source.images_sha256),
            ("labels", &data.labels_sha256, &source.labels_sha256),
        ] {
            let problem = match (found.as_str(), expected.as_str()) {
                (found, expected) if found == expected => continue,
                ("", _) => format!("the data have no {what}, and the certified data had {what}"),
                (_, "") => format!("the data have {what}, and the certified data had none"),
                (found, expected) => format!(
                    "the SHA-256 of the {what} is {found}, and that of the certified {what} is {expected}"
                ),
            };
            self.add(1, problem);
        }
        if data.shape() != source.shape {
            let problem = format!(
                "the images have shape {:?}, and the certified images had shape {:?}",
                data.shape(),
                source.shape
            );
            self.add(1, problem);
        }
    }

    fn check_selected(&mut self, header: &Header, data: &Dataset) {
        let mut selected = header.subset.indices(data);
        if selected.len() as u64 != header.subset.count {
            let problem = format!(
                "the selection has {} inputs in these data, and the header states {}",
                selected.len(),
                header.subset.count
            );
            self.add(1, problem);
        }
        if header.challenge.is_some() && header.subset.clone().in_normal_form(data) != header.subset {
            self.add(
                1,
                "its selection is not in the shortest form, in which `rscert` writes it: so the seed could have been chosen"
                    .into(),
            );
        }
        if let Some(shard) = header.shard {
            let all = selected;
            selected = shard.positions(all.len() as u64).map(|position| all[position as usize]).collect();
        }
        let mut found = Vec::new();
        for (number, record) in self.records.iter().enumerate() {
            let line = number + 2;
            match selected.get(number) {
                Some(&index) if index == record.index => {}
                Some(index) => {
                    found.push((
                        line,
                        format!(
                            "it is about input {}, and the next input of the selection is {index}",
                            record.index
                        ),
                    ));
                }
                None => found.push((
                    line,
                    format!("it is about input {}, after the end of the selection", record.index),
                )),
            }
            let label = usize::try_from(record.index).ok().and_then(|index| data.label(index));
            if label.is_some() && label != record.label {
                let (there, here) = (in_words(record.label), in_words(label));
                found.push((line, format!("its label is {there}, and the label in the data is {here}")));
            }
        }
        self.add_all(found);
    }
}
