use base64::{Engine, engine::general_purpose::STANDARD};

/// Pixels of an image, one byte for each value.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// Channels (1 grey or 3 RGB), height, width.
    pub shape: [usize; 3],
    /// Values, C×H×W.
    pub bytes: &'a [u8],
}

/// Encodes an image as a PNG file.
///
/// # Errors
/// If the number of bytes does not match a grey or RGB image of the given shape.
pub fn picture_to_png(pixels: Pixels<'_>) -> Result<Vec<u8>, png::EncodingError> {
    let [channels, height, width] = pixels.shape;
    let colour = if channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb };
    let area = height * width;
    let interleaved: Vec<u8> = (0..area)
        .flat_map(|at| (0..channels).map(move |channel| channel * area + at))
        .filter_map(|at| pixels.bytes.get(at).copied())
        .collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&interleaved)?;
    Ok(file)
}

/// An image as a `data:` URI of a PNG file, for embedding into a page.
///
/// # Errors
/// As [`picture_to_png`].
pub fn png_data_uri(pixels: Pixels<'_>) -> Result<String, png::EncodingError> {
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(picture_to_png(pixels)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_comes_back_as_it_was() {
        let bytes: Vec<u8> = (0..12).collect();
        let uri = png_data_uri(Pixels { shape: [3, 2, 2], bytes: &bytes }).unwrap();
        let file = STANDARD.decode(uri.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; 12];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    }

    #[test]
    fn bytes_that_do_not_fit_are_an_error() {
        assert!(png_data_uri(Pixels { shape: [1, 2, 2], bytes: &[0; 3] }).is_err());
    }
}
