use std::io::Cursor;

use image::{
    DynamicImage, GrayImage, ImageDecoder, Limits, RgbImage, codecs::png::PngDecoder, imageops::FilterType,
};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::Preparation;

/// Largest width or height, in pixels.
const LONGEST_SIDE: u32 = 1 << 14;
/// Largest size of a decoded image, in bytes: about 33 million pixels of 8-bit RGB. A few bytes of a file can declare
/// more.
const MOST_BYTES: u64 = 96 << 20;
/// Largest number of pixels in a resized image and in the intermediate one, whose pixels are four floats each.
const MOST_RESIZED: u64 = 1 << 23;

/// One decoded image: 8 bits for each value, grey or RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// Channels (1 or 3), height, width.
    pub shape: [usize; 3],
    /// Values, C×H×W.
    pub bytes: Vec<u8>,
    /// Whether the file has values of 16 bits, which were rounded to 8.
    pub is_rounded: bool,
}

impl Picture {
    /// Decodes a PNG or JPEG file, then resizes and crops it. The format is detected by the first bytes, not by the
    /// name.
    ///
    /// Values of 16 bits are rounded to 8, palettes become RGB, and an opaque alpha channel is dropped. Of an animated
    /// PNG only the first frame is read. The orientation in the metadata of a JPEG is not applied. Errors are the end
    /// of a sentence that starts with the name of the file.
    pub fn decode(bytes: &[u8], preparation: Preparation) -> Result<Self, String> {
        let (mut image, is_rounded) = decode(bytes)?;
        if let Some(side) = preparation.resize {
            image = resize(&image, side)?;
        }
        if let Some(side) = preparation.crop {
            image = crop(&image, side)?;
        }
        let (width, height) = (image.width() as usize, image.height() as usize);
        let channels = usize::from(image.color().channel_count());
        let interleaved = image.into_bytes();
        let bytes = if channels == 1 {
            interleaved
        } else {
            (0..channels)
                .flat_map(|channel| interleaved.iter().skip(channel).step_by(channels))
                .copied()
                .collect()
        };
        Ok(Self { shape: [channels, height, width], bytes, is_rounded })
    }
}

/// Decodes a file to an image of type `ImageLuma8` or `ImageRgb8`, and says whether its values had 16 bits.
fn decode(bytes: &[u8]) -> Result<(DynamicImage, bool), String> {
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        decode_png(bytes)
    } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        Ok((decode_jpeg(bytes)?, false))
    } else {
        Err("its first bytes are neither those of a PNG nor of a JPEG".into())
    }
}

fn decode_png(bytes: &[u8]) -> Result<(DynamicImage, bool), String> {
    // The decoder allocates memory for the declared size before it reads on.
    if let Some(&[w0, w1, w2, w3, h0, h1, h2, h3, depth, colour]) = bytes.get(16..26) {
        let samples = [1, 1, 3, 1, 2, 1, 4][usize::from(colour.min(6))];
        let bits = samples * u64::from(depth);
        let (width, height) = (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
        check_size(width, height, bits.div_ceil(8))?;
        // Deflate expands its input at most 1032 times.
        check_proportion(u64::from(width) * u64::from(height) * bits, bytes.len() as u64 * 1032 * 8)?;
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(2 * MOST_BYTES);
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(|error| damaged(&error))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, u64::from(decoder.color_type().bytes_per_pixel()))?;
    let image = DynamicImage::from_decoder(decoder).map_err(|error| damaged(&error))?;
    if !is_opaque(&image) {
        return Err("some of its pixels are transparent, and their colour depends on the background; \
                    save it without an alpha channel"
            .into());
    }
    let colour = image.color();
    let image = if colour.has_color() {
        DynamicImage::ImageRgb8(image.into_rgb8())
    } else {
        DynamicImage::ImageLuma8(image.into_luma8())
    };
    Ok((image, colour.bytes_per_pixel() > colour.channel_count()))
}

/// Decodes in strict mode: otherwise missing or damaged parts would be filled with grey.
fn decode_jpeg(bytes: &[u8]) -> Result<DynamicImage, String> {
    let side = usize::from(u16::MAX);
    let options = DecoderOptions::default().set_strict_mode(true).set_max_width(side).set_max_height(side);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| damaged(&error))?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (width, height) = (width as u32, height as u32);
    check_size(width, height, 3)?;
    // At least one component has a block for every 64 pixels, and a block takes at least one bit.
    check_proportion(u64::from(width) * u64::from(height), bytes.len() as u64 * 8 * 64)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let wanted = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let pixels = decoder.decode().map_err(|error| damaged(&error))?;
    if !is_ended(bytes) {
        return Err(damaged(&"its end marker is missing"));
    }
    let image = if grey {
        GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
    } else {
        RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
    };
    image.ok_or_else(|| damaged(&"it has fewer pixels than it declares"))
}

