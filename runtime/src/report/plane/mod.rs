mod contour;
mod drawing;
mod legend;

pub use contour::contour;
use drawing::{Drawing, Place};
use legend::legend;
use ndarray::Array2;

use super::{
    figure,
    label::{BOLD, Label, paragraph},
};

/// Colours of the two classes.
const CLASS_COLOURS: [&str; 2] = [super::COLOURS[0], super::COLOURS[2]];
/// Margin around figures, in pixels.
const MARGIN: f64 = 14.0;

/// A point of a [`Plane`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanePoint {
    /// First coordinate.
    pub x: f64,
    /// Second coordinate.
    pub y: f64,
    /// Its label, 0 or 1.
    pub class: usize,
    /// Its position before the attacker moved it, if it was moved.
    pub poisoned_from: Option<(f64, f64)>,
    /// Certified ℓ2 radius in units of the plane, for a test point whose certified class is correct.
    pub circle: Option<f64>,
    /// Whether the smoothed classifier returns the wrong class or abstains.
    pub wrong: bool,
}

/// A figure of a classifier with two classes on the plane: its decision boundary, points, and certified radii.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Title.
    pub title: String,
    /// Caption below the figure.
    pub caption: String,
    /// Left and right end.
    pub x_range: (f64, f64),
    /// Lower and upper end.
    pub y_range: (f64, f64),
    /// Probability of class 1 under noise at the nodes of a regular grid, rows × columns. The first row is at the lower
    /// end of `y_range`, the last at the upper end; columns span `x_range` likewise. The decision boundary is drawn at
    /// ½. NaN is drawn black.
    pub field: Array2<f64>,
    /// The same for a classifier trained without poison, to be compared; its boundary is dashed.
    pub clean_field: Option<Array2<f64>>,
    /// Points, drawn in this order.
    pub points: Vec<PlanePoint>,
}

impl Plane {
    /// The nodes of a `field` with `rows` rows and `columns` columns, row by row from the lower left.
    ///
    /// ```
    /// use mithridate_runtime::report::Plane;
    ///
    /// let nodes = Plane::nodes((0.0, 1.0), (-1.0, 1.0), 2, 3);
    /// assert_eq!(nodes, [(0.0, -1.0), (1.0, -1.0), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]);
    /// ```
    pub fn nodes(x_range: (f64, f64), y_range: (f64, f64), columns: usize, rows: usize) -> Vec<(f64, f64)> {
        let at = |range: (f64, f64), number: usize, count: usize| {
            range.0 + (range.1 - range.0) * number as f64 / count.saturating_sub(1).max(1) as f64
        };
        (0..rows)
            .flat_map(|row| {
                (0..columns).map(move |column| (at(x_range, column, columns), at(y_range, row, rows)))
            })
            .collect()
    }

    /// The figure as an SVG element.
    ///
    /// # Errors
    /// If `field` is empty.
    pub fn to_svg(&self) -> Result<String, png::EncodingError> {
        let panel = Self { title: String::new(), ..self.clone() };
        draw(&self.title, 600.0, 1, &[panel], "")
    }
}

/// A figure of several planes, arranged in rows.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelGrid {
    /// Title.
    pub title: String,
    /// Number of planes in a row, from 1 to 6.
    pub columns: usize,
    /// The planes, row by row.
    pub panels: Vec<Plane>,
    /// Caption below the figure.
    pub caption: String,
}

impl PanelGrid {
    /// The figure as an SVG element, 900 pixels wide.
    ///
    /// # Errors
    /// If the field of a plane is empty.
    pub fn to_svg(&self) -> Result<String, png::EncodingError> {
        draw(&self.title, 900.0, self.columns.clamp(1, 6), &self.panels, &self.caption)
    }
}

fn draw(
    title: &str,
    width: f64,
    columns: usize,
    panels: &[Plane],
    caption: &str,
) -> Result<String, png::EncodingError> {
    let inner = width - 2.0 * MARGIN;
    let mut labels: Vec<Label> =
        paragraph(title, MARGIN, MARGIN + 14.0, inner / BOLD, 17.0).into_iter().map(Label::bold).collect();
    let mut marks = String::new();
    let mut y = MARGIN + 22.0 * labels.len() as f64;
    let (legend_marks, legend_labels, legend_height) = legend(panels, MARGIN, y, inner);
    marks.push_str(&legend_marks);
    labels.extend(legend_labels);
    y += legend_height;
    let gap = 18.0;
    let slot = (inner - gap * (columns - 1) as f64) / columns as f64;
    for row in panels.chunks(columns) {
        let space = row.iter().map(|plane| Place::space(plane, slot)).reduce(Place::larger);
        let Some(space) = space else { continue };
        for (column, plane) in row.iter().enumerate() {
            let place = space.at(MARGIN + column as f64 * (slot + gap), y);
            let Drawing { marks: panel_marks, labels: panel_labels } = Drawing::new(plane, place)?;
            marks.push_str(&panel_marks);
            labels.extend(panel_labels);
        }
        y += space.height() + gap;
    }
    let caption: Vec<Label> = paragraph(caption, MARGIN, y + 4.0, inner, 13.0);
    let height =
        (y - gap + 4.0 + MARGIN + if caption.is_empty() { 0.0 } else { 17.0 * caption.len() as f64 + 6.0 })
            .ceil();
    labels.extend(caption.into_iter().map(Label::soft));
    Ok(figure(title, width, height, &marks, &labels)?)
}

#[cfg(test)]
mod tests;
