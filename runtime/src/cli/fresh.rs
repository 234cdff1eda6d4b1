use anyhow::Context;

use super::{
    model::{InputArguments, ModelArguments},
    probe::ProbeArguments,
    replay::{Opened, announce, check_classes},
    smoothing::check_noise,
};
use crate::{
    certify::{Certifier, Input, Settings},
    data::Dataset,
    evidence::{FALSE_ALARM, FreshComparison, FreshInput, Header, Record, fresh_settings},
    noise::{NoiseMode, seed_from_os},
    statistics::round_down,
    terminal::Progress,
};

/// A combined p-value below this is explained.
const REMARKABLE: f64 = 0.05;

/// Certifies inputs anew with a seed that nobody could foresee, and compares.
pub(super) fn compare(
    opened: Opened<'_>,
    data: &Dataset,
    header: &Header,
    chosen: &[&Record],
) -> anyhow::Result<FreshComparison> {
    let Opened { path, runtime, model, device, threads } = opened;
    check_classes(&model, path, header)?;
    let options = InputArguments::default();
    let arguments = ModelArguments {
        probe: ProbeArguments::default(),
        model: path.to_owned(),
        device,
        batch: None,
        threads,
        input: options,
    };
    let seed = seed_from_os().context("cannot draw a seed for fresh noise")?;
    let settings = Settings { seed, ..header.settings.clone() };
    let indices: Vec<usize> = chosen.iter().map(|record| record.index as usize).collect();
    check_noise(&settings, header.noise.mode, &indices, data, &model.input_precision())?;
    let shared = match header.noise.mode {
        NoiseMode::Shared => settings.shared_noise(),
        NoiseMode::Independent => None,
    };
    let samples = chosen.iter().fold(0_u64, |sum, record| {
        sum.saturating_add(header.settings.n0).saturating_add(record.samples.max(1))
    });
    announce("certifying anew", chosen.len(), samples, chosen.iter().map(|record| record.seconds).sum());
    let ready = arguments.ready(runtime, model, shared.as_ref(), samples)?;
    let mut progress = Progress::new("certifying anew", samples, "samples");
    let mut instances = ready.instances;
    let mut pairs = Vec::new();
    for &record in chosen {
        let settings = fresh_settings(header, record, seed);
        let mut certifier = Certifier::new(instances, settings, ready.plan.batch)?;
        certifier.set_noise_mode(header.noise.mode);
        let input =
            Input { index: record.index, label: record.label, image: data.image(record.index as usize) };
        certifier.certify_all(
            std::iter::once(input),
            |samples| progress.advance(samples),
            |certificate| {
                pairs.push((record, certificate));
                Ok(())
            },
        )?;
        instances = certifier.into_models();
    }
    progress.finish();
    Ok(FreshComparison::new(header, &pairs, seed)?)
}

/// The comparison in words, a line an input.
pub(super) fn describe(comparison: &FreshComparison) -> String {
    let FreshComparison { seed, inputs, surplus_p_value, .. } = comparison;
    let verdict = if comparison.is_compatible() {
        "as honest certification gives them"
    } else {
        "not as honest certification gives them"
    };
    let mut text = format!(
        "certified {} inputs anew, with seed {seed}: the recorded votes are {verdict}, by tests that fail an honest run with \
         probability {FALSE_ALARM:e} at most\n",
        inputs.len()
    );
    for input in inputs {
        let FreshInput { index, samples, hits, fresh_hits, radius, fresh_radius, p_value, .. } = input;
        let (radius, fresh_radius) = (round_down(*radius, 4), round_down(*fresh_radius, 4));
        let differs = if *p_value <= comparison.level { "; this is no chance" } else { "" };
        text += &format!(
            "- input {index}: {} with {hits} of {samples} votes and radius {radius} recorded; {} with {fresh_hits} votes for \
             the recorded class and radius {fresh_radius} anew; p-value {p_value:.2e}{differs}\n",
            class_of(input.class),
            class_of(input.fresh_class)
        );
    }
    if let Some(p) = *surplus_p_value {
        text += &format!(
            "so large a surplus of recorded votes over fresh ones, all inputs together, has probability {p:.2e} in an honest run"
        );
        text += &if comparison.is_too_good() {
            "; this is no chance\n".to_owned()
        } else if p < REMARKABLE {
            format!("; the best of about {:.0} seeds looks like that\n", 1.0 / p)
        } else {
            "\n".to_owned()
        };
    }
    text
}

fn class_of(class: Option<usize>) -> String {
    class.map_or_else(|| "no class".into(), |class| format!("class {class}"))
}
