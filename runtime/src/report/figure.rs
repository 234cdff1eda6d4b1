use std::io;

use askama::Template;

use super::label::Label;

/// An SVG element from marks, which are made of numbers and colours only, and labels, which are escaped.
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
