use std::fmt::Write;

use ndarray::Array2;

use super::{CLASS_COLOURS, Plane, PlanePoint, contour};
use crate::{
    data::sha256,
    report::{
        Pixels,
        label::{BOLD, INK, Label, paragraph, tenth, wrap},
        png_data_uri,
        scale::Scale,
    },
};

/// Font size of titles and captions.
const TEXT: f64 = 13.0;
/// Font size of numbers on axes.
const NUMBERS: f64 = 10.5;
/// Width and height reserved for numbers to the left of a plane and below it.
const AXES: (f64, f64) = (28.0, 18.0);
/// Opacity of the class colour where the probability of a class is 1.
const DEPTH: f64 = 0.27;

/// Position of a panel and sizes of its parts, in pixels. Panels in a row have the same sizes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    left: f64,
    top: f64,
    width: f64,
    title: f64,
    plot: f64,
    caption: f64,
}

impl Place {
    /// The same sizes at another position.
    pub fn at(self, left: f64, top: f64) -> Self {
        Self { left, top, ..self }
    }

    /// The sizes that a plane needs at the given width.
    pub fn space(plane: &Plane, width: f64) -> Self {
        let lines =
            |text: &str, stretch: f64| wrap(text, (width - AXES.0) / stretch, TEXT).len() as f64 * TEXT * 1.3;
        let (dx, dy) = extent(plane);
        let plot = ((width - AXES.0) * dy / dx).min(1.2 * (width - AXES.0));
        Self {
            left: 0.0,
            top: 0.0,
            width,
            title: lines(&plane.title, BOLD),
            plot,
            caption: lines(&plane.caption, 1.0),
        }
    }

    pub fn larger(self, other: Self) -> Self {
        Self {
            title: self.title.max(other.title),
            plot: self.plot.max(other.plot),
            caption: self.caption.max(other.caption),
            ..self
        }
    }

    pub fn height(&self) -> f64 {
        self.title + 8.0 + self.plot + AXES.1 + self.caption + 8.0
    }
}

fn extent(plane: &Plane) -> (f64, f64) {
    (plane.x_range.1 - plane.x_range.0, plane.y_range.1 - plane.y_range.0)
}

/// A drawn panel: SVG code and labels.
pub(super) struct Drawing {
    pub marks: String,
    pub labels: Vec<Label>,
}

