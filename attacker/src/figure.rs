//! Figures as SVG or PNG files. PNG files use fonts that are part of the program, so that a figure looks the same on
//! every machine.

mod palette;

use std::{
    fs,
    io::Write,
    path::Path,
    sync::{Arc, LazyLock},
};

use mithridate_runtime::{
    files::{check_replaceable, write_atomically},
    report::document,
};
use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{ImageHrefResolver, Options, Tree, fontdb},
};

use crate::Error;
use palette::Palette;

/// Name of the family of bundled fonts.
const FAMILY: &str = "DejaVu Sans";
/// Largest number of pixels of a picture; a larger picture is a mistake.
const MOST_PIXELS: f64 = 2e8;
/// Pixels of a PNG file for one unit of the SVG.
const FILE_SCALE: f64 = 2.0;

/// The bundled fonts, which replace every family that a figure names.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(include_bytes!("../fonts/DejaVuSans.ttf").to_vec());
    fonts.load_font_data(include_bytes!("../fonts/DejaVuSans-Bold.ttf").to_vec());
    fonts.set_serif_family(FAMILY);
    fonts.set_sans_serif_family(FAMILY);
    fonts.set_monospace_family(FAMILY);
    fonts.set_cursive_family(FAMILY);
    fonts.set_fantasy_family(FAMILY);
    Arc::new(fonts)
});

/// A figure as the bytes of a PNG file on white, with `scale` pixels for one unit of the SVG.
///
/// `svg` is a chart of [`mithridate_runtime::report`] or any SVG document. All text is set in the bundled font (Latin,
/// Greek, mathematical signs); pictures must be embedded in the document.
///
/// ```
/// let svg = "<svg viewBox=\"0 0 40 20\"><circle cx=\"20\" cy=\"10\" r=\"5\"/></svg>";
/// let png = mithridate_attacker::figure::to_png(svg, 2.0)?;
/// assert!(png.starts_with(b"\x89PNG"));
/// # Ok::<(), mithridate_attacker::Error>(())
/// ```
///
/// # Errors
/// [`Error::Figure`] if it is not SVG, or is empty or too large at this scale.
pub fn to_png(svg: &str, scale: f64) -> Result<Vec<u8>, Error> {
    let problem = |problem: &dyn ToString| Error::Figure(problem.to_string());
    let options = Options {
        font_family: FAMILY.into(),
        fontdb: Arc::clone(&FONTS),
        image_href_resolver: ImageHrefResolver {
            resolve_string: Box::new(|_, _| None),
            ..ImageHrefResolver::default()
        },
        ..Options::default()
    };
    let tree = Tree::from_str(&document(svg), &options).map_err(|error| problem(&error))?;
    let [width, height] = [tree.size().width(), tree.size().height()].map(|side| f64::from(side) * scale);
    let pixels = width.ceil() * height.ceil();
    if !(1.0..=MOST_PIXELS).contains(&pixels) || scale < 0.0 {
        return Err(problem(&format!("it would be {width} × {height} pixels at scale {scale}")));
    }
    let mut picture = Pixmap::new(width.ceil() as u32, height.ceil() as u32)
        .ok_or_else(|| problem(&"there is no memory for it"))?;
    picture.fill(resvg::tiny_skia::Color::WHITE);
    resvg::render(&tree, Transform::from_scale(scale as f32, scale as f32), &mut picture.as_mut());
    encode(&picture).map_err(|error| problem(&error))
}

/// Encodes a picture on white: with a palette if it has few colours, as charts do, else in true colour.
fn encode(picture: &Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    // The white ground is opaque, so alpha is left out.
    let rgb: Vec<u8> = picture.data().chunks_exact(4).flat_map(|pixel| &pixel[..3]).copied().collect();
    let palette = Palette::new(&rgb);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, picture.width(), picture.height());
    encoder.set_compression(png::Compression::High);
    encoder.set_color(png::ColorType::Rgb);
    if let Some(palette) = &palette {
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette.colours.concat());
        // Filters predict brightness; entries of a palette have no order.
        encoder.set_filter(png::Filter::NoFilter);
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(palette.as_ref().map_or(&rgb, |palette| &palette.entries))?;
    writer.finish()?;
    Ok(file)
}

/// Format of a file with a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FigureFormat {
    /// Vector graphics.
    Svg,
    /// Pixels, two for one unit of the SVG.
    Png,
}

impl FigureFormat {
    /// The format by the extension of a file name.
    ///
    /// # Errors
    /// [`Error::Write`] if it is neither `.svg` nor `.png`.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(Error::write(path)("a figure is written as SVG or PNG; end its name with .svg or .png")),
        }
    }
}

