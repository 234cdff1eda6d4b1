use std::io;

use askama::Template;

use super::{
    colour,
    scale::{Scale, Tick, round_up},
};
use crate::statistics::round_down;

/// The bars of one category, side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct BarGroup {
    /// Name of the category.
    pub name: String,
    /// One value for each series; `None` leaves a gap.
    pub values: Vec<Option<f64>>,
}

/// A bar chart with groups of bars; the vertical axis starts at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct BarChart {
    /// Title, also the text alternative of the figure.
    pub title: String,
    /// Name of the horizontal axis: the kind of category.
    pub x_label: String,
    /// Name and unit of the values.
    pub y_label: String,
    /// Names of the series.
    pub series: Vec<String>,
    /// The categories.
    pub groups: Vec<BarGroup>,
}

struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    colour: &'static str,
    label: String,
}

impl BarChart {
    /// The chart as an SVG element.
    ///
    /// # Errors
    /// If the template can't be rendered.
    pub fn to_svg(&self) -> io::Result<String> {
        let largest =
            self.groups.iter().flat_map(|group| &group.values).flatten().fold(0.0_f64, |a, &b| a.max(b));
        let y = Scale { from: 0.0, to: round_up(largest), start: 330.0, end: 40.0 };
        let room = 640.0 / self.groups.len().max(1) as f64;
        let width = (0.8 * room / self.series.len().max(1) as f64).min(40.0);
        let mut bars = Vec::new();
        let mut names = Vec::new();
        for (position, group) in self.groups.iter().enumerate() {
            let middle = 60.0 + (position as f64 + 0.5) * room;
            names.push(Tick { at: middle, label: group.name.clone() });
            let left = middle - 0.5 * width * group.values.len() as f64;
            for (series, value) in group.values.iter().enumerate() {
                let Some(value) = value else { continue };
                let top = y.place(*value);
                bars.push(Bar {
                    x: left + series as f64 * width,
                    y: top,
                    width: width * 0.9,
                    height: 330.0 - top,
                    colour: colour(series),
                    label: format!(
                        "{}, class {}: {}",
                        self.series[series],
                        group.name,
                        round_down(*value, 3)
                    ),
                });
            }
        }
        let legend =
            self.series.iter().enumerate().map(|(series, name)| (name.as_str(), colour(series))).collect();
        Ok(Svg { chart: self, names, y: y.ticks(), bars, legend }.render()?)
    }
}

#[derive(Template)]
#[template(path = "bar_chart.svg")]
struct Svg<'a> {
    chart: &'a BarChart,
    names: Vec<Tick>,
    y: Vec<Tick>,
    bars: Vec<Bar>,
    legend: Vec<(&'a str, &'a str)>,
}
