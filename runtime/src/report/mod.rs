//! Figures for self-contained pages and files: SVG charts, images embedded as PNG, one style sheet.

mod bars;
mod curves;
mod document;
mod figure;
mod histogram;
mod image;
mod label;
mod pictures;
mod plane;
mod scale;

pub use bars::{BarChart, BarGroup};
pub use curves::{Curve, LineChart, certified_accuracy_curve};
pub use document::document;
use figure::figure;
pub use histogram::Histogram;
pub use image::{Pixels, picture_to_png, png_data_uri};
pub use pictures::PictureTable;
pub use plane::{PanelGrid, Plane, PlanePoint, contour};

/// CSS style sheet of all pages.
pub const STYLE: &str = include_str!("../../templates/style.css");

/// Colours of series; they can be told apart by people with colour vision deficiency (Okabe and Ito).
pub const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#000000"];

/// The colour of the series with index `series`; colours repeat after seven.
pub fn colour(series: usize) -> &'static str {
    COLOURS[series % COLOURS.len()]
}