/// Refuses a file whose header declares more bits or pixels (`declared`) than a file of its length can contain
/// (`possible`).
fn check_proportion(declared: u64, possible: u64) -> Result<(), String> {
    if declared > possible {
        return Err(damaged(&"it declares more pixels than its bytes can contain"));
    }
    Ok(())
}

/// Whether the segments of a JPEG end with the end marker. The decoder accepts files that are cut within the last rows.
fn is_ended(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    // In compressed data the byte 0xff is followed by 0; restart markers are part of the data.
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff | 0xd0..=0xd7);
    while let Some(at) = rest.windows(2).position(is_marker) {
        let segment = &rest[at..];
        let length = match segment {
            [_, 0xd9, ..] => return true,
            [_, _, high, low, ..] => 2 + usize::from(u16::from_be_bytes([*high, *low])),
            _ => return false,
        };
        rest = segment.get(length..).unwrap_or_default();
    }
    false
}

fn check_size(width: u32, height: u32, bytes_per_pixel: u64) -> Result<(), String> {
    let bytes = (u64::from(width) * u64::from(height)).saturating_mul(bytes_per_pixel);
    if width > LONGEST_SIDE || height > LONGEST_SIDE || bytes > MOST_BYTES {
        return Err(format!(
            "its declared size of {width} x {height} pixels is too large; at most {LONGEST_SIDE} pixels per side and {} MiB \
             after decoding are read",
            MOST_BYTES >> 20
        ));
    }
    Ok(())
}

fn damaged(error: &impl ToString) -> String {
    let text: Vec<String> = error.to_string().split_whitespace().map(str::to_owned).collect();
    format!("it is damaged or truncated ({})", text.join(" "))
}

fn is_opaque(image: &DynamicImage) -> bool {
    match image {
        DynamicImage::ImageLumaA8(image) => image.pixels().all(|pixel| pixel[1] == u8::MAX),
        DynamicImage::ImageRgba8(image) => image.pixels().all(|pixel| pixel[3] == u8::MAX),
        DynamicImage::ImageLumaA16(image) => image.pixels().all(|pixel| pixel[1] == u16::MAX),
        DynamicImage::ImageRgba16(image) => image.pixels().all(|pixel| pixel[3] == u16::MAX),
        _ => true,
    }
}

fn resize(image: &DynamicImage, side: u32) -> Result<DynamicImage, String> {
    let (width, height) = (u64::from(image.width()), u64::from(image.height()));
    let short = width.min(height).max(1);
    let scaled = |length: u64| length * u64::from(side) / short;
    let (new_width, new_height) = (scaled(width), scaled(height));
    if new_width.max(width).saturating_mul(new_height) > MOST_RESIZED {
        return Err(format!(
            "its {width} x {height} pixels can't be resized to a shorter side of {side}: the result is too large"
        ));
    }
    if (new_width, new_height) == (width, height) {
        return Ok(image.clone());
    }
    Ok(image.resize_exact(new_width as u32, new_height as u32, FilterType::Triangle))
}

fn crop(image: &DynamicImage, side: u32) -> Result<DynamicImage, String> {
    let (width, height) = (image.width(), image.height());
    if width < side || height < side {
        return Err(format!("its {width} x {height} pixels are too few for a crop of {side} x {side}"));
    }
    Ok(image.crop_imm((width - side) / 2, (height - side) / 2, side, side))
}
