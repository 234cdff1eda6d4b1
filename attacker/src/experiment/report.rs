use std::collections::BTreeMap;

use askama::Template;
use mithridate_runtime::{
    report::{
        BarChart, BarGroup, Curve, LineChart, Pixels, STYLE, certified_accuracy_curve, colour, png_data_uri,
    },
    statistics::Interval,
};

use super::{Config, ExperimentResults, GroupResult, VictimKind, results::Victim};
use crate::{
    Error,
    data::TrainingSet,
    inspect::{difference_picture, spread},
    poison::PoisonSet,
};

/// Images shown in the panel.
const SHOWN: usize = 5;

/// The report as one HTML page without other files.
pub(super) fn page(
    config: &Config,
    results: &ExperimentResults,
    victims: &[Victim],
    training: &TrainingSet,
    poison: Option<&PoisonSet>,
) -> Result<String, Error> {
    let page = Page {
        results,
        target: results.target_name(),
        rows: rows(results),
        headline: results.victims.get(&VictimKind::Poison).and_then(|kind| kind.target.relative_drop),
        random: results.victims.get(&VictimKind::Random).and_then(|kind| kind.target.relative_drop),
        curves: curves(results, victims)?,
        bars: bars(results, victims)?,
        panel: poison.map(|poison| panel(training, poison)).unwrap_or_default(),
        largest_change: poison.map_or(0, |poison| poison.manifest.largest_change),
        poisoned: poison.map_or(0, PoisonSet::len),
        images: training.training.len(),
        samples: [config.certify.target.n, config.certify.others.n],
        config: toml::to_string(config).unwrap_or_default(),
        style: STYLE,
    };
    page.render().map_err(|error| Error::Report(error.to_string()))
}

#[derive(Template)]
#[template(path = "experiment.html")]
struct Page<'a> {
    results: &'a ExperimentResults,
    target: String,
    rows: Vec<Row>,
    headline: Option<Interval>,
    random: Option<Interval>,
    curves: String,
    bars: String,
    panel: Vec<[String; 3]>,
    largest_change: u8,
    poisoned: usize,
    images: usize,
    samples: [u64; 2],
    config: String,
    style: &'static str,
}

/// A row of the table, as text.
struct Row {
    kind: &'static str,
    group: String,
    points: usize,
    acr: String,
    accuracy: String,
    abstained: String,
    test_accuracy: String,
    drop: String,
}

fn percent(interval: &Interval) -> String {
    format!("{:.1} % ({:.1} to {:.1})", 100.0 * interval.value, 100.0 * interval.low, 100.0 * interval.high)
}

fn rows(results: &ExperimentResults) -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, result) in &results.victims {
        let groups = [(results.target_name(), &result.target), ("other classes".into(), &result.others)];
        for (
            group,
            GroupResult {
                points,
                acr_mean,
                acr_std,
                accuracy_mean,
                abstained_mean,
                test_accuracy_mean,
                relative_drop,
            },
        ) in groups
        {
            rows.push(Row {
                kind: kind.name(),
                group,
                points: *points,
                acr: format!("{acr_mean:.3} ± {acr_std:.3}"),
                accuracy: format!("{accuracy_mean:.3}"),
                abstained: format!("{abstained_mean:.1}"),
                test_accuracy: format!("{:.2} %", 100.0 * test_accuracy_mean),
                drop: relative_drop.as_ref().map_or_else(|| "–".into(), percent),
            });
        }
    }
    rows
}

/// Chart of certified accuracy against radius on the target classes: a curve for each victim, a colour for each kind.
fn curves(results: &ExperimentResults, victims: &[Victim]) -> Result<String, Error> {
    let kinds: Vec<VictimKind> = results.victims.keys().copied().collect();
    let mut named = Vec::new();
    let curves = victims.iter().map(|victim| {
        let right: Vec<f64> =
            victim.target.iter().filter(|record| record.is_right()).map(|record| record.radius).collect();
        let series = kinds.iter().position(|kind| *kind == victim.kind).unwrap_or(0);
        let name = (!named.contains(&victim.kind)).then(|| victim.kind.name().to_owned());
        named.push(victim.kind);
        Curve { name, colour: colour(series), points: certified_accuracy_curve(&right, victim.target.len()) }
    });
    LineChart {
        title: format!("Certified accuracy of {} against radius", results.target_name()),
        x_label: "ℓ2 radius, images in [0, 1]".into(),
        y_label: "certified accuracy".into(),
        y_max: 1.0,
        curves: curves.collect(),
    }
    .to_svg()
    .map_err(|error| Error::Report(error.to_string()))
}

/// Chart of the average certified radius of each class, as the mean over the victims of a kind.
fn bars(results: &ExperimentResults, victims: &[Victim]) -> Result<String, Error> {
    let kinds: Vec<VictimKind> = results.victims.keys().copied().collect();
    let mut sums: BTreeMap<usize, Vec<(f64, usize)>> = BTreeMap::new();
    for victim in victims {
        let series = kinds.iter().position(|kind| *kind == victim.kind).unwrap_or(0);
        for record in victim.target.iter().chain(&victim.others) {
            let Some(label) = record.label else { continue };
            let sum = &mut sums.entry(label).or_insert_with(|| vec![(0.0, 0); kinds.len()])[series];
            *sum = (sum.0 + record.right_radius(), sum.1 + 1);
        }
    }
    BarChart {
        title: "Average certified radius by class".into(),
        x_label: "class".into(),
        y_label: "average certified radius".into(),
        series: kinds.iter().map(|kind| kind.name().to_owned()).collect(),
        groups: sums
            .into_iter()
            .map(|(class, sums)| BarGroup {
                name: class.to_string(),
                values: sums
                    .into_iter()
                    .map(|(sum, count)| (count > 0).then(|| sum / count as f64))
                    .collect(),
            })
            .collect(),
    }
    .to_svg()
    .map_err(|error| Error::Report(error.to_string()))
}

/// Panel of clean image, poisoned image and their doubled difference, in which grey is no change, for images spread
/// evenly over the set.
fn panel(training: &TrainingSet, poison: &PoisonSet) -> Vec<[String; 3]> {
    let shape = training.data.shape();
    let picture = |bytes: &[u8]| png_data_uri(Pixels { shape, bytes }).unwrap_or_default();
    spread(poison.len(), SHOWN)
        .into_iter()
        .map(|number| {
            let (clean, poisoned) =
                (training.data.pixels(poison.manifest.origin.indices[number]), poison.pixels(number));
            [picture(clean), picture(poisoned), picture(&difference_picture(clean, poisoned, 2))]
        })
        .collect()
}
