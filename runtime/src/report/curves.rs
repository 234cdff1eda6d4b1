use std::io;

use askama::Template;

use super::scale::{Scale, Tick, round_up};

/// A curve of a [`LineChart`].
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Name in the legend; `None` if another curve of the same colour has the entry.
    pub name: Option<String>,
    /// Colour in the notation of CSS.
    pub colour: &'static str,
    /// Points from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A line chart; both axes start at 0.
#[derive(Clone, Debug, PartialEq)]
pub struct LineChart {
    /// Title, also the text alternative of the figure.
    pub title: String,
    /// Name and unit of the horizontal axis.
    pub x_label: String,
    /// Name and unit of the vertical axis.
    pub y_label: String,
    /// Upper end of the vertical axis.
    pub y_max: f64,
    /// The curves.
    pub curves: Vec<Curve>,
}

impl LineChart {
    /// The chart as an SVG element.
    ///
    /// # Errors
    /// If the template can't be rendered.
    pub fn to_svg(&self) -> io::Result<String> {
        let x_max =
            self.curves.iter().flat_map(|curve| &curve.points).fold(0.0_f64, |max, point| max.max(point.0));
        let x = Scale { from: 0.0, to: round_up(x_max), start: 60.0, end: 700.0 };
        let y = Scale { from: 0.0, to: self.y_max, start: 330.0, end: 20.0 };
        let lines = self
            .curves
            .iter()
            .map(|curve| {
                let place = |point: &(f64, f64)| format!("{:.1},{:.1}", x.place(point.0), y.place(point.1));
                (curve.colour, curve.points.iter().map(place).collect::<Vec<_>>().join(" "))
            })
            .collect();
        let mut legend: Vec<(&str, &str)> = Vec::new();
        for curve in &self.curves {
            if let Some(name) = curve.name.as_deref() {
                legend.push((name, curve.colour));
            }
        }
        Ok(Svg { chart: self, x: x.ticks(), y: y.ticks(), lines, legend }.render()?)
    }
}

#[derive(Template)]
#[template(path = "line_chart.svg")]
struct Svg<'a> {
    chart: &'a LineChart,
    x: Vec<Tick>,
    y: Vec<Tick>,
    lines: Vec<(&'static str, String)>,
    legend: Vec<(&'a str, &'a str)>,
}

/// Certified accuracy as a step function of the radius: pairs of a radius and the share of all `inputs` inputs whose
/// class is correct and whose certified radius is at least that large. `radii` are the certified radii of the correct
/// inputs.
pub fn certified_accuracy_curve(radii: &[f64], inputs: usize) -> Vec<(f64, f64)> {
    let mut sorted = radii.to_vec();
    sorted.sort_by(f64::total_cmp);
    let share = |count: usize| count as f64 / inputs.max(1) as f64;
    let mut points = vec![(0.0, share(sorted.len()))];
    for (position, &radius) in sorted.iter().enumerate() {
        let left = sorted.len() - position;
        points.push((radius, share(left)));
        points.push((radius, share(left - 1)));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_under_the_staircase_is_the_acr() {
        let radii = [0.5, 0.2, 0.9];
        let points = certified_accuracy_curve(&radii, 4);
        let area: f64 = points.windows(2).map(|w| (w[1].0 - w[0].0) * w[0].1).sum();
        assert!((area - 1.6 / 4.0).abs() < 1e-12);
        assert_eq!(points[0], (0.0, 0.75));
        assert_eq!(points.last(), Some(&(0.9, 0.0)));
    }

    #[test]
    fn names_cannot_break_out_of_the_figure() {
        let chart = LineChart {
            title: "<script>".into(),
            x_label: "radius".into(),
            y_label: "share".into(),
            y_max: 1.0,
            curves: vec![Curve {
                name: Some("a<b>&\"".into()),
                colour: "#000",
                points: vec![(0.0, 1.0), (1.0, 0.0)],
            }],
        };
        let svg = chart.to_svg().unwrap();
        assert!(!svg.contains("<script>") && !svg.contains("a<b>"), "{svg}");
        assert!(svg.contains("points=\"60.0,20.0 700.0,330.0\""), "{svg}");
    }
}
