use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum};

use crate::{
    data::{Preparation, Split, file_formats, folder_formats},
    jobs::DataSettings,
    units::parse_count,
};

/// The data set and its input subset.
#[derive(Args)]
pub(super) struct DataArguments {
    #[arg(long, value_name = "PATH", help = help_of_data())]
    data: PathBuf,
    /// Part of the data set, if it is a folder
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArgument,
    /// Resize PNG and JPEG images to N pixels on the shorter side, by linear interpolation, with averaging over areas
    /// if the image shrinks
    #[arg(long, value_name = "N", value_parser = parse_count::<u32>, allow_negative_numbers = true)]
    resize: Option<u32>,
    /// Crop PNG and JPEG images to the N x N pixels in the middle, after --resize
    #[arg(long, value_name = "N", value_parser = parse_count::<u32>, allow_negative_numbers = true)]
    crop: Option<u32>,
    /// True class of the image, if --data is a single image
    #[arg(long, value_name = "CLASS", value_parser = parse_class::<u16>, allow_negative_numbers = true)]
    label: Option<u16>,
    /// Take only inputs of these classes, such as 8 or 0,1,2
    #[arg(long, value_delimiter = ',', value_name = "CLASSES", value_parser = parse_class::<usize>, allow_negative_numbers = true)]
    class: Vec<usize>,
    /// Take at most N inputs
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    max: Option<usize>,
    /// Stride: take every N-th input, after --class and before --max
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = parse_count::<usize>, allow_negative_numbers = true)]
    skip: usize,
}

/// The help of `--data`, with all formats.
fn help_of_data() -> String {
    format!("The data set: a folder with {}; or a single file: {}", folder_formats(), file_formats())
}

fn parse_class<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "a class is a whole number from 0 to 65535".to_owned())
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum SplitArgument {
    Train,
    Test,
}

impl From<SplitArgument> for Split {
    fn from(argument: SplitArgument) -> Self {
        match argument {
            SplitArgument::Train => Self::Train,
            SplitArgument::Test => Self::Test,
        }
    }
}

impl DataArguments {
    pub fn settings(&self) -> DataSettings {
        DataSettings {
            path: self.data.clone(),
            split: self.split.into(),
            preparation: Preparation { resize: self.resize, crop: self.crop },
            label: self.label,
            classes: self.class.clone(),
            max: self.max,
            skip: self.skip,
        }
    }
}
