use std::fmt::Write;

use super::{
    Histogram, Pixels, figure,
    label::{BOLD, Label, paragraph, tenth},
    png_data_uri,
};

/// Width of the figure, in pixels like all lengths here.
const WIDTH: f64 = 900.0;
/// Margin on all sides.
const MARGIN: f64 = 14.0;
/// Width of the column of row names.
const NAMES: f64 = 112.0;
/// Gap between pictures.
const GAP: f64 = 8.0;
/// Largest number of pictures side by side.
const MOST: usize = 10;
/// Largest side of a picture.
const LARGEST: f64 = 132.0;

/// A table of pictures, with a histogram below.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureTable {
    /// Title of the figure.
    pub title: String,
    /// Heading of the row of column names: the kind of column.
    pub heading: String,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Channels (1 grey or 3 RGB), height and width of every picture.
    pub shape: [usize; 3],
    /// The columns: a name and, for each row, the bytes (C×H×W) of one picture.
    pub columns: Vec<(String, Vec<Vec<u8>>)>,
    /// Histogram below the pictures.
    pub histogram: Histogram,
    /// Caption at the end.
    pub caption: String,
}

impl PictureTable {
    /// The figure as an SVG element, 900 pixels wide. After ten columns a new band starts below.
    ///
    /// # Errors
    /// If the bytes of a picture do not match a grey or RGB image of the given shape.
    pub fn to_svg(&self) -> Result<String, png::EncodingError> {
        let inner = WIDTH - 2.0 * MARGIN;
        let mut labels: Vec<Label> = paragraph(&self.title, MARGIN, MARGIN + 14.0, inner / BOLD, 17.0)
            .into_iter()
            .map(Label::bold)
            .collect();
        let mut y = MARGIN + 22.0 * labels.len() as f64 + 4.0;
        let mut marks = String::new();
        let [_, height, width] = self.shape.map(|size| size.max(1) as f64);
        let across = self.columns.len().clamp(1, MOST);
        let slot = ((inner - NAMES + GAP) / across as f64 - GAP).min(LARGEST);
        // Enlarging by a whole factor keeps pixels square and sharp; larger images are scaled down smoothly.
        let factor = if width <= slot { (slot / width).floor() } else { slot / width };
        let rendering = if factor >= 1.0 { "pixelated" } else { "auto" };
        let (tile_width, tile_height) = (tenth(factor * width), tenth(factor * height));
        for band in self.columns.chunks(MOST) {
            labels.push(Label::new(MARGIN, y + 11.0, "start", 11.0, &self.heading).soft());
            for (number, (name, _)) in band.iter().enumerate() {
                let x = MARGIN + NAMES + number as f64 * (tile_width + GAP) + tile_width / 2.0;
                labels.push(Label::new(x, y + 11.0, "middle", 11.0, name).soft());
            }
            y += 18.0;
            for (row, name) in self.rows.iter().enumerate() {
                for (number, line) in paragraph(name, MARGIN, 0.0, NAMES - 6.0, 13.0).into_iter().enumerate()
                {
                    let at = y + tile_height / 2.0 + 4.5 + 16.0 * number as f64;
                    labels.push(Label { y: tenth(at), ..line });
                }
                for (number, (_, pictures)) in band.iter().enumerate() {
                    let bytes = pictures.get(row).map_or(&[][..], Vec::as_slice);
                    let uri = png_data_uri(Pixels { shape: self.shape, bytes })?;
                    let x = tenth(MARGIN + NAMES + number as f64 * (tile_width + GAP));
                    let place = format!(
                        "x=\"{x}\" y=\"{}\" width=\"{tile_width}\" height=\"{tile_height}\"",
                        tenth(y)
                    );
                    let _ = writeln!(
                        marks,
                        "<image {place} style=\"image-rendering:{rendering}\" href=\"{uri}\"/>\
                         <rect {place} fill=\"none\" stroke=\"#d9dce1\"/>"
                    );
                }
                y += tile_height + GAP;
            }
            y += 6.0;
        }
        y += 30.0;
        let bottom = y + 130.0;
        let left = MARGIN + 44.0;
        let (bars, texts) = self.histogram.draw(left, bottom, WIDTH - MARGIN - left, 130.0);
        marks.push_str(&bars);
        labels.extend(texts);
        y = bottom + 62.0;
        let caption = paragraph(&self.caption, MARGIN, y, inner, 13.0);
        y += 17.0 * caption.len() as f64;
        labels.extend(caption.into_iter().map(Label::soft));
        Ok(figure(&self.title, WIDTH, (y + MARGIN - 8.0).ceil(), &marks, &labels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_stands_in_its_row_and_column() {
        let columns = (0..12_u8).map(|i| (i.to_string(), vec![vec![i; 4], vec![255 - i; 4]])).collect();
        let histogram = Histogram { x_label: "x".into(), y_label: "y".into(), shares: vec![(0, 1.0)] };
        let table = PictureTable {
            title: "<b>".into(),
            heading: "image".into(),
            rows: vec!["before".into(), "after".into()],
            shape: [1, 2, 2],
            columns,
            histogram,
            caption: "Caption.".into(),
        };
        let svg = table.to_svg().unwrap();
        assert!(!svg.contains("<b>"));
        let place = |part: &str, name: &str| -> f64 {
            let rest = part.split_once(&format!("{name}=\"")).unwrap().1;
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        let places: Vec<(f64, f64)> =
            svg.split("<image ").skip(1).map(|part| (place(part, "x"), place(part, "y"))).collect();
        assert_eq!(places.len(), 24);
        // Ten pictures of each row in the first band, the last two of each row in the second.
        assert_eq!(places[0].1, places[9].1);
        assert!(places[0].0 == places[10].0 && places[0].1 < places[10].1);
        assert!(places[20].0 == places[0].0 && places[20].1 > places[10].1);
        assert!(PictureTable { shape: [1, 3, 3], ..table }.to_svg().is_err());
    }
}
