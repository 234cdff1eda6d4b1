use crate::{
    OnnxError,
    messages::{ModelProto, StringStringEntryProto},
};

macro_rules! metadata {
    ($($(#[doc = $doc:literal])* $field:ident: $type:ty = $key:literal, $expected:literal;)*) => {
        /// The metadata entries that Mithridate stores in an exported model: how it was trained and which input it
        /// expects. Absent entries are `None`.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct ModelMetadata { $($(#[doc = $doc])* pub $field: Option<$type>,)* }

        impl ModelMetadata {
            /// The entries that are present, as pairs of key and text.
            pub fn entries(&self) -> Vec<(&'static str, String)> {
                let mut entries = Vec::new();
                $(if let Some(value) = &self.$field {
                    entries.push(($key, Entry::to_text(value)));
                })*
                entries
            }

            /// Reads the entries of a model; entries of other programs are ignored.
            ///
            /// # Errors
            /// [`OnnxError::Metadata`] if an entry has an invalid value.
            pub fn of(model: &ModelProto) -> Result<Self, OnnxError> {
                let mut metadata = Self::default();
                for StringStringEntryProto { key, value } in &model.metadata_props {
                    let (key, value) = (key.as_deref().unwrap_or_default(), value.as_deref().unwrap_or_default());
                    match key {
                        $($key => metadata.$field = Some(Entry::from_text(value).ok_or_else(|| {
                            OnnxError::Metadata { key: key.into(), value: value.into(), expected: $expected }
                        })?),)*
                        _ => {}
                    }
                }
                Ok(metadata)
            }
        }
    };
}

metadata! {
    /// Network architecture, such as `lenet`.
    architecture: String = "mithridate.architecture", "text";
    /// Robust-training method, such as `gaussian`.
    training_method: String = "mithridate.training_method", "text";
    /// Standard deviation of the noise in training, in units of the data set.
    training_sigma: f64 = "mithridate.training_sigma", "a number";
    /// Shape of one input without the batch dimension, such as `[1, 28, 28]`.
    input_shape: Vec<usize> = "mithridate.input_shape", "a list of sizes";
    /// Order of the dimensions, such as `NCHW`.
    layout: String = "mithridate.layout", "text";
    /// Smallest and largest value of an input without noise, such as `[0, 1]`.
    input_range: Vec<f64> = "mithridate.input_range", "a list of two numbers";
    /// Mean to subtract from each channel after scaling to the range, such as `[0.485, 0.456, 0.406]`.
    input_mean: Vec<f64> = "mithridate.input_mean", "a list of numbers";
    /// Standard deviation by which each channel is then divided.
    input_std: Vec<f64> = "mithridate.input_std", "a list of numbers";
    /// Class names in the order of the logits.
    class_names: Vec<String> = "mithridate.class_names", "a list of names";
    /// SHA-256 of the training images, including poison.
    training_data_sha256: String = "mithridate.training_data_sha256", "text";
    /// SHA-256 of the images of the poison set, if the model was trained on one.
    poison_sha256: String = "mithridate.poison_sha256", "text";
    /// Seed of the training run.
    training_seed: u64 = "mithridate.training_seed", "a whole number";
    /// Precision to which the model was converted after training, `float16` or `int8`.
    precision: String = "mithridate.precision", "text";
}

/// A value with a text form for metadata entries.
trait Entry: Sized {
    fn to_text(&self) -> String;
    fn from_text(text: &str) -> Option<Self>;
}

impl Entry for String {
    fn to_text(&self) -> String {
        self.clone()
    }
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

macro_rules! json_entries {
    ($($type:ty),*) => {$(
        impl Entry for $type {
            fn to_text(&self) -> String {
                serde_json::json!(self).to_string()
            }
            fn from_text(text: &str) -> Option<Self> {
                serde_json::from_str(text).ok()
            }
        }
    )*};
}
json_entries!(f64, u64, Vec<usize>, Vec<f64>, Vec<String>);

#[cfg(test)]
mod tests {
    use super::*;

    fn model_with(entries: &[(&str, &str)]) -> ModelProto {
        ModelProto {
            metadata_props: entries
                .iter()
                .map(|(key, value)| StringStringEntryProto {
                    key: Some((*key).into()),
                    value: Some((*value).into()),
                })
                .collect(),
            ..ModelProto::default()
        }
    }

    #[test]
    fn entries_come_back_as_they_were() {
        let metadata = ModelMetadata {
            architecture: Some("lenet".into()),
            training_sigma: Some(0.25),
            input_shape: Some(vec![1, 28, 28]),
            class_names: Some(vec!["a \"quoted\" name".into(), "ü".into()]),
            training_seed: Some(u64::MAX),
            ..ModelMetadata::default()
        };
        let entries = metadata.entries();
        let model = model_with(&entries.iter().map(|(k, v)| (*k, v.as_str())).collect::<Vec<_>>());
        assert_eq!(ModelMetadata::of(&model).unwrap(), metadata);
    }

    #[test]
    fn a_value_that_is_no_number_is_named() {
        let error = ModelMetadata::of(&model_with(&[("mithridate.training_sigma", "much")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the model's metadata entry mithridate.training_sigma is 'much', which is not a number"
        );
    }

    #[test]
    fn entries_of_others_are_left_alone() {
        let model = model_with(&[("author", "somebody")]);
        assert_eq!(ModelMetadata::of(&model).unwrap(), ModelMetadata::default());
    }
}
