use super::{
    Control, JobError, ModelSettings, Work,
    dataset::input_of,
    replay::{Opened, announce, check_classes, drawn},
    self_test::check_noise,
};
use crate::{
    certify::{Certificate, CountedVotes, Procedure, Settings, StoppingRule, VoteRequest},
    data::Dataset,
    evidence::{FreshComparison, Header, Record, fresh_settings},
    noise::NoiseMode,
};

/// Certifies inputs again with an unpredictable seed, and compares the votes.
pub(super) fn compare(
    control: &Control,
    opened: Opened,
    data: &Dataset,
    header: &Header,
    chosen: &[&Record],
) -> Result<FreshComparison, JobError> {
    let Opened { settings: model_settings, runtime, model } = opened;
    check_classes(&model, &model_settings.path, header)?;
    let seed = drawn("cannot draw a seed for fresh noise")?;
    let settings = Settings { seed, stop: StoppingRule::Fixed, ..header.settings.clone() };
    let indices: Vec<usize> = chosen.iter().map(|record| record.index as usize).collect();
    check_noise(&settings, header.noise.mode, &indices, data, &model.input_precision())?;
    let shared = match header.noise.mode {
        NoiseMode::Shared => settings.shared_noise(),
        NoiseMode::Independent => None,
    };
    let n0 = header.settings.n0;
    let samples =
        chosen.iter().fold(0_u64, |sum, record| sum.saturating_add(n0).saturating_add(record.samples.max(1)));
    let seconds = chosen.iter().map(|record| record.seconds).sum();
    announce(control, "certifying anew", chosen.len(), samples, seconds);
    let model_settings = ModelSettings { batch: None, ..model_settings };
    let ready = model_settings.ready(control, runtime, model, shared.as_ref(), samples)?;
    let mut certifier = ready.certifier(control, settings, header.noise.mode)?;
    let requests = chosen.iter().map(|record| VoteRequest {
        input: input_of(data, record),
        seed,
        n0,
        n: record.samples.max(1),
    });
    let work = Work { title: "certifying anew", steps: samples, done: 0, unit: "samples", out: None };
    let (mut fresh, mut records) = (Vec::new(), chosen.iter());
    control.during(&work, || {
        certifier.count_votes(
            requests,
            |samples| control.observer.advance(samples),
            |counted| {
                fresh.extend(records.next().map(|&record| (record, counted)));
                Ok(())
            },
        )
    })?;
    let pairs = fresh.into_iter().map(|(record, counted)| {
        let certificate = certificate(header, record, seed, counted)?;
        Ok((record, certificate))
    });
    let pairs: Vec<(&Record, Certificate)> = pairs.collect::<Result<_, JobError>>()?;
    Ok(FreshComparison::new(header, &pairs, seed)?)
}

/// The certificate that the fresh votes of an input prove by themselves, with a number of samples fixed beforehand.
fn certificate(
    header: &Header,
    record: &Record,
    seed: u64,
    counted: CountedVotes,
) -> Result<Certificate, JobError> {
    let procedure = Procedure::new(fresh_settings(header, record, seed))?;
    let decision = procedure.decide(&counted.selection, &counted.estimation, counted.samples)?;
    Ok(counted.into_certificate(record.label, decision))
}
