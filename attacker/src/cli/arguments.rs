use std::{fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use mithridate_runtime::{
    data::{Dataset, folder_formats},
    terminal,
    units::parse_count,
};

use crate::{
    Error,
    data::{SplitSettings, TrainingSet},
    device::DeviceChoice,
    events::Events,
    jobs::Runner,
};

/// The device.
#[derive(Args)]
pub(super) struct DeviceArguments {
    /// Device to compute on: cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: DeviceChoice,
    /// Threads to use on the CPU [default: all]
    #[arg(long, value_name = "N", value_parser = parse_count::<usize>)]
    pub threads: Option<usize>,
}

/// The time between checkpoints.
#[derive(Args)]
pub(super) struct CheckpointArguments {
    /// Seconds between two checkpoints; an interrupted run resumes at the last one when it is started again
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS", value_parser = parse_seconds)]
    checkpoint_every: f64,
}

/// The help of a flag that takes one of a few names: `what`, the names, and the default where there is one.
pub(super) fn one_of<T: Display>(what: &str, names: &[T], default: Option<T>) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let default = default.map(|name| format!(" [default: {name}]")).unwrap_or_default();
    format!("{what}: {}{default}", names.join(", "))
}

/// Reads a whole number; the settings check its range.
pub(super) fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "it must be a whole number of at least 0".to_owned())
}

/// Reads a number.
pub(super) fn decimal(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("'{text}' is not a number"))
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite() && (0.0..1e9).contains(seconds))
        .ok_or_else(|| "it must be a number of seconds of at least 0".to_owned())
}

impl CheckpointArguments {
    /// The device, the time between checkpoints and the events of a job.
    pub fn runner<'a>(&self, device: &DeviceArguments, events: Events<'a>) -> Result<Runner<'a>, Error> {
        Ok(Runner {
            device: device.device,
            tensors: device.prepare()?,
            checkpoint_every: Duration::from_secs_f64(self.checkpoint_every),
            events,
        })
    }
}

impl DeviceArguments {
    /// Prepares the device.
    pub fn prepare(&self) -> Result<tch::Device, Error> {
        let device = self.device.prepare()?;
        if let Some(threads) = self.threads {
            tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        }
        Ok(device)
    }
}

/// The training set and its split.
#[derive(Args)]
pub(super) struct DataArguments {
    #[arg(long, value_name = "FOLDER", help = format!("The data set: a folder with {}", folder_formats()))]
    pub data: PathBuf,
    /// Number of images to train on, chosen at random [default: all that are not held out]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub images: Option<usize>,
    /// Number of training images held out for validation [default: 5000]
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub validation: Option<usize>,
    /// Seed of the choice of these images [default: 0]
    #[arg(long, value_name = "SEED", value_parser = whole::<u64>)]
    pub split_seed: Option<u64>,
}

/// Tells the user what was changed when a data set was read.
pub(super) fn tell_changes(data: &Dataset) {
    data.notes().iter().for_each(|text| terminal::say(text));
}

impl DataArguments {
    /// Opens the training set, and tells what was changed in it. Without a flag a setting is that of `default`, or else the
    /// default in the help.
    pub fn open(&self, default: Option<SplitSettings>) -> Result<TrainingSet, Error> {
        let default = default.unwrap_or(SplitSettings { seed: 0, validation: 5000, images: None });
        let split = SplitSettings {
            seed: self.split_seed.unwrap_or(default.seed),
            validation: self.validation.unwrap_or(default.validation),
            images: self.images.or(default.images),
        };
        let training = TrainingSet::open(&self.data, split)?;
        tell_changes(&training.data);
        Ok(training)
    }
}
