use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, imageops::FilterType};

use super::Preparation;

/// Longest side that is read.
const LONGEST_SIDE: u32 = 1 << 14;
/// Most bytes that a decoded file may have, about 33 million pixels of 8-bit RGB; a few bytes can promise more.
const MOST_BYTES: u64 = 96 << 20;
/// Most pixels that resizing may make, also half way, where they are floats of four channels.
const MOST_RESIZED: u64 = 1 << 23;

/// One decoded image: 8 bits a value, grey or RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// Channels (1 or 3), height, width.
    pub shape: [usize; 3],
    /// Values, C×H×W.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// Decodes a PNG or JPEG file, told by its first bytes whatever its name, and resizes and crops it.
    ///
    /// Sixteen bits are rounded to eight, palettes become RGB, an alpha channel that hides nothing is dropped; of an
    /// animated PNG the first frame is taken, and the orientation in a JPEG's metadata is not applied. Errors
    /// continue a sentence that starts with the file.
    pub fn decode(bytes: &[u8], preparation: Preparation) -> Result<Self, String> {
        let mut image = decode(bytes)?;
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
        Ok(Self { shape: [channels, height, width], bytes })
    }
}

/// An image of type `ImageLuma8` or `ImageRgb8`.
fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    let damaged = |error: image::ImageError| one_line(&format!("it is damaged or cut short ({error})"));
    let mut reader = ImageReader::new(Cursor::new(bytes));
    match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg)) => reader.set_format(format),
        _ => return Err("its first bytes are neither those of a PNG nor of a JPEG".into()),
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(2 * MOST_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width > LONGEST_SIDE || height > LONGEST_SIDE || decoder.total_bytes() > MOST_BYTES {
        return Err(format!(
            "it says it is {width} x {height} pixels and is too large; at most {LONGEST_SIDE} a side and {} MiB \
             decoded are read",
            MOST_BYTES >> 20
        ));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    if !is_opaque(&image) {
        return Err(
            "some of its pixels are transparent, and what they look like depends on what is behind them; \
                    save it without an alpha channel"
                .into(),
        );
    }
    Ok(match image.color().has_color() {
        true => DynamicImage::ImageRgb8(image.into_rgb8()),
        false => DynamicImage::ImageLuma8(image.into_luma8()),
    })
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
            "its {width} x {height} pixels can't be resized to a shorter side of {side}: too large"
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
        return Err(format!("its {width} x {height} pixels are fewer than a crop of {side} x {side}"));
    }
    Ok(image.crop_imm((width - side) / 2, (height - side) / 2, side, side))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