/// Checks that a figure can be written to `path`, and makes its folder.
///
/// # Errors
/// [`Error::Write`].
pub(crate) fn prepare(path: &Path) -> Result<(), Error> {
    FigureFormat::of(path)?;
    if path.is_dir() {
        return Err(Error::write(path)("it is a folder; name a file"));
    }
    if let Some(folder) = path.parent() {
        if folder.is_file() {
            return Err(Error::write(path)(format!("{} is a file, not a folder", folder.display())));
        }
        fs::create_dir_all(folder).map_err(Error::write(path))?;
    }
    let is_figure = |start: &[u8]| start.starts_with(b"\x89PNG") || start.starts_with(b"<svg");
    check_replaceable(path, "figure", is_figure).map_err(Error::write(path))
}

/// Writes a figure in the format that the extension of `path` says, `.svg` or `.png`; makes its folder.
///
/// # Errors
/// [`Error::Write`], [`Error::Figure`].
pub fn write(path: &Path, svg: &str) -> Result<(), Error> {
    let bytes = match FigureFormat::of(path)? {
        FigureFormat::Svg => document(svg).into_bytes(),
        FigureFormat::Png => to_png(svg, FILE_SCALE)?,
    };
    prepare(path)?;
    write_atomically(path, |file| file.write_all(&bytes)).map_err(Error::write(path))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Width, height and the red values of the picture, row by row.
    fn decode(file: &[u8]) -> (usize, usize, Vec<u8>) {
        let mut decoder = png::Decoder::new(Cursor::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let red = bytes.chunks_exact(info.color_type.samples()).map(|pixel| pixel[0]).collect();
        (info.width as usize, info.height as usize, red)
    }

    fn dark(svg: &str) -> usize {
        decode(&to_png(svg, 2.0).unwrap()).2.iter().filter(|&&red| red < 128).count()
    }

    #[test]
    fn shapes_stand_where_the_document_says() {
        let svg = "<svg viewBox=\"0 0 30 20\"><rect x=\"10\" y=\"5\" width=\"10\" height=\"10\" fill=\"#000\"/></svg>";
        let (width, height, red) = decode(&to_png(svg, 3.0).unwrap());
        assert_eq!((width, height), (90, 60));
        for (at, red) in red.into_iter().enumerate() {
            let (x, y) = (at % width, at / width);
            let inside = (30..60).contains(&x) && (15..45).contains(&y);
            assert_eq!(red, if inside { 0 } else { 255 }, "({x}, {y})");
        }
    }

    #[test]
    fn every_sign_used_in_figures_has_ink_of_its_own() {
        let ink = |text: &str| {
            let svg = format!("<svg viewBox=\"0 0 60 30\"><text x=\"20\" y=\"20\">{text}</text></svg>");
            decode(&to_png(&svg, 2.0).unwrap()).2
        };
        let blank = ink(" ");
        assert!(blank.iter().all(|&red| red == 255));
        // What a font shows for a letter it lacks; this one is Cyrillic.
        let missing = ink("Ж");
        for sign in "Aaz09.,:;%()[]/|·…'‘’“”äéßσεαβλδθρμℓ₀₁₂∞±−×÷≤≥≈≠Φ∂∇∑∫√∈–—→½²°".chars()
        {
            let picture = ink(&sign.to_string());
            assert!(picture != blank && picture != missing, "{sign}");
        }
    }

    #[test]
    fn any_family_becomes_the_bundled_one() {
        let with = |family: &str, weight: u32| {
            dark(&format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 120 30\"><style>text {{ font-family: \
                 {family}; font-size: 14px; font-weight: {weight} }}</style><text x=\"5\" y=\"20\">certified \
                 ℓ₂</text></svg>"
            ))
        };
        let bundled = with("'DejaVu Sans'", 400);
        assert!(bundled > 100, "{bundled}");
        for family in
            ["system-ui, -apple-system, Roboto", "Helvetica", "serif", "monospace", "'No Such Font'"]
        {
            assert_eq!(with(family, 400), bundled, "{family}");
        }
        assert!(with("'DejaVu Sans'", 600) > bundled * 5 / 4, "bold is bolder");
    }

    #[test]
    fn what_is_no_figure_is_an_error() {
        assert!(
            to_png("this is text", 1.0).unwrap_err().to_string().starts_with("the figure can't be drawn: ")
        );
        let svg = "<svg viewBox=\"0 0 10 10\"></svg>";
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e6] {
            assert!(to_png(svg, scale).is_err(), "{scale}");
        }
        assert!(FigureFormat::of(Path::new("a.jpg")).is_err() && FigureFormat::of(Path::new("png")).is_err());
        assert_eq!(FigureFormat::of(Path::new("a.PNG")).unwrap(), FigureFormat::Png);
    }
}