impl Drawing {
    pub fn new(plane: &Plane, place: Place) -> Result<Self, png::EncodingError> {
        let (dx, dy) = extent(plane);
        // One scale for both axes, so that a radius is a circle.
        let unit = ((place.width - AXES.0) / dx).min(place.plot / dy);
        let (width, height) = (unit * dx, unit * dy);
        let left = place.left + AXES.0 + (place.width - AXES.0 - width) / 2.0;
        let top = place.top + place.title + 8.0;
        let x = Scale { from: plane.x_range.0, to: plane.x_range.1, start: left, end: left + width };
        let y = Scale { from: plane.y_range.0, to: plane.y_range.1, start: top + height, end: top };

        let mut inside = field_image(&plane.field, [left, top, width, height])?;
        inside.push_str(&circles(plane, x, y, unit));
        let stroke = (width / 110.0).clamp(1.8, 2.8);
        if let Some(field) = &plane.clean_field {
            let dashes = format!("stroke-width=\"{:.1}\" stroke-dasharray=\"5 3\"", 0.75 * stroke);
            inside.push_str(&boundary(field, x, y, &dashes));
        }
        inside.push_str(&boundary(&plane.field, x, y, &format!("stroke-width=\"{stroke:.1}\"")));
        inside.push_str(&points(plane, x, y, (width / 85.0).clamp(2.2, 4.5)));
        // All figures of a page share one name space, so the name is a hash of the content.
        let name = &sha256(inside.as_bytes())[..12];
        let [left, top, width, height] = [left, top, width, height].map(tenth);
        let frame = format!("x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"");
        let mut marks = format!(
            "<clipPath id=\"plane-{name}\"><rect {frame}/></clipPath>\n<g clip-path=\"url(#plane-{name})\">{inside}</g>\n\
             <rect {frame} fill=\"none\" stroke=\"#8a9099\"/>\n"
        );
        let mut labels = Vec::new();
        let room = place.width - AXES.0;
        for text in paragraph(&plane.title, place.left + AXES.0, place.top + TEXT, room / BOLD, TEXT) {
            labels.push(text.bold());
        }
        let most = (width / 34.0).clamp(2.0, 10.0) as usize;
        for tick in x.ticks_at_most(most) {
            let at = tenth(tick.at);
            let _ = write!(marks, "<path d=\"M{at} {}v4\" stroke=\"#8a9099\"/>", tenth(top + height));
            labels.push(Label::new(at, top + height + 15.0, "middle", NUMBERS, &tick.label).soft());
        }
        for tick in y.ticks_at_most(most) {
            let at = tenth(tick.at);
            let _ = write!(marks, "<path d=\"M{left} {at}h-4\" stroke=\"#8a9099\"/>");
            labels.push(Label::new(left - 7.0, at + 3.8, "end", NUMBERS, &tick.label).soft());
        }
        let below = top + height + AXES.1 + TEXT + 6.0;
        for text in paragraph(&plane.caption, place.left + AXES.0, below, room, TEXT) {
            labels.push(text.soft());
        }
        Ok(Self { marks, labels })
    }
}

/// The field as an image, blended from the colour of class 0 over white to the colour of class 1.
fn field_image(
    field: &Array2<f64>,
    [left, top, width, height]: [f64; 4],
) -> Result<String, png::EncodingError> {
    let (rows, columns) = field.dim();
    let [low, high] = CLASS_COLOURS.map(rgb);
    let mut bytes = Vec::with_capacity(3 * rows * columns);
    for (low, high) in low.into_iter().zip(high) {
        for row in (0..rows).rev() {
            for column in 0..columns {
                let lean = (2.0 * field[(row, column)] - 1.0).clamp(-1.0, 1.0);
                let colour = if lean > 0.0 { high } else { low };
                bytes.push((255.0 + DEPTH * lean.abs() * (colour - 255.0)).round() as u8);
            }
        }
    }
    let uri = png_data_uri(Pixels { shape: [3, rows, columns], bytes: &bytes })?;
    // Nodes are at the centres of pixels.
    let half = [(columns, width), (rows, height)]
        .map(|(count, size)| if count > 1 { 0.5 * size / (count - 1) as f64 } else { 0.0 });
    Ok(format!(
        "<image x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{:.2}\" preserveAspectRatio=\"none\" href=\"{uri}\"/>\n",
        left - half[0],
        top - half[1],
        width + 2.0 * half[0],
        height + 2.0 * half[1]
    ))
}

fn boundary(field: &Array2<f64>, x: Scale, y: Scale, stroke: &str) -> String {
    let (rows, columns) = field.dim();
    let on = |scale: Scale, at: f64, count: usize| {
        scale.start + (scale.end - scale.start) * at / (count - 1) as f64
    };
    let mut path = String::new();
    for line in contour(field, 0.5) {
        for (number, &(column, row)) in line.iter().enumerate() {
            let (x, y) = (on(x, column, columns), on(y, row, rows));
            let _ = write!(path, "{}{x:.1} {y:.1}", if number == 0 { 'M' } else { 'L' });
        }
        if line.first() == line.last() {
            path.push('Z');
        }
    }
    format!("<path d=\"{path}\" fill=\"none\" stroke=\"{INK}\" {stroke} stroke-linejoin=\"round\"/>\n")
}

fn circles(plane: &Plane, x: Scale, y: Scale, unit: f64) -> String {
    let mut marks = String::new();
    for point in &plane.points {
        let Some(radius) = point.circle else { continue };
        let (at, colour) = ([x.place(point.x), y.place(point.y)].map(tenth), colour(point.class));
        let _ = writeln!(
            marks,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{colour}\" fill-opacity=\"0.08\" stroke=\"{colour}\" \
             stroke-opacity=\"0.85\"/>",
            at[0],
            at[1],
            tenth(radius * unit)
        );
    }
    marks
}

/// Draws the lines of moved points first, so that no line covers a point.
fn points(plane: &Plane, x: Scale, y: Scale, size: f64) -> String {
    let mut marks = String::new();
    for PlanePoint { x: to_x, y: to_y, poisoned_from, .. } in &plane.points {
        if let Some((from_x, from_y)) = poisoned_from {
            let [from_x, to_x] = [from_x, to_x].map(|&at| tenth(x.place(at)));
            let [from_y, to_y] = [from_y, to_y].map(|&at| tenth(y.place(at)));
            let _ = writeln!(
                marks,
                "<path d=\"M{from_x} {from_y}L{to_x} {to_y}\" stroke=\"{INK}\" stroke-width=\"0.9\" stroke-opacity=\"0.5\"/>"
            );
        }
    }
    for point in &plane.points {
        let (at_x, at_y) = (x.place(point.x), y.place(point.y));
        if point.wrong {
            marks.push_str(&cross(at_x, at_y, size, point.class));
        } else if point.circle.is_some() {
            let (x, y, colour) = (tenth(at_x), tenth(at_y), colour(point.class));
            let _ = writeln!(marks, "<circle cx=\"{x}\" cy=\"{y}\" r=\"1.6\" fill=\"{colour}\"/>");
        } else {
            marks.push_str(&marker(at_x, at_y, size, point.class, point.poisoned_from.is_some()));
        }
    }
    marks
}

/// A disc for class 0, a square for class 1; with a dark outline if the point was moved.
pub(super) fn marker(x: f64, y: f64, size: f64, class: usize, moved: bool) -> String {
    let (stroke, width) = if moved { (INK, (0.3 * size).min(1.1)) } else { ("#fff", 0.7) };
    let style = format!("fill=\"{}\" stroke=\"{stroke}\" stroke-width=\"{width}\"", colour(class));
    if class == 0 {
        return format!("<circle cx=\"{}\" cy=\"{}\" r=\"{size:.1}\" {style}/>\n", tenth(x), tenth(y));
    }
    let half = 0.88 * size;
    let side = tenth(2.0 * half);
    format!(
        "<rect x=\"{}\" y=\"{}\" width=\"{side}\" height=\"{side}\" {style}/>\n",
        tenth(x - half),
        tenth(y - half)
    )
}

/// A cross in the colour of the class.
pub(super) fn cross(x: f64, y: f64, size: f64, class: usize) -> String {
    let [left, right, top, bottom] = [x - size, x + size, y - size, y + size].map(tenth);
    let path = format!("M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}");
    format!(
        "<path d=\"{path}\" stroke=\"#fff\" stroke-width=\"4\" stroke-linecap=\"round\"/>\
         <path d=\"{path}\" stroke=\"{}\" stroke-width=\"2.2\" stroke-linecap=\"round\"/>\n",
        colour(class)
    )
}

fn colour(class: usize) -> &'static str {
    CLASS_COLOURS[class.min(1)]
}

/// Red, green and blue, from 0 to 255, of a colour in the notation `#rrggbb`.
fn rgb(colour: &str) -> [f64; 3] {
    let number = u32::from_str_radix(&colour[1..], 16).unwrap_or(0);
    [16, 8, 0].map(|shift| f64::from(number >> shift & 0xff))
}
