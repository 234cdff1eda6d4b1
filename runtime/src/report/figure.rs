use std::io;

use askama::Template;

use super::label::Label;

/// Builds an SVG element of `width` × `height` pixels. `marks` is SVG code and is not escaped, so it must consist of
/// numbers and colours only; `labels` are escaped.
pub(super) fn figure(
    title: &str,
    width: f64,
    height: f64,
    marks: &str,
    labels: &[Label],
) -> io::Result<String> {
    Ok(Svg { title, width, height, marks, labels }.render()?)
}

#[derive(Template)]
#[template(path = "figure.svg")]
struct Svg<'a> {
    title: &'a str,
    width: f64,
    height: f64,
    marks: &'a str,
    labels: &'a [Label],
}
