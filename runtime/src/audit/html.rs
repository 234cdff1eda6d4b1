use std::{collections::BTreeSet, io};

use askama::Template;

use super::{Audit, RunSummary, text::known};
use crate::{
    report::{BarChart, BarGroup, Curve, LineChart, STYLE, certified_accuracy_curve, colour},
    statistics::{Interval, Norm, round_down},
};

/// An audit as a self-contained HTML page.
///
/// # Errors
/// If a figure or the page can't be rendered.
pub fn to_html(audit: &Audit) -> io::Result<String> {
    let runs: Vec<&RunSummary> = audit.baseline.iter().chain(&audit.runs).collect();
    let norm = runs.first().map_or_else(Norm::default, |run| run.norm);
    let curves = LineChart {
        title: "Certified accuracy against radius".into(),
        x_label: format!("{norm} radius, in units of the data set"),
        y_label: "certified accuracy".into(),
        y_max: 1.0,
        curves: runs
            .iter()
            .enumerate()
            .map(|(series, run)| Curve {
                name: Some(run.name.clone()),
                colour: colour(series),
                points: certified_accuracy_curve(&run.right_radii, run.all.inputs),
            })
            .collect(),
    };
    let classes: BTreeSet<usize> = runs.iter().flat_map(|run| run.classes.keys().copied()).collect();
    let bars = BarChart {
        title: "Average certified radius by class".into(),
        x_label: "class".into(),
        y_label: "average certified radius".into(),
        series: runs.iter().map(|run| run.name.clone()).collect(),
        groups: classes
            .iter()
            .map(|class| BarGroup {
                name: class.to_string(),
                values: runs.iter().map(|run| run.classes.get(class).map(|group| group.acr)).collect(),
            })
            .collect(),
    };
    // Class names are shown only if all runs have the same ones.
    let named = runs.first().filter(|first| runs.iter().all(|run| run.class_names == first.class_names));
    let names: Vec<String> = named
        .filter(|run| !run.class_names.is_empty())
        .map(|run| classes.iter().map(|&class| run.class(class)).collect())
        .unwrap_or_default();
    let page = Page {
        audit,
        labelled: runs.iter().any(|run| run.all.inputs > 0),
        runs,
        norm,
        classes: names.join(", "),
        style: STYLE,
        curves: curves.to_svg()?,
        bars: bars.to_svg()?,
    };
    Ok(page.render()?)
}

/// Whether a file that starts with the bytes `start` is a page made by [`to_html`].
pub fn is_html(start: &[u8]) -> bool {
    String::from_utf8_lossy(start).contains("<meta name=\"generator\" content=\"rscert audit\">")
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    audit: &'a Audit,
    runs: Vec<&'a RunSummary>,
    /// Indices and names of the classes, as one text; empty if they have no names.
    classes: String,
    norm: Norm,
    /// Whether any run has labelled inputs. If not, there is nothing to draw.
    labelled: bool,
    style: &'static str,
    curves: String,
    bars: String,
}

impl Page<'_> {
    #[allow(clippy::unused_self, clippy::trivially_copy_pass_by_ref)]
    fn down(&self, value: &f64) -> String {
        round_down(*value, 4)
    }

    #[allow(clippy::unused_self, clippy::trivially_copy_pass_by_ref)]
    fn fine(&self, value: &f64) -> String {
        round_down(*value, 6)
    }

    #[allow(clippy::unused_self, clippy::trivially_copy_pass_by_ref)]
    fn sigma(&self, run: &RunSummary) -> String {
        known(run.sigma)
    }

    #[allow(clippy::unused_self, clippy::trivially_copy_pass_by_ref)]
    fn samples(&self, run: &RunSummary) -> String {
        known(run.n)
    }

    #[allow(clippy::unused_self)]
    fn interval(&self, interval: &Interval) -> String {
        format!("{:+.4} ({:+.4} to {:+.4})", interval.value, interval.low, interval.high)
    }
}
